// SPDX-License-Identifier: Apache-2.0

internal import CArchive

/// The size that a captured file claimed, where less of it could be read: an extended attribute of the entry.
///
/// Configuration space claims 4096 bytes, or 256 without an extended part, and shows 64 of them to a process without
/// CAP_SYS_ADMIN. Padding would make what is unknown zero.
enum CapturedSize {
    private static let attribute = "user.peermr.size"

    static func read(_ entry: OpaquePointer) -> Int? {
        unsafe archive_entry_xattr_reset(entry)
        var name: UnsafePointer<CChar>?
        var value: UnsafeRawPointer?
        var count = 0
        while unsafe archive_entry_xattr_next(entry, &name, &value, &count) == ARCHIVE_OK {
            guard let name = unsafe name, let value = unsafe value, unsafe String(cString: name) == attribute,
                count <= 8
            else { continue }
            return unsafe Int(String(decoding: UnsafeRawBufferPointer(start: value, count: count), as: UTF8.self))
                .flatMap { $0 >= 0 ? $0 : nil }
        }
        return nil
    }

    static func write(_ size: Int, to entry: OpaquePointer) {
        let text = Array("\(size)".utf8)
        unsafe archive_entry_xattr_add_entry(entry, attribute, text, text.count)
    }
}
