// SPDX-License-Identifier: Apache-2.0

internal import SystemPackage
public import PeerMRCore

extension Snapshot {
    /// Reads a file's bytes. Whatever they are, they make a tree or an error, and take no more memory than their size
    /// allows for.
    ///
    /// - Parameters:
    ///   - bytes: the file, whole.
    ///   - name: what to call the file in an error.
    /// - Throws: `invalidArgument` where it is damaged or no snapshot; `notSupported` where a newer peermr wrote it.
    public static func parse(_ bytes: [UInt8], name: String = "the snapshot") throws(PeerMRError) -> CapturedTree {
        guard bytes.starts(with: magic.utf8), let firstEnd = bytes.firstIndex(of: 10) else {
            throw .noSnapshot(name)
        }
        let version = number(bytes[magic.utf8.count..<firstEnd], limit: 1 << 30)
        if let version, version > format { throw .newerSnapshot(name, version) }
        guard version == format else { throw .noSnapshot(name) }
        guard bytes.count <= byteLimit else { throw .damaged(name, "it is larger than 64 MiB") }
        guard bytes.last == 10 else { throw .damaged(name, "it is cut off") }
        let lastStart = (bytes.dropLast().lastIndex(of: 10) ?? -1) + 1
        let last = fields(bytes[lastStart..<bytes.count - 1])
        guard last.count == 3, last[0].elementsEqual("end".utf8) else {
            throw .damaged(name, "it is cut off")
        }
        guard last[2].elementsEqual(checksum(bytes[..<last[2].startIndex]).utf8) else {
            throw .damaged(name, "its checksum does not fit")
        }
        let lines = bytes[(firstEnd + 1)..<lastStart].split(separator: 10, omittingEmptySubsequences: false)
            .dropLast()
        guard number(last[1], limit: bytes.count) == lines.count + 1 else {
            throw .damaged(name, "it has lost lines")
        }
        var tree = CapturedTree()
        var budget = contentLimit
        for (index, line) in lines.enumerated() {
            guard let (path, content) = entry(fields(line), &budget), tree.insert(content, at: path)
            else { throw .damaged(name, "line \(index + 2) makes no sense") }
        }
        return tree
    }

    private static func fields(_ line: ArraySlice<UInt8>) -> [ArraySlice<UInt8>] {
        line.split(separator: 0x20, omittingEmptySubsequences: false)
    }

    private static func entry(
        _ fields: [ArraySlice<UInt8>], _ budget: inout Int
    ) -> (String, CapturedTree.Content)? {
        guard fields.count >= 2, let path = text(fields[1]) else { return nil }
        switch (String(decoding: fields[0], as: UTF8.self), fields.count) {
        case ("directory", 2): return (path, .directory)
        case ("link", 3): return text(fields[2]).map { (path, .link($0)) }
        case ("unread", 3):
            return number(fields[2], limit: 1 << 40).map { (path, .unread(claimedBytes: $0)) }
        case ("file", 3):
            guard fields[2].first == 0x3d, let bytes = unescape(fields[2].dropFirst()) else {
                return nil
            }
            return (path, .file(bytes: bytes, claimedBytes: bytes.count))
        case ("bytes", 4...):
            guard let claimed = number(fields[2], limit: 1 << 40),
                let count = number(fields[3], limit: 1 << 20), count <= budget
            else { return nil }
            budget -= count
            var bytes = [UInt8](repeating: 0, count: count)
            for run in fields.dropFirst(4) {
                guard fill(&bytes, run) else { return nil }
            }
            return (path, .file(bytes: bytes, claimedBytes: claimed))
        default: return nil
        }
    }

    /// Puts `OFFSET=HEX` in its place.
    private static func fill(_ bytes: inout [UInt8], _ run: ArraySlice<UInt8>) -> Bool {
        let parts = run.split(separator: 0x3d, omittingEmptySubsequences: false)
        guard parts.count == 2, parts[0].count <= 8, !parts[0].isEmpty, parts[1].count % 2 == 0
        else { return false }
        var offset = 0
        for digit in parts[0] {
            guard let value = nibble(digit) else { return false }
            offset = offset << 4 | Int(value)
        }
        guard offset + parts[1].count / 2 <= bytes.count else { return false }
        var digits = parts[1]
        while let high = digits.popFirst(), let low = digits.popFirst() {
            guard let high = nibble(high), let low = nibble(low) else { return false }
            bytes[offset] = high << 4 | low
            offset += 1
        }
        return true
    }

    private static func text(_ field: ArraySlice<UInt8>) -> String? {
        unescape(field).flatMap { String(validating: $0, as: UTF8.self) }
    }

    private static func unescape(_ field: ArraySlice<UInt8>) -> [UInt8]? {
        var bytes: [UInt8] = []
        bytes.reserveCapacity(field.count)
        var rest = field
        while let byte = rest.popFirst() {
            guard byte == 0x25 else {
                guard byte > 0x20 && byte < 0x7f else { return nil }
                bytes.append(byte)
                continue
            }
            guard let high = rest.popFirst().flatMap(nibble), let low = rest.popFirst().flatMap(nibble)
            else { return nil }
            bytes.append(high << 4 | low)
        }
        return bytes
    }

    private static func nibble(_ digit: UInt8) -> UInt8? {
        switch digit {
        case 0x30...0x39: digit - 0x30
        case 0x61...0x66: digit - 0x61 + 10
        default: nil
        }
    }

    private static func number(_ field: ArraySlice<UInt8>, limit: Int) -> Int? {
        guard !field.isEmpty, field.count <= 16 else { return nil }
        var value = 0
        for digit in field {
            guard (0x30...0x39).contains(digit) else { return nil }
            value = value * 10 + Int(digit - 0x30)
        }
        return value <= limit ? value : nil
    }
}

extension PeerMRError {
    static func noSnapshot(_ name: String) -> PeerMRError {
        PeerMRError(
            .invalidArgument, reason: "\(name) is no snapshot of peermr",
            remedy: "make one with peermr snapshot FILE")
    }

    static func newerSnapshot(_ name: String, _ format: Int) -> PeerMRError {
        PeerMRError(
            .notSupported,
            reason: "\(name) has format \(format), and this peermr reads format \(Snapshot.format)",
            remedy: "use the peermr that wrote it, or a newer one")
    }

    static func damaged(_ name: String, _ how: String) -> PeerMRError {
        PeerMRError(
            .invalidArgument, reason: "\(name) is damaged: \(how)",
            remedy: "capture the machine again: peermr snapshot FILE")
    }

    static func openSnapshot(_ errno: Errno, _ path: FilePath) -> PeerMRError {
        let code: PeerMRError.Code =
            switch errno {
            case .noSuchFileOrDirectory: .notFound
            case .permissionDenied: .notPermitted
            default: .system
            }
        return PeerMRError(
            code, call: "open", errno: errno, reason: "the snapshot \(path) cannot be read",
            remedy: "make one with peermr snapshot FILE")
    }
}
