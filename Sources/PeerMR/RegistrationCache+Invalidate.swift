// SPDX-License-Identifier: Apache-2.0

internal import Synchronization
public import PeerMRCore
public import Verbs

// Regions that end: no lookup finds them from here on, and they are deregistered with their last lease.
extension RegistrationCache {
    /// Ends the regions of a memory, in all domains: of p2pmem that the application has mapped those at its addresses.
    ///
    /// - Returns: how many ended.
    @discardableResult
    public func invalidate(_ memory: any Memory) throws(PeerMRError) -> Int {
        if case .pool = memory.identity { return try end(.buffer, memory, 0..<memory.byteCount) }
        let buffer = try buffer(memory, memory.identity)
        return try end(.buffer, { buffer.isOf($0.key.key) }) { state in state.books.slots(of: buffer) }
    }

    /// Ends the regions of a memory that have a part of a range, in all domains.
    ///
    /// - Returns: how many ended.
    @discardableResult
    public func invalidate(_ memory: any Memory, _ range: Range<Int>) throws(PeerMRError) -> Int {
        try end(.range, memory, range)
    }

    private func end(
        _ cause: CacheStatistics.Invalidation, _ memory: any Memory, _ range: Range<Int>
    ) throws(PeerMRError) -> Int {
        var buffers = [try buffer(memory, memory.identity)]
        // Where it is pinned it is known by the object.
        if case .pool = memory.identity { buffers.append(try buffer(memory, .object(ObjectIdentifier(memory.root)))) }
        guard !range.isEmpty else { return 0 }
        let start = memory.identityOffset &+ UInt64(clamping: range.lowerBound)
        let end = memory.identityOffset &+ UInt64(clamping: range.upperBound)
        return try self.end(
            cause,
            { flight in
                let key = flight.key
                return buffers.contains { $0.isOf(key.key) } && key.start < end && start < key.start + key.byteCount
            }
        ) { state in
            buffers.flatMap { state.books.slots(of: $0) }.filter { store.range(of: $0).overlaps(start..<end) }
        }
    }

    /// Ends the regions of memory of a PCI function: it is going, or its driver is.
    ///
    /// - Returns: how many ended.
    @discardableResult
    public func invalidate(provider: PCIAddress) throws(PeerMRError) -> Int {
        // Whose memory is being registered now is known when it is.
        try end(.provider, { _ in true }) { state in
            state.books.taken.map(Int.init).filter { state.books.region($0)?.region.provider == provider }
        }
    }

    /// Ends all regions.
    ///
    /// - Returns: how many ended.
    @discardableResult
    public func invalidateAll() throws(PeerMRError) -> Int {
        try end(.all, { _ in true }) { state in state.books.taken.map(Int.init) }
    }

    /// Ends the regions of a protection domain, so that it can be deallocated: the cache does not keep it alive any
    /// more. Requests of it register nothing any more; those that are made later do.
    ///
    /// - Throws: `busy` where some of them are leased, or may be seen by a reader that has not advanced since:
    ///   `ibv_dealloc_pd` answers EBUSY until then. They have ended all the same.
    public func release(_ domain: ProtectionDomain) throws(PeerMRError) {
        let raw = unsafe UInt(bitPattern: domain.rawObject)
        let leased = try store.withState { state -> (Int, CacheState.Ended) in
            let numbers = state.domains.release(raw)
            let flights = state.flights.values.filter { numbers.contains($0.key.key.domain) }
            for flight in flights { flight.isEnded = true }
            var (ended, leased): (CacheState.Ended, Int) = ([], 0)
            for number in state.books.taken.map(Int.init) {
                let slot = unsafe self.store.index.slots + number
                guard unsafe numbers.contains(slot.pointee.domain.load(ordering: .relaxed)) else { continue }
                let (isEnded, region) = state.end(number, self.store.index)
                if isEnded { state.statistics.invalidations[.domain, default: 0] += 1 }
                if let region { ended.append(region) } else { leased += 1 }
            }
            leased += flights.count
            if leased == 0 { state.domains.hasLeft(raw) }
            return (leased, ended)
        }
        guard leased == 0 else { throw .domainLeased(leased) }
    }

    private func buffer(_ memory: any Memory, _ identity: MemoryIdentity) throws(PeerMRError) -> CacheBuffer {
        let (number, space) = try identify(memory, as: identity)
        return CacheBuffer(identity: number, space: space)
    }

    func end(
        _ cause: CacheStatistics.Invalidation, _ isMeant: (CacheFlight) -> Bool,
        _ slots: (CacheState) -> [Int]
    ) throws(PeerMRError) -> Int {
        try store.withState { state -> (Int, CacheState.Ended) in
            for flight in state.flights.values where isMeant(flight) { flight.isEnded = true }
            return state.end(slots(state), cause, self.store.index)
        }
    }
}

// MARK: - What it did

extension RegistrationCache {
    /// What the cache did and holds. It looks at each region: for a report, not for each request.
    public func statistics() throws(PeerMRError) -> CacheStatistics {
        try store.withState { state -> (CacheStatistics, CacheState.Ended) in
            var found = state.statistics
            found.regions = state.liveCount
            found.endedRegions = state.endedCount
            for number in state.books.taken.lazy.map(Int.init) {
                guard let cached = state.books.region(number) else { continue }
                let (leases, hits) = self.store.index.counted(number)
                found.count(hits: hits, nanoseconds: cached.region.registrationNanoseconds)
                if leases > 0 {
                    found.bytesLeased += cached.region.keys.byteCount
                } else {
                    found.bytesIdle += cached.region.keys.byteCount
                }
            }
            let rounds = unsafe self.store.index.root.pointee.hitRounds.load(ordering: .relaxed)
            found.hits += rounds * LeaseCount.hitsPerRound
            return (found, [])
        }
    }
}
