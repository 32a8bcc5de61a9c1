// SPDX-License-Identifier: Apache-2.0

internal import PeerMRCore

/// What a snapshot says of itself in its first entry: a checksum over all others. tar has one for headers alone, and
/// ends anywhere.
///
/// It finds damage (FNV-1a, 64 bits), and does not prove who wrote the file. Archives of other programs have none.
enum Seal {
    static let path = "peermr/checksum"

    static func text(for tree: CapturedTree) -> String {
        var hash: UInt64 = 0xcbf2_9ce4_8422_2325
        func add(_ bytes: some Sequence<UInt8>) {
            for byte in bytes { hash = (hash ^ UInt64(byte)) &* 0x100_0000_01b3 }
            hash = (hash ^ 0xff) &* 0x100_0000_01b3
        }
        tree.forEach { path, content, isEmpty in
            guard path != Self.path else { return }
            switch content {
            case .directory: if isEmpty { add("directory \(path)".utf8) }
            case .link(let target): add("link \(path) \(target)".utf8)
            case .file(let bytes, let claimed):
                add("file \(path) \(claimed) \(bytes.count)".utf8)
                add(bytes)
            }
        }
        let digits = String(hash, radix: 16)
        return String(repeating: "0", count: 16 - digits.count) + digits + "\n"
    }

    /// Whether a tree is what its seal says; true for one that is not ours and has none. tar's own checksums let the
    /// name of an entry change, so that another one tells too whose archive it is.
    static func isIntact(_ tree: CapturedTree) -> Bool {
        guard tree.holds("peermr") else { return true }
        return SystemRoot(tree).contents(path, limit: 64) == Array(text(for: tree).utf8)
    }
}
