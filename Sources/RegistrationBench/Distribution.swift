// SPDX-License-Identifier: Apache-2.0

internal import Histogram

/// How long something took, many times over: a histogram with three significant digits, whose ends are exact.
package struct Distribution: Sendable {
    private var histogram: Histogram<UInt32>
    /// The shortest, in nanoseconds; 0 where nothing was recorded.
    package private(set) var minimum: UInt64 = 0
    /// The longest, in nanoseconds.
    package private(set) var maximum: UInt64 = 0

    /// Nothing yet.
    package init() {
        histogram = Histogram(numberOfSignificantValueDigits: .three)
        histogram.autoResize = true
    }

    /// Adds what one call took. Not to be called while anything is timed: it may allocate.
    package mutating func record(_ nanoseconds: UInt64) {
        minimum = count == 0 ? nanoseconds : min(minimum, nanoseconds)
        maximum = max(maximum, nanoseconds)
        histogram.record(nanoseconds)
    }

    /// How many were recorded.
    package var count: UInt64 { histogram.totalCount }

    /// The time that so many per cent of the calls did not exceed, in nanoseconds, to 0.1 %.
    package func percentile(_ percent: Double) -> UInt64 {
        // The histogram gives the upper end of a bucket, which no call need have reached.
        count == 0 ? 0 : min(max(histogram.valueAtPercentile(percent), minimum), maximum)
    }

    /// Half of the calls were quicker.
    package var median: UInt64 { percentile(50) }
}
