// SPDX-License-Identifier: Apache-2.0

internal import CBareVerbs
internal import CommandSupport
internal import PeerMR
internal import PeerMemory
internal import Synchronization
internal import PeerMRCore
package import Verbs

/// A run of the cache's bench: registrations without it, misses, hits by leases and by a reader, and their ends.
package struct CacheBench {
    private let plan: CachePlan
    private let context: Context
    private let stop: @Sendable () -> Bool
    private let functions = OpenFunctions()
    private static let batch = 1000
    /// How many registrations are made without a cache, at most.
    private static let samples = 200

    /// - Parameter stop: asked between batches, by any thread; true ends the run.
    package init(_ plan: CachePlan, on context: Context, stop: @escaping @Sendable () -> Bool = { false }) {
        self.plan = plan
        self.context = context
        self.stop = stop
    }

    /// Measures all memories, one after the other. Nothing is registered when it returns.
    package func run() -> [CacheResult] {
        plan.memories.map { memory in
            var result = CacheResult(memory)
            do throws(PeerMRError) {
                try measure(memory, &result)
            } catch {
                result.refusal = error
            }
            result.wasInterrupted = stop()
            return result
        }
    }

    private func measure(_ name: BenchMemory, _ result: inout CacheResult) throws(PeerMRError) {
        let byteCount = plan.regionBytes * UInt64(plan.regions)
        if let limit = name.limit, byteCount > limit { throw .beyondLimit(limit) }
        let prepared = try PreparedMemory(name.specification(byteCount), huge: false, on: context, functions: functions)
        prepared.touch(until: stop)
        if stop() { return }
        let domain = try ProtectionDomain(context)
        try measureBare(prepared.memory, domain, &result)
        let cache = try RegistrationCache(.init(regions: plan.limit ?? max(plan.regions, 1)))
        let request = try cache.request(for: prepared.memory, on: domain, access: plan.access)
        let setting = Setting(
            cache: cache, request: request, stride: Int(plan.regionBytes), regions: plan.regions,
            lookups: plan.lookups, stop: stop)
        try measureMisses(setting, &result)
        result.lease = try setting.look(threads: 1)
        if plan.threads > 1 { result.leaseByThreads = try setting.look(threads: plan.threads) }
        result.reader = try setting.read()
        try end(setting, prepared.memory, domain, &result)
        if let mapped = prepared.memory as? any MappingBacked {
            result.leaseByAddress = try lookByAddress(mapped, domain, setting)
        }
    }

    /// Leases of the same memory by its address in this process, in a cache of their own.
    private func lookByAddress(
        _ memory: any MappingBacked, _ domain: ProtectionDomain, _ setting: Setting
    ) throws(PeerMRError) -> [UInt64] {
        let cache = try RegistrationCache(.init(regions: max(plan.regions, 1)))
        let arenas =
            memory.kind == .host ? [unsafe try HostArena(at: memory.baseAddress, byteCount: memory.byteCount)] : []
        let request = try cache.addressRequest(on: domain, access: plan.access, arenas: arenas)
        let start = unsafe UInt64(UInt(bitPattern: memory.baseAddress))
        func lease(_ index: Int) throws(PeerMRError) -> RegionLease {
            try cache.lease(request, at: start &+ UInt64(index &* setting.stride), count: setting.stride)
        }
        for index in 0..<setting.regions where !stop() { _ = try lease(index) }
        var random = RandomOrder(seed: 1)
        var (times, left): ([UInt64], Int) = ([], plan.lookups)
        while left > 0, !stop() {
            let count = min(left, Self.batch)
            let start = peermr_bench_nanoseconds()
            for _ in 0..<count { _ = try lease(random.next(below: setting.regions)) }
            times.append((peermr_bench_nanoseconds() - start) * 1000 / UInt64(count))
            left -= count
        }
        try cache.release(domain)
        return times
    }

    /// What each registration costs where there is no cache.
    private func measureBare(
        _ memory: any Memory, _ domain: ProtectionDomain, _ result: inout CacheResult
    ) throws(PeerMRError) {
        for index in 0..<max(1, min(Self.samples, plan.regions)) where !stop() {
            let part: any Memory =
                if plan.regions == 1 {
                    memory
                } else {
                    try MemoryPart(of: memory, at: index * Int(plan.regionBytes), count: Int(plan.regionBytes))
                }
            let start = peermr_bench_nanoseconds()
            let region = try PeerRegion(registering: part, on: domain, access: plan.access)
            let made = peermr_bench_nanoseconds()
            result.method = region.choice.method
            let before = peermr_bench_nanoseconds()
            Self.end(region)
            result.deregister.record(peermr_bench_nanoseconds() - before)
            result.register.record(made - start)
        }
    }

    @inline(never)
    private static func end(_ region: consuming PeerRegion) {}

    /// Registers each region by the first lookup of it; several threads come to the same regions at once.
    private func measureMisses(_ setting: Setting, _ result: inout CacheResult) throws(PeerMRError) {
        let failure = Mutex<PeerMRError?>(nil)
        let times = Mutex<[UInt64]>([])
        try Threads.run(plan.threads) { _ in
            var own: [UInt64] = []
            do throws(PeerMRError) {
                for index in 0..<setting.regions where !setting.stop() {
                    let start = peermr_bench_nanoseconds()
                    _ = try setting.lease(index)
                    own.append(peermr_bench_nanoseconds() - start)
                }
            } catch {
                failure.withLock { $0 = error }
            }
            times.withLock { $0 += own }
        }
        if let failure = failure.withLock({ $0 }) { throw failure }
        // Of several threads some found what another had registered meanwhile.
        let misses = try setting.cache.statistics().misses
        for time in times.withLock({ $0.sorted(by: >) }).prefix(Int(clamping: misses)) { result.miss.record(time) }
    }

    /// Ends regions in each of the ways that there are, and lets go of the domain.
    private func end(
        _ setting: Setting, _ memory: any Memory, _ domain: ProtectionDomain, _ result: inout CacheResult
    ) throws(PeerMRError) {
        do {
            let held = try setting.lease(0)
            result.during = try setting.cache.statistics()
            held.invalidate()
        }
        let step = setting.stride
        for index in 1..<max(1, min(setting.regions, Self.samples)) {
            let start = peermr_bench_nanoseconds()
            let count = try setting.cache.invalidate(memory, index * step..<(index + 1) * step)
            if count > 0 { result.invalidation.record(peermr_bench_nanoseconds() - start) }
        }
        try setting.cache.invalidate(memory)
        try setting.cache.release(domain)
        result.after = try setting.cache.statistics()
    }
}

