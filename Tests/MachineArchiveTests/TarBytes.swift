// SPDX-License-Identifier: Apache-2.0

import CArchive

/// A tar archive by its bytes, with entries that no writer would make.
struct TarBytes {
    private(set) var bytes: [UInt8] = []

    /// Adds an entry with these fields. `claimed` is the size in the header, where it is another than the content's.
    mutating func add(
        _ name: String, _ type: Character = "0", _ content: [UInt8] = [], link: String = "", claimed: Int? = nil
    ) {
        var header = [UInt8](repeating: 0, count: 512)
        func put(_ text: String, at offset: Int, limit: Int = 100) {
            header.replaceSubrange(offset..<offset + min(limit, text.utf8.count), with: Array(text.utf8.prefix(limit)))
        }
        func octal(_ value: Int, _ width: Int) -> String {
            let digits = String(value, radix: 8)
            return String(repeating: "0", count: max(0, width - digits.count)) + digits
        }
        put(name, at: 0)
        for (offset, width) in [(100, 7), (108, 7), (116, 7), (136, 11), (329, 7), (337, 7)] {
            put(octal(0, width), at: offset)
        }
        let size = claimed ?? content.count
        if size < 1 << 33 {
            put(octal(size, 11), at: 124)
        } else {
            header[124] = 0x80
            for place in 0..<8 { header[128 + place] = UInt8(truncatingIfNeeded: size >> (8 * (7 - place))) }
        }
        put(String(type), at: 156)
        put(link, at: 157)
        put("ustar\u{0}00", at: 257)
        put("        ", at: 148)
        put(octal(header.reduce(0) { $0 + Int($1) }, 6) + "\u{0} ", at: 148)
        bytes += header + content
        bytes += [UInt8](repeating: 0, count: (512 - content.count % 512) % 512)
    }

    /// A long name, link or set of attributes, before the entry that it is for.
    mutating func extended(_ records: [(String, String)]) {
        var content: [UInt8] = []
        for (key, value) in records {
            let rest = " \(key)=\(value)\n"
            var count = rest.utf8.count
            while count != "\(count)".utf8.count + rest.utf8.count { count = "\(count)".utf8.count + rest.utf8.count }
            content += Array("\(count)\(rest)".utf8)
        }
        add("pax", "x", content)
    }

    /// The end of an archive.
    mutating func end() { bytes += [UInt8](repeating: 0, count: 1024) }

    /// Bytes compressed by libarchive, which is asked for `count` of them in parts.
    static func compressed(_ filter: Int32, _ count: Int, _ part: (Int) -> [UInt8]) -> [UInt8] {
        let archive = archive_write_new()
        defer { archive_write_free(archive) }
        archive_write_set_format_raw(archive)
        archive_write_add_filter(archive, filter)
        var out = [UInt8](repeating: 0, count: 24 << 20)
        var used = 0
        out.withUnsafeMutableBytes { buffer in
            archive_write_open_memory(archive, buffer.baseAddress, buffer.count, &used)
            let entry = archive_entry_new()
            archive_entry_set_filetype(entry, 0o100000)
            archive_write_header(archive, entry)
            archive_entry_free(entry)
            for index in 0..<count {
                let bytes = part(index)
                archive_write_data(archive, bytes, bytes.count)
            }
            archive_write_close(archive)
        }
        return Array(out.prefix(used))
    }
}
