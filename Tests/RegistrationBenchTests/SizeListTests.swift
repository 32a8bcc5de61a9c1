// SPDX-License-Identifier: Apache-2.0

import RegistrationBench
import PeerMRCore
import Testing

@Suite struct SizeListTests {
    @Test func aRangeGoesInStepsOfFourAndEndsWhereItSays() throws {
        #expect(try SizeList.parse("4K..1M") == [4096, 16384, 65536, 262_144, 1_048_576])
        #expect(try SizeList.parse("4K..128K") == [4096, 16384, 65536, 131_072])
        #expect(try SizeList.parse("8K..8K") == [8192])
        #expect(try SizeList.parse(SizeList.usual).count == 10)
        #expect(try SizeList.parse(SizeList.usual).last == 1 << 30)
    }

    @Test func aListIsSortedAndHasEachSizeOnce() throws {
        #expect(try SizeList.parse("1M,4096,4K,4K..16K") == [4096, 16384, 1 << 20])
    }

    @Test func aRangeUpToTheLargestNumberEnds() throws {
        let most = UInt64(Int64.max) / 4096 * 4096
        #expect(try SizeList.parse("4K..\(most)").last == most)
    }

    @Test(arguments: [
        "", ",", "4K,", "0", "-4K", "4X", "4K..", "..4K", "4K...1M", "4K.1M", "4K..8K..16K", "5000", "1M..4K", "9E",
        "9223372036854775807", "18446744073709551616", "４K", "4K..5000", "\u{0}",
    ])
    func whatIsNoSizeIsRefusedWithARemedy(_ text: String) {
        let error = #expect(throws: PeerMRError.self) { _ = try SizeList.parse(text) }
        #expect(error?.code == .invalidArgument)
        #expect(error?.remedy != nil)
        #expect(error?.description.unicodeScalars.contains { $0.value < 32 } == false)
    }

    @Test func countsMayBeZeroAndKeepTheirOrder() throws {
        #expect(try SizeList.counts("64M,0,100,0") == [64 << 20, 0, 100])
        #expect(throws: PeerMRError.self) { _ = try SizeList.counts("0,,1") }
    }
}