extension CacheBench {
    /// What threads look up.
    private struct Setting: Sendable {
        let cache: RegistrationCache
        let request: RegionRequest
        let stride: Int
        let regions: Int
        let lookups: Int
        let stop: @Sendable () -> Bool

        func lease(_ index: Int) throws(PeerMRError) -> RegionLease {
            try cache.lease(request, at: index &* stride, count: stride)
        }

        /// Leases regions in random order and gives them back. Returns picoseconds for each of the batches.
        func look(threads: Int) throws(PeerMRError) -> [UInt64] {
            let failure = Mutex<PeerMRError?>(nil)
            let times = Mutex<[UInt64]>([])
            try Threads.run(threads) { number in
                var own: [UInt64] = []
                var random = RandomOrder(seed: UInt64(number))
                do throws(PeerMRError) {
                    var left = lookups
                    while left > 0, !stop() {
                        let count = min(left, CacheBench.batch)
                        let start = peermr_bench_nanoseconds()
                        for _ in 0..<count { _ = try lease(random.next(below: regions)) }
                        own.append((peermr_bench_nanoseconds() - start) * 1000 / UInt64(count))
                        left -= count
                    }
                } catch {
                    failure.withLock { $0 = error }
                }
                times.withLock { $0 += own }
            }
            if let failure = failure.withLock({ $0 }) { throw failure }
            return times.withLock { $0 }
        }

        /// The same by a reader, as far as it finds what it looks for.
        func read() throws(PeerMRError) -> [UInt64] {
            var reader = try cache.reader()
            var random = RandomOrder(seed: 1)
            var (times, left): ([UInt64], Int) = ([], lookups)
            while left > 0, !stop() {
                let count = min(left, CacheBench.batch)
                var found = 0
                let start = peermr_bench_nanoseconds()
                for _ in 0..<count {
                    let offset = random.next(below: regions) &* stride
                    if reader.keys(request, at: offset, count: stride) != nil { found += 1 }
                }
                let time = peermr_bench_nanoseconds() - start
                if found == count { times.append(time * 1000 / UInt64(count)) }
                left -= count
                reader.advance()
            }
            return times
        }
    }

    /// Numbers that are cheap to draw, so that the lookup is what is measured.
    private struct RandomOrder {
        private var state: UInt64

        init(seed: UInt64) { state = seed &* 0x9e37_79b9_7f4a_7c15 | 1 }

        mutating func next(below limit: Int) -> Int {
            state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
            return Int(truncatingIfNeeded: (state >> 32) &* UInt64(limit) >> 32)
        }
    }
}
