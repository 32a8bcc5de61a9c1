// SPDX-License-Identifier: Apache-2.0

@testable import PeerMR
import Testing

@Suite struct ChunkLayoutTests {
    private static let page: UInt64 = 4096

    private func layout(
        _ count: UInt64, at address: UInt64 = 0, largest: UInt64 = 1 << 40, wanted: UInt64? = nil
    ) -> ChunkLayout {
        ChunkLayout(of: count, at: address, largest: largest, wanted: wanted, pageBytes: Self.page)
    }

    @Test func whatFitsIsOneChunk() {
        for (count, largest, wanted) in [(1, 4096, nil), (4096, 4096, nil), (100, 1 << 40, 4096)]
            as [(UInt64, UInt64, UInt64?)]
        {
            let layout = layout(count, at: 123, largest: largest, wanted: wanted)
            #expect(layout.count == 1)
            #expect(layout.length(of: 0) == count)
        }
        // Just below the limit of Soft-RoCE's on-demand regions.
        #expect(layout((2 << 30) - 4096, largest: (2 << 30) - 4096).count == 1)
    }

    @Test func aDevicesLimitThatIsNoPowerOfTwoGivesOne() {
        let layout = layout(5 << 30, largest: (2 << 30) - 4096)
        #expect(layout.chunkBytes == 1 << 30)
        #expect(layout.count == 5)
    }

    @Test func bordersFallOnHugePagesWhereChunksAreLargeEnough() {
        let large = layout(10 << 20, at: 0x7f00_0012_3000, wanted: 4 << 20)
        #expect((0x7f00_0012_3000 + large.start(of: 1)) % (2 << 20) == 0)
        let small = layout(10 << 20, at: 0x7f00_0012_3456, wanted: 12288)
        #expect((0x7f00_0012_3456 + small.start(of: 1)) % 4096 == 0)
        #expect(small.length(of: 0) == 12288 - 0x456)
    }

    /// The chunks follow each other without a gap, none is longer than allowed, and each byte is in the one that its
    /// index says.
    @Test func chunksCoverEveryByteOnce() {
        var random: UInt64 = 1
        func next(_ limit: UInt64) -> UInt64 {
            random = random &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
            return (random >> 20) % limit
        }
        for _ in 0..<2000 {
            let count = 1 + next(1 << (1 + next(33)))
            let largest = 4096 + next(1 << (12 + next(20)))
            let wanted = next(3) == 0 ? nil : (1 + next(1 << next(12))) * 4096
            let layout = layout(count, at: next(1 << 47), largest: largest, wanted: wanted)
            var end: UInt64 = 0
            for index in 0..<layout.count where index < 1000 || index > layout.count - 1000 {
                if index < 1000 { #expect(layout.start(of: index) == end) }
                let length = layout.length(of: index)
                guard length > 0, length <= largest, length <= wanted ?? .max else {
                    Issue.record("\(layout): chunk \(index) has \(length) bytes")
                    return
                }
                end = layout.start(of: index) + length
                #expect(layout.index(of: end - 1) == index)
                #expect(layout.index(of: layout.start(of: index)) == index)
            }
            #expect(end == count)
        }
    }
}
