// SPDX-License-Identifier: Apache-2.0

import CommandSupport
import Histogram
import PeerMR
import PeerMRCore

/// What one run has shown, or one phase of the way in it.
struct Run {
    /// The operation, or the phase's name.
    let what: String
    /// How often the bytes of a message went over the link while the time passed: to and fro, or one way.
    let ways: Int
    /// Bytes of a message.
    let size: Int
    /// Messages each way, and how many of them were left out of the figures.
    let count: Int
    let warmUp: Int
    /// Sleeping on events instead of polling.
    let waits: Bool
    /// The own memory, and how it became a region.
    let memory: MemoryKind
    let method: String
    /// Whether every byte was looked at; a run in which one was wrong has no figures.
    let isValidated: Bool
    /// The time of all messages that count, in seconds.
    let seconds: Double
    /// Round trips in nanoseconds: from one message to the next, with the answer in between.
    let latency: Histogram<UInt64>
    /// The shortest and the longest, exactly.
    let shortest: UInt64
    let longest: UInt64

    init(_ plan: LoopPlan, _ timestamps: Timestamps, _ options: RunOptions, _ region: borrowing PeerRegion) {
        let times = timestamps.intervals(after: min(options.warmUp, plan.count - 1), count: plan.count)
        self.init(plan.operation.rawValue, ways: plan.operation == .read ? 1 : 2, times, plan, options, region)
    }

    /// - Parameter times: those that count, in nanoseconds.
    init(
        _ what: String, ways: Int, _ times: [UInt64], _ plan: LoopPlan, _ options: RunOptions,
        _ region: borrowing PeerRegion
    ) {
        self.what = what
        self.ways = ways
        size = Int(plan.size)
        count = plan.count
        warmUp = plan.count - times.count
        waits = plan.waits
        isValidated = options.validates
        memory = region.kind
        method = region.choice.method.rawValue
        seconds = Double(times.reduce(0, &+)) / 1e9
        latency = distribution(of: times)
        shortest = times.min() ?? 0
        longest = times.max() ?? 0
    }

    /// Bytes a second, both ways together where messages go both ways, as `ibv_rc_pingpong` counts them.
    var bytesPerSecond: Double {
        seconds > 0 ? Double(ways * size * (count - warmUp)) / seconds : 0
    }

    /// The figures that are told, in nanoseconds.
    var figures: [(name: String, value: UInt64)] {
        [
            ("min", shortest), ("p50", latency.valueAtPercentile(50)), ("p99", latency.valueAtPercentile(99)),
            ("p99.9", latency.valueAtPercentile(99.9)), ("max", longest),
        ]
    }

    var json: JSONValue {
        .object(
            [
                ("what", .text(what)), ("bytes", .count(size)),
                ("iterations", .count(count)), ("warmUp", .count(warmUp)),
                ("completions", .text(waits ? "events" : "polling")), ("memory", .text(memory.rawValue)),
                ("method", .text(method)), ("validated", .flag(isValidated)), ("seconds", .number(seconds)),
                ("bytesPerSecond", .number(bytesPerSecond)),
            ] + [
                (
                    "roundTripNanoseconds",
                    .object(
                        figures.map { ($0.name, .count($0.value)) }
                            + [("mean", .number(seconds * 1e9 / Double(max(1, count - warmUp))))])
                )
            ])
    }
}

/// A distribution of times in nanoseconds, to three digits, up to an hour.
func distribution(of times: [UInt64]) -> Histogram<UInt64> {
    let hour: UInt64 = 3_600_000_000_000
    var histogram = Histogram<UInt64>(highestTrackableValue: hour, numberOfSignificantValueDigits: .three)
    for time in times { histogram.record(min(time, hour)) }
    return histogram
}
