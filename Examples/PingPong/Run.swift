// SPDX-License-Identifier: Apache-2.0

import CommandSupport
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
    let latency: Distribution

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
        latency = Distribution(times)
    }

    /// Bytes a second, both ways together where messages go both ways, as `ibv_rc_pingpong` counts them.
    var bytesPerSecond: Double {
        seconds > 0 ? Double(ways * size * (count - warmUp)) / seconds : 0
    }

    /// The figures that are told, in nanoseconds.
    var figures: [(name: String, value: UInt64)] {
        [
            ("min", latency.minimum), ("p50", latency.median), ("p99", latency.percentile(99)),
            ("p99.9", latency.percentile(99.9)), ("max", latency.maximum),
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

extension Run {
    private var place: [String] { [what, memory.rawValue, method, "\(size)", waits ? "events" : "polling"] }

    /// A line for each run, times in nanoseconds.
    static func csv(_ runs: [Run]) -> String {
        CSV.line(["what", "memory", "method", "bytes", "completions"] + Distribution.csvHeading)
            + runs.map { CSV.line($0.place + $0.latency.csvFields) }.joined()
    }

    /// The percentile distribution of each run.
    static func hgrm(_ runs: [Run]) -> String {
        runs.map { $0.latency.hgrm($0.place.joined(separator: ", ")) }.joined()
    }
}
