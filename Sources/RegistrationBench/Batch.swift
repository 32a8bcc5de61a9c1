// SPDX-License-Identifier: Apache-2.0

internal import CBareVerbs
internal import PeerMR
internal import PeerMemory
internal import Synchronization
internal import PeerMRCore
internal import Verbs

/// Samples of one cell, taken in a row by one thread. Plain numbers until nothing is timed any more.
struct Batch: Sendable {
    var peermr: [SampleTimes] = []
    var bare: [SampleTimes] = []
    var method: Method?
    var pages: PageSort?
    var refusal: PeerMRError?
}

/// What one thread does for a cell.
struct Sampler: Sendable {
    let cell: Cell
    let plan: BenchPlan
    let domain: ProtectionDomain
    let functions: OpenFunctions
    /// How many samples there shall be at most.
    let count: Int
    /// How long it may sample, in nanoseconds; one sample there is always.
    let nanoseconds: UInt64
    /// Whether the bare call comes first in the first pair; the order alternates.
    let bareFirst: Bool
    /// Whether someone wants it all to end.
    let stop: @Sendable () -> Bool

    /// Takes the samples.
    ///
    /// - Parameters:
    ///   - start: called when the memory is prepared, before the first sample.
    ///   - goOn: called after the last sample; where it gives true one more is taken, and thrown away, so that the
    ///     other threads' last samples are taken beside the same threads as their first.
    func run(start: () -> Void = {}, goOn: () -> Bool = { false }) -> Batch {
        var batch = Batch()
        batch.peermr.reserveCapacity(count)
        batch.bare.reserveCapacity(plan.baseline ? count : 0)
        var hasStarted = false
        do throws(PeerMRError) {
            let begin = {
                hasStarted = true
                start()
            }
            if cell.temperature == .warm {
                try runWarm(into: &batch, start: begin, goOn)
            } else {
                try runCold(into: &batch, start: begin, goOn)
            }
        } catch {
            batch.refusal = error
        }
        // Nobody waits for ever for a thread that has failed.
        if !hasStarted { start() }
        _ = goOn()
        return batch
    }

    private func prepare() throws(PeerMRError) -> PreparedMemory {
        try PreparedMemory(
            cell.memory.specification(cell.byteCount), huge: cell.isHuge, on: domain.context, functions: functions)
    }

    private func runWarm(into batch: inout Batch, start: () -> Void, _ goOn: () -> Bool) throws(PeerMRError) {
        let memory = try prepare()
        memory.touch(until: stop)
        if stop() { return }
        // The first registration of memory is not like the others: it is made, and not counted.
        let method = try timed(memory).1
        if plan.baseline { _ = try memory.timeBare(on: domain, access: plan.access, method: method) }
        batch.method = method
        batch.pages = memory.pageSort()
        start()
        let end = peermr_bench_nanoseconds() + nanoseconds
        var index = 0
        repeat {
            try pair(index, into: &batch) { (side) throws(PeerMRError) in try sample(memory, side, method) }
            index += 1
        } while index < count && peermr_bench_nanoseconds() < end && !stop()
        while goOn(), !stop() { _ = try timed(memory) }
    }

    private func runCold(into batch: inout Batch, start: () -> Void, _ goOn: () -> Bool) throws(PeerMRError) {
        start()
        let end = peermr_bench_nanoseconds() + nanoseconds
        var index = 0
        var method = batch.method
        var pages = batch.pages
        repeat {
            // Which method it is shows with the first registration: that one is PeerMR's.
            try pair(index, into: &batch, bareFirst: bareFirst && method != nil) { (side) throws(PeerMRError) in
                let memory = try prepare()
                let taken = try sample(memory, side, method)
                method = taken.1
                if pages == nil { pages = memory.pageSort(populated: cell.isPopulated) }
                return taken
            }
            index += 1
        } while index < count && peermr_bench_nanoseconds() < end && !stop()
        (batch.method, batch.pages) = (method, pages)
        while goOn(), !stop() {
            _ = try timed(try prepare())
        }
    }

    private enum Side { case peermr, bare }

    private func sample(
        _ memory: PreparedMemory, _ side: Side, _ method: Method?
    ) throws(PeerMRError) -> (SampleTimes, Method) {
        if side == .bare, let method {
            if cell.isPopulated { try memory.populate() }
            return (try memory.timeBare(on: domain, access: plan.access, method: method), method)
        }
        return try timed(memory)
    }

    private func timed(_ memory: PreparedMemory) throws(PeerMRError) -> (SampleTimes, Method) {
        guard cell.isPopulated || cell.chunkBytes != nil else {
            return try memory.timePeerMR(on: domain, access: plan.access)
        }
        return try memory.timeBulk(
            on: domain, access: plan.access, chunkBytes: cell.chunkBytes, populate: cell.isPopulated)
    }

    /// One sample of each side that is asked for, in an order that alternates.
    private func pair(
        _ index: Int, into batch: inout Batch, bareFirst: Bool? = nil,
        _ take: (Side) throws(PeerMRError) -> (SampleTimes, Method)
    ) throws(PeerMRError) {
        guard plan.baseline else {
            batch.peermr.append(try take(.peermr).0)
            return
        }
        if (bareFirst ?? self.bareFirst) == (index % 2 == 0) {
            let bare = try take(.bare).0
            batch.peermr.append(try take(.peermr).0)
            batch.bare.append(bare)
        } else {
            batch.peermr.append(try take(.peermr).0)
            batch.bare.append(try take(.bare).0)
        }
    }
}
