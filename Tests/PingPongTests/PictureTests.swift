// SPDX-License-Identifier: Apache-2.0

import Histogram
import Testing

@testable import PingPong

/// Figures as people read them.
struct PictureTests {
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
