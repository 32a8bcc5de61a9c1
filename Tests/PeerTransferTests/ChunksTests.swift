// SPDX-License-Identifier: Apache-2.0

import TestSupport
import Testing

@testable import PeerTransfer

@Suite struct ChunksTests {
    @Test func aTransferThatFillsItsSlots() {
        let chunks = Chunks(byteCount: 12288, slotBytes: 4096, slotCount: 2, blockBytes: 512)
        #expect(chunks.count == 3)
        #expect((0..<3).map { chunks.slot(of: $0) } == [0, 1, 0])
        #expect((0..<3).map { chunks.bytes(of: $0) } == [4096, 4096, 4096])
        #expect(chunks.partialBlock == nil)
    }

    @Test func aTransferThatEndsInsideABlock() throws {
        let chunks = Chunks(byteCount: 4096 + 1025, slotBytes: 4096, slotCount: 8, blockBytes: 512)
        #expect(chunks.count == 2)
        #expect(chunks.bytes(of: 1) == 1025)
        #expect(chunks.blocks(of: 1) == 1536)
        let partial = try #require(chunks.partialBlock)
        #expect(partial.chunk == 1)
        #expect(partial.place == 1024)
    }

    @Test func aSingleByte() throws {
        let chunks = Chunks(byteCount: 1, slotBytes: 4096, slotCount: 1, blockBytes: 4096)
        #expect(chunks.count == 1)
        #expect(chunks.bytes(of: 0) == 1)
        #expect(chunks.blocks(of: 0) == 4096)
        #expect(try #require(chunks.partialBlock).place == 0)
    }

    /// Against a model that goes through the bytes one slot after the other.
    @Test func agreesWithAModelThatCounts() {
        var random = SeededGenerator(seed: 30)
        for _ in 0..<2_000 {
            let blockBytes: UInt64 = [512, 4096][Int(random.next() % 2)]
            let slotBytes = 4096 * (1 + random.next() % 16)
            let slotCount = Int(1 + random.next() % 9)
            let byteCount = 1 + random.next() % (slotBytes * 40)
            let chunks = Chunks(
                byteCount: byteCount, slotBytes: slotBytes, slotCount: slotCount, blockBytes: blockBytes)
            check(chunks, byteCount, slotBytes, slotCount, blockBytes)
        }
    }

    private func check(
        _ chunks: Chunks, _ byteCount: UInt64, _ slotBytes: UInt64, _ slotCount: Int, _ blockBytes: UInt64
    ) {
        var position: UInt64 = 0
        var chunk: UInt64 = 0
        var slot = 0
        while position < byteCount {
            let left = byteCount - position
            let bytes = left < slotBytes ? left : slotBytes
            var blocks: UInt64 = 0
            while blocks < bytes { blocks += blockBytes }
            guard chunks.offset(of: chunk) == position, chunks.bytes(of: chunk) == bytes,
                chunks.slot(of: chunk) == slot, UInt64(chunks.blocks(of: chunk)) == blocks,
                blocks <= slotBytes, chunks.offset(of: chunk) % blockBytes == 0
            else {
                Issue.record("chunk \(chunk) of \(chunks)")
                return
            }
            let isPartial = bytes != blocks
            let partial = chunks.partialBlock
            if left <= slotBytes, (partial != nil) != isPartial { Issue.record("partial block of \(chunks)") }
            if isPartial, partial?.chunk != chunk || partial?.place != blocks - blockBytes {
                Issue.record("place of the partial block of \(chunks)")
            }
            position += bytes
            chunk += 1
            slot = slot + 1 == slotCount ? 0 : slot + 1
        }
        if chunks.count != chunk { Issue.record("\(chunks.count) chunks of \(chunks), not \(chunk)") }
    }

    /// The largest transfers that a command line can ask for.
    @Test func hugeTransfersDoNotOverflow() {
        for byteCount in [UInt64(Int64.max), UInt64(Int64.max) - 1, 1 << 62] {
            for slotBytes: UInt64 in [4096, 1 << 18, 0xffff_f000] {
                let chunks = Chunks(byteCount: byteCount, slotBytes: slotBytes, slotCount: 4096, blockBytes: 512)
                let last = chunks.count - 1
                #expect(UInt128(chunks.offset(of: last)) + UInt128(chunks.bytes(of: last)) == UInt128(byteCount))
                #expect((1...slotBytes).contains(chunks.bytes(of: last)))
            }
        }
    }
}
