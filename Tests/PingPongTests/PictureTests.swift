// SPDX-License-Identifier: Apache-2.0

import Histogram
import Testing

@testable import PingPong

/// Figures as people read them.
struct PictureTests {
    @Test func decimals() {
        #expect(decimal(0, 0) == "0")
        #expect(decimal(0.005, 2) == "0.01")
        #expect(decimal(12.345, 2) == "12.35" || decimal(12.345, 2) == "12.34")
        #expect(decimal(-1.5, 1) == "-1.5")
        #expect(decimal(1e20, 2) == "1e+20")
        #expect(microseconds(1234) == "1.23")
        #expect(microseconds(12_345_678) == "12345.7")
    }

    @Test func distributions() {
        let times = (1...1000).map { UInt64($0 * 1000) }
        let histogram = distribution(of: times)
        #expect(histogram.totalCount == 1000)
        #expect((499_000...501_000).contains(histogram.valueAtPercentile(50)))
        #expect((989_000...991_000).contains(histogram.valueAtPercentile(99)))
        // What is beyond an hour counts as an hour.
        #expect(distribution(of: [UInt64.max]).totalCount == 1)
    }
}
