// SPDX-License-Identifier: Apache-2.0

import ArgumentParser
import CommandSupport
import PeerMR
import RegistrationBench
import PeerMRCore

struct BenchCache: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "cache",
        abstract: "Measures what a registration costs here without a cache, and a lookup in PeerMR's.",
        discussion: """
            Of each memory as many regions are used as --regions says, one after the other. They are registered and \
            deregistered without a cache, then leased in random order: the first lookup of a region registers it, and \
            later ones find it, unless --limit has made it go. At the end all are invalidated. Times of lookups are \
            those of a lease and its return, with the drawing of a random number. Ctrl-C ends it sooner. Nothing stays \
            registered.

            The exit status is 0 where all given memory was measured, 1 where not, 2 for a usage or input error.
            """)

    @Option(
        help: ArgumentHelp("The RDMA device, as in peermr devices: mlx5_0, rxe0.", valueName: "device"),
        completion: Completions.rdmaDevices)
    var device: String
    @Option(
        help: ArgumentHelp(
            "host, p2pmem:BDF, vfio:BDF:BAR, udmabuf, heap:NAME, drm:CARD, cuda:ORDINAL or fd:N; may be repeated. "
                + "Without it: host memory.",
            valueName: "memory"))
    var memory: [String] = []
    @Option(help: ArgumentHelp("How large a region is, such as 4K or 1M.", valueName: "size"))
    var size = "64K"
    @Option(parsing: .unconditional, help: ArgumentHelp("How many regions of a memory are used.", valueName: "count"))
    var regions = 64
    @Option(
        parsing: .unconditional,
        help: ArgumentHelp(
            "How many regions the cache keeps at most; as many as are used where not given.", valueName: "count"))
    var limit: Int?
    @Option(
        parsing: .unconditional,
        help: ArgumentHelp("How many lookups each thread makes.", valueName: "count"))
    var lookups = 1_000_000
    @Option(
        parsing: .unconditional,
        help: ArgumentHelp("How many threads look up at once; one alone is measured, too.", valueName: "count"))
    var threads = 1
    @Flag(help: "Print JSON, on one line.") var json = false

    func run() throws {
        try program.run(json: json ? \.json : nil) { () throws(PeerMRError) -> Int32 in try measure() }
    }

    private func measure() throws(PeerMRError) -> Int32 {
        let plan = try words()
        let context = try Device(name: device).open()
        let report = CacheReport(
            device: device, plan: plan, results: CacheBench(plan, on: context, stop: Interruption().hasCome).run())
        if json { printJSON(report.json) } else { writeAll(1, report.text) }
        var status = Status.supported
        for result in report.results {
            guard let refusal = result.refusal else { continue }
            program.say("error: \(result.memory): \(refusal)")
            status = Status.notSupported
        }
        return status
    }

    /// What the command line asks for.
    func words() throws(PeerMRError) -> CachePlan {
        var names: [BenchMemory] = []
        for text in memory { names.append(try BenchMemory(text)) }
        var plan = CachePlan(memories: names.isEmpty ? [BenchMemory(.host)] : names)
        let sizes = try SizeList.parse(size)
        guard sizes.count == 1 else { throw .severalSizes(size.filter(\.isASCII)) }
        plan.regionBytes = sizes[0]
        plan.regions = regions
        plan.limit = limit
        plan.lookups = lookups
        plan.threads = threads
        try plan.validate()
        return plan
    }
}
