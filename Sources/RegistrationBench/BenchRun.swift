// SPDX-License-Identifier: Apache-2.0

internal import CommandSupport
internal import CBareVerbs
internal import PeerMR
package import PeerMRCore
package import Verbs

/// A run: rounds through all cells, so that whatever disturbs the machine disturbs all of them alike.
///
/// Each round goes through the cells in the other direction than the one before, and takes a few samples of each.
/// Everything that a batch of samples needs is made in it and gone after it, but for the memory and the vfio functions
/// that more than one batch shares. What is registered is deregistered before ``run()`` returns, however it ends.
package final class BenchRun {
    /// What there is to tell while it runs.
    package struct Progress: Sendable {
        /// How many rounds are over.
        package let rounds: Int
        /// The cell that was gone through last, with all that it has so far.
        package let cell: CellResult
        /// The number of that cell in the round, from 1.
        package let index: Int
        /// How many cells there are.
        package let count: Int
        /// Since the run began, in nanoseconds.
        package let nanoseconds: UInt64
    }

    private let context: Context
    private let domain: ProtectionDomain
    private let plan: BenchPlan
    private let stop: @Sendable () -> Bool
    private let progress: (Progress) -> Void
    private let functions = OpenFunctions()
    private var results: [CellResult]
    private var backgrounds: [UInt64: BackgroundRegions] = [:]
    private var rounds = 0
    private let maximumRegionBytes: UInt64
    private var began: UInt64 = 0

    /// The most samples that a batch takes, and how long it may sample.
    private static let batchSamples = 32
    private static let batchNanoseconds: UInt64 = 50_000_000

    /// A run of a plan on an open device.
    ///
    /// - Parameters:
    ///   - stop: asked between samples, by any thread; true ends the run.
    ///   - progress: told after each batch, on the thread that runs.
    /// - Throws: the errno of the device query; ENOMEM where the device has no domain left.
    package init(
        _ plan: BenchPlan, on context: Context, stop: @escaping @Sendable () -> Bool = { false },
        progress: @escaping (Progress) -> Void = { _ in }
    ) throws(PeerMRError) {
        self.context = context
        self.plan = plan
        self.stop = stop
        self.progress = progress
        domain = try ProtectionDomain(context)
        maximumRegionBytes = try context.attributes().maximumRegionBytes
        results = plan.cells.map { CellResult($0) }
    }

    /// Measures until the plan's iterations or time are over, or someone stops it.
    package func run() -> BenchResult {
        let clock = BenchClock()
        began = peermr_bench_nanoseconds()
        refuseWhatCannotBe()
        while !isOver { round() }
        var result = BenchResult(
            device: context.device.name, plan: plan, clock: clock,
            kernel: KernelRelease.running().map { "\($0)" } ?? "",
            cells: results)
        result.rounds = rounds
        result.nanoseconds = peermr_bench_nanoseconds() - began
        result.wasInterrupted = stop()
        return result
    }

    private var isOver: Bool {
        if stop() { return true }
        let open = results.indices.filter { isOpen($0) }
        if open.isEmpty { return true }
        // The first round is gone through to its end: a cell without a sample says nothing.
        guard rounds > 0, let limit = plan.nanoseconds else { return false }
        return peermr_bench_nanoseconds() - began >= limit
    }

    private func isOpen(_ index: Int) -> Bool {
        guard results[index].refusal == nil else { return false }
        guard let iterations = plan.iterations else { return true }
        return results[index].timings.register.count < UInt64(iterations)
    }

    // MARK: - What does not fit

    private func refuseWhatCannotBe() {
        for index in results.indices {
            let cell = results[index].cell
            if let limit = cell.memory.limit, cell.byteCount > limit {
                results[index].refusal = .beyondLimit(limit)
            } else if cell.chunkBytes == nil, cell.byteCount > maximumRegionBytes {
                results[index].refusal = .beyondDevice(maximumRegionBytes)
            }
        }
    }

    /// Asked for more than it has, Linux kills processes rather than say no.
    private func refusal(of cell: Cell) -> PeerMRError? {
        guard cell.memory.takesHostMemory, let available = SystemRoot.live.availableMemoryBytes else { return nil }
        let (each, overflow) = cell.byteCount.multipliedReportingOverflow(by: UInt64(cell.threads))
        return overflow || each > available / 4 * 3 ? .beyondMachine(overflow ? .max : each, available) : nil
    }

    // MARK: - Rounds

    private func round() {
        let order = rounds % 2 == 0 ? Array(results.indices) : results.indices.reversed()
        var index = order.startIndex
        while index < order.endIndex, !stop() {
            // Cells with the same background regions stand together.
            let background = results[order[index]].cell.registeredBytes
            let group = order[index...].prefix { results[$0].cell.registeredBytes == background }
            measure(Array(group), background: background)
            index += group.count
        }
        if !stop() { rounds += 1 }
    }

    private func measure(_ group: [Int], background byteCount: UInt64) {
        let open = group.filter { isOpen($0) }
        guard !open.isEmpty else { return }
        do throws(PeerMRError) {
            let background = try background(byteCount)
            defer { background?.deregister() }
            try background?.register(on: domain, until: stop)
            for index in open {
                if stop() { return }
                measure(index)
                progress(
                    Progress(
                        rounds: rounds, cell: results[index], index: index + 1, count: results.count,
                        nanoseconds: peermr_bench_nanoseconds() - began))
            }
        } catch {
            for index in open { results[index].refusal = error }
        }
    }

    private func background(_ byteCount: UInt64) throws(PeerMRError) -> BackgroundRegions? {
        guard byteCount > 0 else { return nil }
        if let known = backgrounds[byteCount] { return known }
        if let available = SystemRoot.live.availableMemoryBytes, byteCount > available / 4 * 3 {
            throw .beyondMachine(byteCount, available)
        }
        let new = try BackgroundRegions(byteCount, until: stop)
        backgrounds[byteCount] = new
        return new
    }

    private func measure(_ index: Int) {
        let cell = results[index].cell
        if let refusal = refusal(of: cell) {
            results[index].refusal = refusal
            return
        }
        var wanted = Self.batchSamples
        if let iterations = plan.iterations {
            let missing = iterations - Int(results[index].timings.register.count)
            wanted = min(wanted, (missing + cell.threads - 1) / cell.threads)
        }
        let sampler = Sampler(
            cell: cell, plan: plan, domain: domain, functions: functions, count: wanted,
            nanoseconds: Self.batchNanoseconds, bareFirst: rounds % 2 == 1, stop: stop)
        do throws(PeerMRError) {
            for batch in try Workers.run(sampler, count: cell.threads) { results[index].add(batch) }
        } catch {
            results[index].refusal = error
        }
    }
}

extension CellResult {
    /// Takes up what a thread has measured, and its refusal.
    mutating func add(_ batch: Batch) {
        method = batch.method ?? method
        pages = batch.pages ?? pages
        refusal = refusal ?? batch.refusal
        for times in batch.peermr {
            timings.register.record(times.registering)
            timings.deregister.record(times.deregistering)
            guard cell.isPopulated else { continue }
            timings.populate.record(times.populating)
            timings.total.record(times.populating + times.registering)
        }
        for times in batch.bare {
            bare.register.record(times.registering)
            bare.deregister.record(times.deregistering)
            if method == .dmaBuf { bareClose.record(times.closing) }
        }
    }
}
