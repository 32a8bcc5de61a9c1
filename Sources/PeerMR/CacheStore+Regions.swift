// SPDX-License-Identifier: Apache-2.0

internal import PeerMRCore
internal import Synchronization

// Regions in, found and out.
extension CacheStore {
    /// Lists a region that has just been registered, for those that wait for it, and makes room for it.
    ///
    /// - Returns: its slot, of which the caller and each who waits has a lease.
    func add(
        _ region: CachedRegion, _ key: CacheFlight.Key, _ flight: CacheFlight
    ) throws(PeerMRError) -> Int {
        let slot = try withState { state -> (Int?, CacheState.Ended) in
            if state.flights[key] === flight { state.flights[key] = nil }
            state.statistics.registrationNanoseconds += region.region.registrationNanoseconds
            let ended = self.makeRoom(&state, for: key.byteCount)
            let isOfPool = self.spaces.isOfPool(key.key)
            if isOfPool { state.pools.insert(CacheBuffer(key.key)) }
            // Pinned pages stay, whatever comes to their addresses: such a region serves those that wait for it.
            let isFollowed = !isOfPool || region.region.choice.method == .onDemand
            let slot = state.add(
                region, key.key, start: key.start, leases: flight.waiters + 1,
                isAlive: !flight.isEnded && !state.isClosed && isFollowed, self.index)
            return (slot, slot == nil ? ended + [region] : ended)
        }
        guard let slot else { throw .cacheFull(limits.regions) }
        return slot
    }

    private func makeRoom(_ state: inout CacheState, for bytes: UInt64) -> CacheState.Ended {
        let room = UInt64(max(0, limits.bytes)) - min(UInt64(max(0, limits.bytes)), bytes)
        return state.evict(.count, index) { $0.liveCount < self.limits.regions }
            + state.evict(.bytes, index) { $0.liveBytes <= room }
    }

    /// Lets idle regions go.
    ///
    /// - Parameter bytes: how much is wanted at least.
    /// - Returns: how many went.
    func evict(_ cause: CacheStatistics.Eviction, bytes: UInt64) throws(PeerMRError) -> Int {
        try withState { state -> (Int, CacheState.Ended) in
            let before = (count: state.liveCount, bytes: state.liveBytes)
            let wanted = before.bytes - min(before.bytes, max(bytes, before.bytes / 2))
            let ended = state.evict(cause, self.index) { $0.liveBytes <= wanted }
            return (before.count - state.liveCount, ended)
        }
    }

    /// The lease that the caller has of a slot since ``add(_:_:_:)``.
    ///
    /// - Returns: nil in a child process.
    func leased(_ number: Int, _ start: UInt64) -> CacheLease? {
        guard let count = unsafe index.sharedCount(number) else { return nil }
        let slot = unsafe index.slots + number
        let first = unsafe slot.pointee.start.load(ordering: .relaxed)
        let hit = unsafe CacheHit(
            slot: slot, address: slot.pointee.address.load(ordering: .relaxed) &+ (start &- first), start: first,
            keys: slot.pointee.keys.load(ordering: .relaxed), traits: slot.pointee.traits.load(ordering: .relaxed))
        return unsafe CacheLease(hit: hit, count: count)
    }
}

// By lease.
extension CacheStore {
    /// The region in a slot that the caller has a lease of.
    func region(of slot: UnsafeMutablePointer<CacheSlot>) -> CachedRegion? {
        let number = unsafe slot - index.slots
        return (try? withState { state -> (CachedRegion?, CacheState.Ended) in (state.books.region(number), []) })
            ?? nil
    }

    /// Ends the region in a slot that the caller has a lease of.
    func end(_ slot: UnsafeMutablePointer<CacheSlot>) {
        let number = unsafe slot - index.slots
        _ = try? withState { state -> (Void, CacheState.Ended) in
            if state.end(number, self.index).ended { state.statistics.invalidations[.loss, default: 0] += 1 }
            return ((), [])
        }
    }
}
