// SPDX-License-Identifier: Apache-2.0

internal import Histogram
internal import PeerMRCore

/// How long something took, many times over: a histogram with three significant digits, whose ends are exact.
package struct Distribution: Sendable {
    private var histogram: Histogram<UInt32>
    /// The shortest, in nanoseconds; 0 where nothing was recorded.
    package private(set) var minimum: UInt64 = 0
    /// The longest, in nanoseconds.
    package private(set) var maximum: UInt64 = 0

    /// What is longer than an hour is counted as an hour.
    private static let limit: UInt64 = 3_600_000_000_000

    /// Nothing yet.
    package init() {
        histogram = Histogram(numberOfSignificantValueDigits: .three)
        histogram.autoResize = true
    }

    /// Of times in nanoseconds.
    package init(_ times: [UInt64]) {
        self.init()
        for time in times { record(time) }
    }

    /// Adds a time. Not to be called while anything is timed: it may allocate.
    package mutating func record(_ nanoseconds: UInt64) {
        minimum = count == 0 ? nanoseconds : min(minimum, nanoseconds)
        maximum = max(maximum, nanoseconds)
        histogram.record(min(nanoseconds, Self.limit))
    }

    /// How many were recorded.
    package var count: UInt64 { histogram.totalCount }

    /// A percentile in nanoseconds, to 0.1 %.
    package func percentile(_ percent: Double) -> UInt64 {
        // The histogram gives the upper end of a bucket, which no time need have reached.
        count == 0 ? 0 : min(max(histogram.valueAtPercentile(percent), minimum), maximum)
    }

    /// The 50th percentile.
    package var median: UInt64 { percentile(50) }

    /// The columns of ``csvFields``.
    package static let csvHeading = ["samples", "min_ns", "p50_ns", "p99_ns", "p999_ns", "max_ns"]

    /// Count, minimum, median, 99th and 99.9th percentile and maximum.
    package var csvFields: [String] {
        [count, minimum, median, percentile(99), percentile(99.9), maximum].map { "\($0)" }
    }

    /// All percentiles in HdrHistogram's own text format, in microseconds, below a comment with a name; blank lines
    /// separate one distribution from the next.
    package func hgrm(_ name: String) -> String {
        var text = "# \(name.printable)\n"
        histogram.outputPercentileDistribution(to: &text, outputValueUnitScalingRatio: 1000)
        return text + "\n\n"
    }
}
