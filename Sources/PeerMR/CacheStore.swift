// SPDX-License-Identifier: Apache-2.0

internal import PeerMRCore
internal import Synchronization
internal import Verbs

/// What a cache and its leases share. It lives as long as the cache, and then until the last lease is given back.
final class CacheStore: Sendable {
    let index: CacheIndex
    let limits: RegistrationCache.Limits
    let spaces = CacheSpaces()
    private let state: Mutex<CacheState>

    init(_ limits: RegistrationCache.Limits) throws(PeerMRError) {
        guard limits.regions > 0, limits.regions <= RegistrationCache.Limits.mostRegions else {
            throw .cacheLimit("regions", limits.regions, RegistrationCache.Limits.mostRegions)
        }
        guard limits.bytes > 0 else { throw .cacheLimit("bytes", limits.bytes, Int.max) }
        // Regions that have ended keep their slots until nobody leases them, nor a reader may see them: it may be long
        // before that advances, and slots cost memory only once they were used. One is of no region.
        guard let index = CacheIndex(regions: limits.regions, others: limits.regions + 65_536),
            let books = CacheBooks(index), let counts = CacheCounts(index)
        else { throw .cacheMemory() }
        var state = CacheState(books, counts)
        guard state.table.makeRoom(index, []) else { throw .cacheMemory() }
        self.index = index
        self.limits = limits
        self.state = Mutex(state)
    }

    /// Runs a body under the lock, and drops the regions that it returns behind it.
    ///
    /// - Throws: in a child process: what is there is the parent's, its lock too.
    func withState<Value: Sendable>(
        _ body: (inout CacheState) -> (Value, CacheState.Ended)
    ) throws(PeerMRError) -> Value {
        guard !index.isWiped else { throw .cacheOfParent() }
        let (value, ended, isLast) = state.withLock { state in
            let (value, ended) = body(&state)
            let isLast = state.isKeptByLeases && state.endedCount == 0
            if isLast { state.isKeptByLeases = false }
            return (value, ended, isLast)
        }
        withExtendedLifetime(ended) {}
        // See close().
        if isLast { unsafe Unmanaged.passUnretained(self).release() }
        return value
    }

    // Out of the way of leases that are given back, nearly all of which have nothing to do here.
    /// Takes back a region whose last lease was given back after it had ended.
    @inline(never)
    func retire(_ slot: UnsafeMutablePointer<CacheSlot>) {
        let number = unsafe slot - index.slots
        _ = try? withState { state -> (Void, CacheState.Ended) in
            ((), state.retire(number, self.index).map { [$0] } ?? [])
        }
    }

    /// Ends all regions with their cache. The store outlives it until the last of them is deregistered.
    func close() {
        guard !index.isWiped else {
            // In a child process: the regions are the parent's, and not to be deregistered here.
            unsafe _ = Unmanaged.passRetained(self)
            return
        }
        _ = try? withState { state -> (Void, CacheState.Ended) in
            state.isClosed = true
            let ended = state.books.taken.compactMap { state.end(Int($0), self.index).region }
            if state.endedCount > 0 {
                state.isKeptByLeases = true
                unsafe _ = Unmanaged.passRetained(self)
            }
            return ((), ended)
        }
    }
}
