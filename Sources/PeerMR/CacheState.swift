// SPDX-License-Identifier: Apache-2.0

internal import PCITopology
internal import PeerMRCore
internal import Synchronization
internal import Verbs

/// A region of a cache, by reference. Threads share it: nothing in it changes before it is deregistered.
final class CachedRegion: @unchecked Sendable {
    let region: PeerRegion

    init(_ region: consuming PeerRegion) { self.region = region }
}

/// What memory a region is of, whatever domain it is for.
struct CacheBuffer: Hashable {
    let identity: UInt64
    let space: UInt64

    /// - Parameter space: the kind of identity; see ``RegionTraits/space``.
    init(identity: UInt64, space: UInt64) {
        self.identity = identity
        self.space = space << RegionTraits.spaceShift
    }

    init(_ key: CacheKey) {
        identity = key.identity
        space = key.traits & RegionTraits.space
    }

    func isOf(_ key: CacheKey) -> Bool { self == CacheBuffer(key) }
}

/// Everything that changes under a cache's lock.
///
/// No call is made while it is held: functions return the regions that have ended, which are deregistered when the
/// caller drops them, behind the lock.
struct CacheState {
    typealias Ended = [CachedRegion]

    let books: CacheBooks
    /// Regions that can be leased, and their bytes.
    private(set) var liveCount = 0
    private(set) var liveBytes: UInt64 = 0
    /// Regions that have ended and are leased still, or may be seen by a reader.
    private(set) var endedCount = 0
    /// Ended regions that nobody leases, by the epoch in which a reader may still have seen them.
    private var waiting: [(slot: Int, epoch: UInt64)] = []
    /// A place in the list of slots that are taken.
    private var hand = 0
    var table = CacheTableStore()
    var counts: CacheCounts
    var readers = CacheReaders()
    var flights: [CacheFlight.Key: CacheFlight] = [:]
    var domains = CacheDomains()
    /// The pools that regions over addresses are, or were, of.
    var pools: Set<CacheBuffer> = []
    /// The cache is gone: what is still registered goes with its last lease.
    var isClosed = false
    /// Whether the store holds itself for leases that outlive the cache.
    var isKeptByLeases = false
    var statistics = CacheStatistics()

    init(_ books: CacheBooks, _ counts: CacheCounts) {
        self.books = books
        self.counts = counts
    }
}

// MARK: - Regions in and out

extension CacheState {
    /// Lists a region.
    ///
    /// - Parameters:
    ///   - leases: how many lookups wait for it, each of which has a lease of it from here on.
    ///   - isAlive: whether others may find it; false where it ended before it was there.
    /// - Returns: its slot; nil where there is none left.
    mutating func add(
        _ cached: CachedRegion, _ key: CacheKey, start: UInt64, leases: Int, isAlive wanted: Bool,
        _ index: borrowing CacheIndex
    ) -> Int? {
        let keys = cached.region.keys
        let level = CacheIndex.level(keys.byteCount)
        let home = index.home(CacheIndex.hash(key.seed, level, start >> level))
        // A region that cannot be listed serves those that wait for it.
        let isAlive = wanted && table.makeRoom(index, books.taken)
        guard let number = books.put(cached, home: home) else { return nil }
        let slot = unsafe index.slots + number
        // Whoever sees anything of what follows sees that the region before it has ended.
        atomicMemoryFence(ordering: .releasing)
        unsafe slot.pointee.identity.store(key.identity, ordering: .relaxed)
        unsafe slot.pointee.domain.store(key.domain, ordering: .relaxed)
        unsafe slot.pointee.start.store(start, ordering: .relaxed)
        unsafe slot.pointee.byteCount.store(keys.byteCount, ordering: .relaxed)
        unsafe slot.pointee.address.store(keys.address, ordering: .relaxed)
        unsafe slot.pointee.keys.store(UInt64(keys.localKey) | UInt64(keys.remoteKey) << 32, ordering: .relaxed)
        unsafe slot.pointee.traits.store(
            key.traits | (key.ioAddress == nil ? RegionTraits.isNatural : 0)
                | RegionTraits.constrained(keys.constraint),
            ordering: .relaxed)
        let before = unsafe slot.pointee.state.load(ordering: .relaxed)
        unsafe slot.pointee.state.store(
            SlotState.next(after: before, isAlive: isAlive, leases: UInt64(leases)), ordering: .releasing)
        guard isAlive else {
            index.countShared(number, UInt64(leases) | LeaseCount.hasEnded)
            endedCount += 1
            return number
        }
        index.countShared(number, UInt64(leases))
        index.markBegun(number)
        liveCount += 1
        liveBytes += keys.byteCount
        books.chain(number, CacheBuffer(key))
        table.insert(number, index)
        return number
    }

