// SPDX-License-Identifier: Apache-2.0

/// A transfer cut into chunks: chunk `n` goes through slot `n` modulo the number of slots.
struct Chunks {
    let byteCount: UInt64
    let slotBytes: UInt64
    let slotCount: Int
    let blockBytes: UInt64

    var count: UInt64 { byteCount / slotBytes + (byteCount % slotBytes == 0 ? 0 : 1) }

    func slot(of chunk: UInt64) -> Int { Int(chunk % UInt64(slotCount)) }
    func offset(of chunk: UInt64) -> UInt64 { chunk * slotBytes }

    /// The bytes of a chunk: all of a slot, but for the last.
    func bytes(of chunk: UInt64) -> UInt64 { min(slotBytes, byteCount - offset(of: chunk)) }

    /// The same in whole blocks, as the drive takes them.
    func blocks(of chunk: UInt64) -> Int {
        Int((bytes(of: chunk) + blockBytes - 1) / blockBytes * blockBytes)
    }

    /// The last block, where the transfer fills only part of it: its place in the last chunk. Nil where all are full.
    var partialBlock: (chunk: UInt64, place: UInt64)? {
        guard byteCount % blockBytes != 0 else { return nil }
        return (count - 1, (byteCount - offset(of: count - 1)) / blockBytes * blockBytes)
    }
}
