// SPDX-License-Identifier: Apache-2.0

internal import CBareVerbs
package import PeerMRCore

/// The clock that registrations are timed with, and what it is worth. Nothing is taken off a sample for it.
package struct BenchClock: Hashable, Sendable {
    /// Its name, as clock_gettime(2) has it.
    package let name = "CLOCK_MONOTONIC_RAW"
    /// What the kernel counts time with (`current_clocksource`); `tsc` is read in user space, others cost a call.
    package let source: String
    /// The smallest step that clock_getres(2) promises, in nanoseconds.
    package let resolutionNanoseconds: UInt64
    /// The smallest step that two readings in a row have shown, in nanoseconds.
    package let stepNanoseconds: UInt64
    /// The median distance of two readings in a row, in nanoseconds: part of each sample.
    package let costNanoseconds: UInt64

    /// Looks at the clock for some thousand readings: under a millisecond, or some where a reading is a system call.
    package init(root: SystemRoot = .live) {
        source =
            root.attribute("sys/devices/system/clocksource/clocksource0/current_clocksource") ?? "unknown"
        resolutionNanoseconds = peermr_bench_resolution()
        var distances: [UInt64] = []
        distances.reserveCapacity(2000)
        for _ in 0..<2000 {
            let first = peermr_bench_nanoseconds()
            distances.append(peermr_bench_nanoseconds() &- first)
        }
        distances.sort()
        stepNanoseconds = distances.first { $0 > 0 } ?? 0
        costNanoseconds = distances[distances.count / 2]
    }
}
