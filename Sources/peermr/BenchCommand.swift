// SPDX-License-Identifier: Apache-2.0

import ArgumentParser
import CommandSupport
import CLinux
import Glibc
import PeerMR
import RegistrationBench
import Synchronization
import PeerMRCore

struct BenchCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "bench", abstract: "Measures what the library's calls cost on this machine.",
        subcommands: [BenchRegistration.self, BenchCache.self])
}

struct BenchRegistration: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "registration",
        abstract: "Measures how long it takes to register memory with an RDMA device, and to deregister it.",
        discussion: """
            Cold means new memory for each registration: host memory is then allocated and cleared by the registration \
            itself. Warm means the same memory again. Sizes that cannot be measured are listed at the end, with the \
            reason. Rounds repeat all combinations, so that noise affects all of them alike. It ends after 1000 \
            samples of each, or 20 seconds; Ctrl-C ends it sooner, with the samples so far. Nothing stays registered.

            The exit status is 0 where some size of all given memory was measured, 1 where not, 2 for a usage or input \
            error.
            """)

    @Option(
        help: ArgumentHelp("The RDMA device, as in peermr devices: mlx5_0, rxe0.", valueName: "device"),
        completion: Completions.rdmaDevices)
    var device: String
    @Option(
        help: ArgumentHelp(
            "host, p2pmem:BDF, vfio:BDF:BAR, udmabuf, heap:NAME, drm:CARD, cuda:ORDINAL, fd:N or nic, each with a size where it "
                + "shall not exceed it; may be repeated. Without it: host memory, and what else this machine has.",
            valueName: "memory"))
    var memory: [String] = []
    @Option(
        help: ArgumentHelp(
            "Sizes such as 4K,64K,1M, or a range in steps of 4 (default: \(SizeList.usual)).", valueName: "sizes"))
    var sizes: String?
    @Option(
        parsing: .unconditional,
        help: ArgumentHelp("End after so many samples of each combination.", valueName: "count"))
    var iterations: Int?
    @Option(
        parsing: .unconditional,
        help: ArgumentHelp("End after so many seconds, but not before the first round is over.", valueName: "time"))
    var seconds: Double?
    @Option(
        parsing: .unconditional,
        help: ArgumentHelp("How many threads register at once: 1, or more numbers such as 1,4.", valueName: "counts"))
    var threads = "1"
    @Option(
        help: ArgumentHelp(
            "How much host memory is registered beforehand: 0, or more sizes such as 0,1G.", valueName: "bytes"))
    var registered = "0"
    @Flag(help: "Measure host memory with huge pages, too.") var hugePages = false
    @Flag(
        help: """
            Measure new host memory populated before it is registered, too; what that takes is told apart.
            """)
    var populate = false
    @Option(
        help: ArgumentHelp(
            "Register in chunks of at most this size, such as 1G, each a region of its own.", valueName: "size"))
    var chunk: String?
    @Flag(help: "Measure new memory only.") var cold = false
    @Flag(help: "Measure memory that has been registered before only.") var warm = false
    @Flag(help: "Measure the calls of libibverbs alone too, in turn, and compare.") var baseline = false
    @Flag(help: "Print JSON, on one line.") var json = false
    @Option(
        help: ArgumentHelp("Write all figures to a table of comma-separated values.", valueName: "file"),
        completion: .file())
    var csv: String?
    @Option(
        help: ArgumentHelp(
            "Write percentile distributions in HdrHistogram's format, in microseconds.", valueName: "file"),
        completion: .file())
    var hgrm: String?
    @Option(help: ArgumentHelp("Draw latency over size; needs gnuplot.", valueName: "file"), completion: .file())
    var svg: String?

    func run() throws {
        try program.run(json: json ? \.json : nil) { () throws(PeerMRError) -> Int32 in try measure() }
    }

    private func measure() throws(PeerMRError) -> Int32 {
        // All that can be wrong with the words is found before anything is opened, and a file is made last.
        var plan = try words()
        let context = try Device(name: device).open()
        var absent: [(name: String, reason: PeerMRError)] = []
        if plan.memories.isEmpty { (plan.memories, absent) = BenchMemory.available(for: context) }
        if sizes != nil { try plan.validate(for: try context.attributes(), of: context.device) }
        let picture = try LatencyPicture(ifNamed: svg)
        let table = try OutputFile(ifNamed: csv)
        let distributions = try OutputFile(ifNamed: hgrm)
        let shown = ProgressLine(isTerminal: StatusLine.isTerminal)
        let run = try BenchRun(plan, on: context, stop: Interruption().hasCome) { shown.tell($0) }
        var result = run.run()
        result.absent = absent
        shown.end()
        if json { printJSON(result.json) } else { writeAll(1, result.text) }
        try table?.write(result.csv)
        try distributions?.write(result.hgrm)
        if !result.measured.isEmpty {
            try picture?.draw(csv: result.csv, title: "Registration latency of \(result.device)", subtitle: result.head)
        }
        return status(of: result)
    }

    /// What the command line asks for; without names of memory where there are none.
    func words() throws(PeerMRError) -> BenchPlan {
        var names: [BenchMemory] = []
        for text in memory { names.append(try BenchMemory(text)) }
        var plan = BenchPlan(memories: names, sizes: try SizeList.parse(sizes ?? SizeList.usual))
        if cold != warm { plan.temperatures = cold ? [.cold] : [.warm] }
        plan.threads = try threadCounts()
        plan.registered = try SizeList.counts(registered)
        plan.hugePages = hugePages
        plan.populate = populate
        plan.chunkBytes = try chunkBytes()
        plan.baseline = baseline
        plan.iterations = iterations ?? (seconds == nil ? 1000 : nil)
        if let seconds, !(seconds > 0 && seconds <= 1_000_000) {
            throw PeerMRError(
                .invalidArgument, reason: "\(seconds) seconds cannot be measured for", remedy: "name more than 0")
        }
        let limit = seconds ?? (iterations == nil ? 20 : nil)
        plan.nanoseconds = limit.map { UInt64($0 * 1e9) }
        try plan.validate()
        return plan
    }

    private func chunkBytes() throws(PeerMRError) -> UInt64? {
        guard let chunk else { return nil }
        let sizes = try SizeList.parse(chunk)
        guard sizes.count == 1 else {
            throw PeerMRError(
                .invalidArgument, reason: "\"\(chunk.filter(\.isASCII))\" is more than one size of a chunk",
                remedy: "name one, such as 1G")
        }
        return sizes[0]
    }

    private func threadCounts() throws(PeerMRError) -> [Int] {
        var counts: [Int] = []
        for word in threads.split(separator: ",", omittingEmptySubsequences: false) {
            guard let count = Int(word) else {
                throw PeerMRError(
                    .invalidArgument, reason: "\"\(word.filter(\.isASCII))\" is no number of threads",
                    remedy: "write 4, or 1,4,16")
            }
            if !counts.contains(count) { counts.append(count) }
        }
        return counts
    }

    /// 1 where memory that was named has no figure, with the reason on standard error.
    private func status(of result: BenchResult) -> Int32 {
        guard !result.wasInterrupted else {
            return result.measured.isEmpty ? Status.notSupported : Status.supported
        }
        var status = Status.supported
        for name in Set(result.plan.memories.map(\.description)).sorted() {
            let cells = result.cells.filter { $0.cell.memory.description == name }
            guard cells.allSatisfy({ $0.timings.register.count == 0 }),
                !memory.isEmpty || result.measured.isEmpty,
                let reason = cells.compactMap(\.refusal).first
            else { continue }
            program.say("error: \(name): \(reason)")
            status = Status.notSupported
        }
        return status
    }
}

/// Ctrl-C, asked for between samples: at most every millisecond, for that costs a system call.
struct Interruption: Sendable {
    private final class State: Sendable {
        let descriptor = peermr_termination_descriptor()
        let hasCome = Atomic<Bool>(false)
        let askedAt = Atomic<UInt64>(0)
    }

    private let state = State()

    /// Whether someone wants the program to end.
    var hasCome: @Sendable () -> Bool {
        { [state] in
            if state.hasCome.load(ordering: .relaxed) { return true }
            let now = monotonicNanoseconds()
            guard now &- state.askedAt.load(ordering: .relaxed) >= 1_000_000 else { return false }
            state.askedAt.store(now, ordering: .relaxed)
            guard isReadable(state.descriptor) else { return false }
            state.hasCome.store(true, ordering: .relaxed)
            return true
        }
    }
}
