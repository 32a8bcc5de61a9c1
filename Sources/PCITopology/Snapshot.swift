// SPDX-License-Identifier: Apache-2.0

public import SystemPackage
public import PeerMRCore

/// A machine in a file: what the check reads, and nothing else, so that it can be judged elsewhere with the same
/// answers.
///
/// The file is text, one thing a line, sorted by path; fields are one space apart. In paths, links and texts a byte
/// that is no visible ASCII character, and the percent sign, is written `%` and two digits of lowercase hexadecimal.
/// Format 1:
///
///     peermr-snapshot 1                         the format, first of all
///     directory PATH                            a directory with nothing in it that was captured
///     file PATH =TEXT                           an attribute
///     bytes PATH CLAIMED READ OFFSET=HEX ...    configuration space: the size it claims, how far it could be read,
/// and what is not zero
///     unread PATH CLAIMED                       a file that is there, and whose content was not read
///     link PATH TARGET                          a symbolic link
///     end LINES CHECKSUM                        how many lines there are before this one, and 16 digits over all
/// bytes before them
///
/// The checksum is FNV-1a with 64 bits: it finds damage, and does not prove who wrote the file.
/// What is captured stands in ``Snapshot/capture(_:)``.
public enum Snapshot {
    /// The format that is written, and the newest that is read.
    public static let format = 1
    /// The largest file that is read, in bytes.
    public static let byteLimit = 64 << 20
    /// The most that all configuration spaces of a file may claim together, in bytes.
    static let contentLimit = 256 << 20
    static let magic = "peermr-snapshot "

    /// Reads a file.
    ///
    /// - Throws: `notFound`, `notPermitted` or `system` where it cannot be read; `invalidArgument` where it is damaged
    ///   or no snapshot; `notSupported` where a newer peermr wrote it.
    public static func read(_ path: FilePath) throws(PeerMRError) -> CapturedTree {
        let bytes: [UInt8]
        do {
            bytes = try contents(path)
        } catch {
            throw .openSnapshot(error, path)
        }
        return try parse(bytes, name: path.string)
    }

    private static func contents(_ path: FilePath) throws(Errno) -> [UInt8] {
        let file = try OwnedDescriptor(opening: path, flags: 0)
        let descriptor = FileDescriptor(rawValue: file.rawValue)
        var bytes: [UInt8] = []
        var chunk = [UInt8](repeating: 0, count: 1 << 16)
        while bytes.count <= byteLimit {
            let count: Int
            do {
                count = try unsafe chunk.withUnsafeMutableBytes { try unsafe descriptor.read(into: $0) }
            } catch {
                throw error as? Errno ?? .ioError
            }
            if count == 0 { break }
            bytes.append(contentsOf: chunk[..<count])
        }
        return bytes
    }

    /// The checksum over bytes: FNV-1a, 64 bits, in 16 digits.
    static func checksum(_ bytes: ArraySlice<UInt8>) -> String {
        var hash: UInt64 = 0xcbf2_9ce4_8422_2325
        for byte in bytes { hash = (hash ^ UInt64(byte)) &* 0x100_0000_01b3 }
        let digits = String(hash, radix: 16)
        return String(repeating: "0", count: 16 - digits.count) + digits
    }
}

// MARK: - Writing

extension Snapshot {
    /// The file's text.
    public static func encode(_ tree: CapturedTree) -> String {
        var lines = ["\(magic)\(format)"]
        tree.forEach { path, content, isEmpty in
            let path = escape(path.utf8)
            switch content {
            case .directory: if isEmpty { lines.append("directory \(path)") }
            case .link(let target): lines.append("link \(path) \(escape(target.utf8))")
            case .unread(let claimed): lines.append("unread \(path) \(claimed)")
            case .file(let bytes, let claimed) where claimed == bytes.count && !bytes.contains(0):
                lines.append("file \(path) =\(escape(bytes))")
            case .file(let bytes, let claimed):
                let runs = runs(of: bytes).map { " \(String($0.lowerBound, radix: 16))=\(hexadecimal(bytes[$0]))" }
                lines.append("bytes \(path) \(claimed) \(bytes.count)\(runs.joined())")
            }
        }
        return sealed(lines)
    }

    /// Lines with the last one, which makes them a file.
    static func sealed(_ lines: [String]) -> String {
        let body = lines.joined(separator: "\n") + "\nend \(lines.count) "
        return body + checksum(Array(body.utf8)[...]) + "\n"
    }

    /// Where bytes are not zero, in steps of four.
    private static func runs(of bytes: [UInt8]) -> [Range<Int>] {
        var runs: [Range<Int>] = []
        for start in stride(from: 0, to: bytes.count, by: 4) {
            let end = min(start + 4, bytes.count)
            guard bytes[start..<end].contains(where: { $0 != 0 }) else { continue }
            if let last = runs.last, last.upperBound == start {
                runs[runs.count - 1] = last.lowerBound..<end
            } else {
                runs.append(start..<end)
            }
        }
        return runs
    }

    private static func hexadecimal(_ bytes: ArraySlice<UInt8>) -> String {
        bytes.map { ($0 < 16 ? "0" : "") + String($0, radix: 16) }.joined()
    }

    private static func escape(_ bytes: some Sequence<UInt8>) -> String {
        var text = ""
        for byte in bytes {
            if byte > 0x20 && byte < 0x7f && byte != 0x25 {
                text.unicodeScalars.append(Unicode.Scalar(byte))
            } else {
                text += (byte < 16 ? "%0" : "%") + String(byte, radix: 16)
            }
        }
        return text
    }
}