    /// Ends a region: no lookup finds it from here on. It is deregistered with its last lease, that of a lookup at this
    /// very moment among them.
    ///
    /// - Returns: whether it ended, and the region where nobody leases it.
    mutating func end(_ number: Int, _ index: borrowing CacheIndex) -> (ended: Bool, region: CachedRegion?) {
        let slot = unsafe index.slots + number
        let state = unsafe slot.pointee.state.load(ordering: .relaxed)
        guard state & SlotState.isAlive != 0 else { return (false, nil) }
        let leases = index.countEnded(number)
        let count = unsafe slot.pointee.byteCount.load(ordering: .relaxed)
        liveCount -= 1
        liveBytes -= count
        endedCount += 1
        // What readers remember may be this one.
        if !readers.isEmpty { unsafe index.root.pointee.epoch.wrappingAdd(1, ordering: .sequentiallyConsistent) }
        books.unchain(number)
        table.remove(number, index)
        return (true, leases == 0 ? retire(number, index) : nil)
    }

    /// Ends several, and counts them under a cause.
    ///
    /// - Returns: how many ended, and the regions that nobody leases.
    mutating func end(
        _ numbers: [Int], _ cause: CacheStatistics.Invalidation, _ index: borrowing CacheIndex
    ) -> (count: Int, regions: Ended) {
        var (count, regions): (Int, Ended) = (0, [])
        for number in numbers {
            let (isEnded, region) = end(number, index)
            if isEnded { count += 1 }
            if let region { regions.append(region) }
        }
        if count > 0 { statistics.invalidations[cause, default: 0] += UInt64(count) }
        return (count, regions)
    }

    /// Takes an ended region out of its slot when its last lease is given back, unless a reader may still see it.
    mutating func retire(_ number: Int, _ index: borrowing CacheIndex) -> CachedRegion? {
        let state = unsafe index.slots[number].state.load(ordering: .acquiring)
        guard state & (SlotState.isAlive | SlotState.leases) == 0, books.region(number) != nil else { return nil }
        guard readers.isEmpty else {
            // Whoever looks from the next epoch on does not find it any more.
            let epoch = unsafe index.root.pointee.epoch.wrappingAdd(1, ordering: .sequentiallyConsistent).oldValue
            waiting.append((number, epoch))
            return nil
        }
        return empty(number, index)
    }

    /// Ended regions that no reader sees any more.
    mutating func drain(_ index: borrowing CacheIndex) -> Ended {
        guard !waiting.isEmpty else { return [] }
        let oldest = readers.oldestEpoch()
        let free = waiting.prefix { $0.epoch < oldest }
        waiting.removeFirst(free.count)
        return free.compactMap { empty($0.slot, index) }
    }

    private mutating func empty(_ number: Int, _ index: borrowing CacheIndex) -> CachedRegion? {
        guard let cached = books.take(number) else { return nil }
        let slot = unsafe index.slots + number
        let state = unsafe slot.pointee.state.load(ordering: .relaxed)
        statistics.count(hits: index.takeHits(number), nanoseconds: cached.region.registrationNanoseconds)
        // The next region of this slot begins with the generation after this one, and no hits.
        unsafe slot.pointee.state.store(state & SlotState.generation, ordering: .releasing)
        endedCount -= 1
        return cached
    }
}

// MARK: - Eviction

extension CacheState {
    /// Ends idle regions, least recently used first as far as one bit each tells (second chance), until a condition
    /// holds or all are leased.
    mutating func evict(
        _ cause: CacheStatistics.Eviction, _ index: borrowing CacheIndex, until isEnough: (CacheState) -> Bool
    ) -> Ended {
        var ended: Ended = []
        // In two turns of the hand each idle region has lost its second chance.
        var left = 2 * books.taken.count
        while left > 0, liveCount > 0, !isEnough(self) {
            left -= 1
            hand = hand + 1 < books.taken.count ? hand + 1 : 0
            let number = Int(books.taken[hand])
            let slot = unsafe index.slots + number
            let state = unsafe slot.pointee.state.load(ordering: .relaxed)
            guard state & SlotState.isAlive != 0, index.counted(number).leases == 0 else { continue }
            if state & SlotState.wasUsed != 0 {
                unsafe _ = slot.pointee.state.bitwiseAnd(~SlotState.wasUsed, ordering: .relaxed)
                continue
            }
            let (isEnded, region) = end(number, index)
            if isEnded { statistics.evictions[cause, default: 0] += 1 }
            if let region { ended.append(region) }
        }
        return ended
    }
}
