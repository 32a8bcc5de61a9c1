// SPDX-License-Identifier: Apache-2.0

internal import CLinux
internal import Glibc
internal import PeerMRCore
internal import SystemPackage

/// One mapping of this process: a line of `/proc/self/maps` (fs/proc/task_mmu.c, `show_map_vma`).
struct MemoryMapLine: Hashable {
    /// The first address, and the first behind the mapping.
    let addresses: Range<UInt64>
    let isReadable: Bool
    let isWritable: Bool
    /// Whether what is written reaches the object; else it stays in a copy of this process's own.
    let isShared: Bool
    /// Where the mapping begins in its object, in bytes.
    let offset: UInt64
    /// The number of the object's file system, as stat(2) gives it.
    let device: UInt64
    /// The number of the object in its file system; 0 for memory without a file.
    let inode: UInt64
    /// The object's path or name; empty for memory without any.
    let path: String

    /// A line without its end; nil where it is none of the kernel's.
    init?(_ line: ArraySlice<UInt8>) {
        var rest = line
        guard let addresses = Self.addresses(&rest) else { return nil }
        let flags = rest.prefix(5)
        guard flags.count == 5, flags.last == Character.space else { return nil }
        rest = rest.dropFirst(5)
        guard let offset = Self.number(&rest, until: Character.space, radix: 16),
            let major = Self.number(&rest, until: Character.colon, radix: 16),
            let minor = Self.number(&rest, until: Character.space, radix: 16), major <= UInt32.max, minor <= UInt32.max
        else { return nil }
        let digits = rest.prefix { $0 != Character.space }
        guard let inode = Self.number(digits, radix: 10) else { return nil }
        self.addresses = addresses
        isReadable = flags.first == UInt8(ascii: "r")
        isWritable = flags.dropFirst().first == UInt8(ascii: "w")
        isShared = flags.dropFirst(3).first == UInt8(ascii: "s")
        self.offset = offset
        device = Self.device(major, minor)
        self.inode = inode
        path = String(decoding: rest.dropFirst(digits.count).drop { $0 == Character.space }, as: UTF8.self)
    }

    /// What the kernel answered.
    init(_ mapping: peermr_mapping, path: String) {
        addresses = mapping.start..<max(mapping.start, mapping.end)
        isReadable = mapping.is_readable != 0
        isWritable = mapping.is_writable != 0
        isShared = mapping.is_shared != 0
        offset = mapping.offset
        device = mapping.device
        inode = mapping.inode
        self.path = path
    }

    /// As in gnu_dev_makedev, which is a macro.
    private static func device(_ major: UInt64, _ minor: UInt64) -> UInt64 {
        (major & 0xfff) << 8 | (major & ~0xfff) << 32 | minor & 0xff | (minor & ~0xff) << 12
    }

    /// The addresses that a line begins with, taken off it: cheap, for lines that are passed over.
    fileprivate static func addresses(_ line: inout ArraySlice<UInt8>) -> Range<UInt64>? {
        guard let start = number(&line, until: Character.minus, radix: 16),
            let end = number(&line, until: Character.space, radix: 16), start < end
        else { return nil }
        return start..<end
    }

    private static func number(_ line: inout ArraySlice<UInt8>, until mark: UInt8, radix: UInt64) -> UInt64? {
        guard let end = line.firstIndex(of: mark), let value = number(line[..<end], radix: radix) else { return nil }
        line = line[(end + 1)...]
        return value
    }

    private static func number(_ digits: ArraySlice<UInt8>, radix: UInt64) -> UInt64? {
        guard !digits.isEmpty else { return nil }
        var value: UInt64 = 0
        for digit in digits {
            let figure: UInt8
            switch digit {
            case UInt8(ascii: "0")...UInt8(ascii: "9"): figure = digit - UInt8(ascii: "0")
            case UInt8(ascii: "a")...UInt8(ascii: "f"): figure = digit - UInt8(ascii: "a") + 10
            default: return nil
            }
            guard UInt64(figure) < radix else { return nil }
            let (product, isTooMuch) = value.multipliedReportingOverflow(by: radix)
            guard !isTooMuch, product <= .max - UInt64(figure) else { return nil }
            value = product + UInt64(figure)
        }
        return value
    }

    private enum Character {
        static let space = UInt8(ascii: " ")
        static let minus = UInt8(ascii: "-")
        static let colon = UInt8(ascii: ":")
    }
}

/// The mappings of this process.
enum MemoryMap {
    /// Those that have a part of a range of addresses, in their order.
    ///
    /// The kernel is asked for each (PROCMAP_QUERY, Linux 6.11), in less than a microsecond. The file of an older one
    /// is read up to there, once, which takes longer the more mappings there are.
    ///
    /// - Throws: `system` where it cannot be read.
    static func lines(
        covering range: Range<UInt64>, root: SystemRoot
    ) throws(PeerMRError) -> [MemoryMapLine] {
        if root.isLive, let lines = asked(for: range) { return lines }
        return try read(for: range, root)
    }

    /// - Returns: nil where the kernel cannot be asked.
    static func asked(for range: Range<UInt64>) -> [MemoryMapLine]? {
        var lines: [MemoryMapLine] = []
        var address = range.lowerBound
        return unsafe withUnsafeTemporaryAllocation(of: CChar.self, capacity: Int(PATH_MAX)) { name in
            guard let base = name.baseAddress else { return nil }
            while address < range.upperBound {
                var mapping = peermr_mapping()
                guard unsafe peermr_mapping_from(address, &mapping, base, name.count) == 0 else {
                    return currentErrno() == .noSuchFileOrDirectory ? lines : nil
                }
                if mapping.start >= range.upperBound { break }
                unsafe lines.append(MemoryMapLine(mapping, path: String(cString: base)))
                address = mapping.end
            }
            return lines
        }
    }

    private static func read(
        for range: Range<UInt64>, _ root: SystemRoot
    ) throws(PeerMRError) -> [MemoryMapLine] {
        let found = root.parts(of: "proc/self/maps") { read -> [MemoryMapLine] in
            var lines: [MemoryMapLine] = []
            var kept: [UInt8] = []
            var offset = 0
            while true {
                let piece = read(offset, 16384)
                offset += piece.count
                kept += piece
                // What has no end yet waits for the next piece; at the end of the file it counts as it is.
                let isLast = piece.isEmpty
                var rest = kept[...]
                while let end = rest.firstIndex(of: 10) ?? (isLast && !rest.isEmpty ? rest.endIndex : nil) {
                    guard take(rest[..<end], range, &lines) else { return lines }
                    rest = rest[min(end + 1, rest.endIndex)...]
                }
                if isLast { return lines }
                kept = Array(rest)
            }
        }
        guard let found else { throw .noMemoryMap() }
        return found
    }

    /// - Returns: whether lines after this one could matter: they come in the order of their addresses.
    private static func take(
        _ line: ArraySlice<UInt8>, _ range: Range<UInt64>, _ lines: inout [MemoryMapLine]
    ) -> Bool {
        var rest = line
        guard let addresses = MemoryMapLine.addresses(&rest) else { return true }
        if addresses.lowerBound >= range.upperBound { return false }
        if addresses.overlaps(range), let whole = MemoryMapLine(line) { lines.append(whole) }
        return true
    }
}
