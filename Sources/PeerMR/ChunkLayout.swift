// SPDX-License-Identifier: Apache-2.0

/// Where memory that is registered in chunks is cut: plain numbers, so that the chunk of an offset is one division.
struct ChunkLayout: Hashable, Sendable {
    /// The length of all, in bytes.
    let byteCount: UInt64
    /// The length of a chunk, in bytes; the first and the last may be shorter.
    let chunkBytes: UInt64
    /// How far from a border the first byte lies: the first chunk is shorter by so much.
    let bias: UInt64
    /// How many chunks there are.
    let count: Int

    /// What borders are multiples of where chunks are large enough, so that none cuts a huge page.
    static let hugeBytes: UInt64 = 2 << 20

    /// Memory in chunks.
    ///
    /// - Parameters:
    ///   - byteCount: its length in bytes, at least 1.
    ///   - address: what the device, or the buffer, knows its first byte by.
    ///   - largest: the most that the device takes, in bytes.
    ///   - wanted: how large chunks shall be, a multiple of a page; nil for as few as the device allows.
    init(of byteCount: UInt64, at address: UInt64, largest: UInt64, wanted: UInt64?, pageBytes: UInt64) {
        self.byteCount = byteCount
        let fits = byteCount <= min(largest, wanted ?? .max)
        guard !fits else {
            (chunkBytes, bias, count) = (byteCount, 0, 1)
            return
        }
        // The device's own limit may be any number; a power of two is no more than a factor of two below it.
        let most = max(pageBytes, UInt64(1) << (63 - UInt64(largest.leadingZeroBitCount)))
        let chunk = min(wanted ?? most, most)
        let border = chunk % Self.hugeBytes == 0 ? Self.hugeBytes : pageBytes
        chunkBytes = chunk
        bias = address % border
        count = Int((byteCount + bias + chunk - 1) / chunk)
    }

    /// All of it as one, for memory that cannot be cut.
    init(whole byteCount: UInt64) {
        self.byteCount = byteCount
        (chunkBytes, bias, count) = (byteCount, 0, 1)
    }

    /// The chunk that a byte lies in.
    @inline(__always)
    func index(of offset: UInt64) -> Int { Int(truncatingIfNeeded: (offset &+ bias) / chunkBytes) }

    /// Where a chunk begins.
    @inline(__always)
    func start(of index: Int) -> UInt64 {
        index == 0 ? 0 : UInt64(truncatingIfNeeded: index) &* chunkBytes &- bias
    }

    /// A chunk's length in bytes.
    func length(of index: Int) -> UInt64 { min(byteCount, start(of: index + 1)) - start(of: index) }
}
