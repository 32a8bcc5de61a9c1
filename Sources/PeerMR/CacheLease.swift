// SPDX-License-Identifier: Apache-2.0

internal import CLeases
internal import Synchronization

/// A lease of what a lookup found.
@safe
struct CacheLease {
    let hit: CacheHit
    /// Where it is counted.
    let count: LeaseCount.Place
}

extension CacheStore {
    /// Finds a region that has all of a range, and counts a lease of it.
    ///
    /// - Parameter counter: which table it is counted in: the thread's own.
    /// - Returns: nil where there is none, or not that table.
    @inline(__always)
    func lease(
        _ key: CacheKey, _ start: UInt64, _ count: UInt64, counter: UInt32 = peermr_counter()
    ) -> CacheLease? {
        guard let counts = unsafe index.counts(counter) else { return nil }
        let slots = unsafe index.slots
        let hit = unsafe index.search(key, start, count) { slot, seen in
            let place = unsafe counts + (slot - slots)
            guard unsafe self.count(place) else { return false }
            let now = unsafe slot.pointee.state.load(ordering: .acquiring)
            guard (now ^ seen) & SlotState.identity == 0 else {
                // It has another region by now, or none: as if that had been leased for a moment.
                unsafe self.giveBack(slot, place)
                return false
            }
            unsafe CacheIndex.noteUse(slot, now)
            return true
        }
        guard let hit else { return nil }
        return unsafe CacheLease(hit: hit, count: counts + (hit.slot - slots))
    }

    /// Counts a lease, of a region that has not ended.
    @inline(__always)
    private func count(_ place: LeaseCount.Place) -> Bool {
        // The processor fetches the word while it compares what is in the slot.
        var word = unsafe place.pointee.load(ordering: .relaxed)
        while word & LeaseCount.hasEnded == 0 {
            let (done, now) = unsafe place.pointee.compareExchange(
                expected: word, desired: LeaseCount.leased(word), ordering: .acquiringAndReleasing)
            if done {
                if LeaseCount.isRound(word) { unsafe index.root.pointee.hitRounds.wrappingAdd(1, ordering: .relaxed) }
                return true
            }
            word = now
        }
        return false
    }

    @inline(never)
    func giveBack(_ slot: UnsafeMutablePointer<CacheSlot>, _ count: LeaseCount.Place) {
        if unsafe CacheIndex.giveBack(slot, count) { unsafe retire(slot) }
    }
}

extension CacheIndex {
    /// Whether there are leases where one was counted: in a child process there are none.
    @inline(__always)
    static func isLeased(_ count: LeaseCount.Place) -> Bool {
        unsafe count.pointee.load(ordering: .relaxed) & LeaseCount.leases != 0
    }

    /// Gives a lease back. From here on the slot may be gone with the cache, unless this was the last lease.
    ///
    /// - Returns: whether it was the last one of a region that has ended, which is then to be retired.
    @inline(__always)
    static func giveBack(_ slot: UnsafeMutablePointer<CacheSlot>, _ count: LeaseCount.Place) -> Bool {
        let before = unsafe count.pointee.wrappingSubtract(1, ordering: .acquiringAndReleasing).oldValue
        return unsafe before & LeaseCount.hasEnded != 0 && giveBackEnded(slot)
    }

    @inline(never)
    private static func giveBackEnded(_ slot: UnsafeMutablePointer<CacheSlot>) -> Bool {
        let before = unsafe slot.pointee.state.wrappingSubtract(1, ordering: .acquiringAndReleasing).oldValue
        return before & SlotState.leases == 1
    }
}
