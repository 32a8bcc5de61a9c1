// SPDX-License-Identifier: Apache-2.0

internal import CLeases
internal import Synchronization

/// How often one thread, or a few, leased one region, in one word. Threads count in places of their own, so that
/// none waits for a cache line that another writes.
///
/// From the lowest bit: 32 count the leases, each of which is given back where it was counted; one says that the region
/// has ended; 31 count hits.
enum LeaseCount {
    typealias Place = UnsafeMutablePointer<Atomic<UInt64>>

    // A lease takes 40 bytes: there is no memory for as many as the field counts.
    static let leases: UInt64 = 0xffff_ffff
    static let hasEnded: UInt64 = 1 << 32
    private static let oneHit: UInt64 = 1 << 33
    private static let isHalfFull: UInt64 = 1 << 63
    /// The number of hits that a word which is half full is rid of.
    static let hitsPerRound: UInt64 = 1 << 30

    static func hits(in word: UInt64) -> UInt64 { word >> 33 }

    /// The word with one lease and one hit more.
    @inline(__always)
    static func leased(_ word: UInt64) -> UInt64 { (word & ~isHalfFull) &+ (oneHit | 1) }

    @inline(__always)
    static func isRound(_ word: UInt64) -> Bool { word & isHalfFull != 0 }
}

/// The tables of lease counts, a word for each slot: one that is nobody's, and one for each thread's number
/// (`peermr_counter`). They live as long as the store. Under the cache's lock.
struct CacheCounts {
    private final class Table: Sendable {
        let pages: CachePages

        init?(capacity: Int) {
            guard let pages = CachePages(byteCount: capacity * MemoryLayout<UInt64>.stride) else { return nil }
            self.pages = pages
        }
    }

    private var tables: [Table] = []
    /// The number of the table that is nobody's.
    static let shared: UInt32 = 0

    /// - Returns: nil without memory.
    init?(_ index: borrowing CacheIndex) {
        guard make(Self.shared, index) else { return nil }
    }

    /// The number of a table that there is: the one that is wanted, or the one that is nobody's without memory for it.
    mutating func existing(_ number: UInt32, _ index: borrowing CacheIndex) -> UInt32 {
        if unsafe index.counts(number) != nil { return number }
        return make(number, index) ? number : Self.shared
    }

    private mutating func make(_ number: UInt32, _ index: borrowing CacheIndex) -> Bool {
        guard let table = Table(capacity: index.capacity) else { return false }
        tables.append(table)
        unsafe index.countTables[Int(number)].store(UInt(bitPattern: table.pages.base), ordering: .releasing)
        return true
    }
}

// MARK: - Of one region

extension CacheIndex {
    /// Where lookups find the tables, by number; 0 for one that is not there.
    var countTables: UnsafeMutablePointer<Atomic<UInt>> {
        unsafe (UnsafeMutableRawPointer(root) + 64).assumingMemoryBound(to: Atomic<UInt>.self)
    }

    /// The table of a number, by slots; nil where there is none.
    @inline(__always)
    func counts(_ number: UInt32) -> LeaseCount.Place? {
        unsafe LeaseCount.Place(bitPattern: countTables[Int(number)].load(ordering: .acquiring))
    }

    /// Where leases are counted that lookups get which have waited for a registration.
    func sharedCount(_ number: Int) -> LeaseCount.Place? {
        unsafe counts(CacheCounts.shared).map { unsafe $0 + number }
    }

    /// The words of a slot in all tables.
    private func words<Value>(_ number: Int, _ start: Value, _ next: (inout Value, LeaseCount.Place) -> Void) -> Value {
        var value = start
        for table in 0..<UInt32(PEERMR_COUNTERS) {
            if let counts = unsafe counts(table) { unsafe next(&value, counts + number) }
        }
        return value
    }

    /// The leases and hits of a slot. Threads may be at it: where the region lives on, they were so once.
    func counted(_ number: Int) -> (leases: UInt64, hits: UInt64) {
        unsafe words(number, (0, 0)) { (sum: inout (leases: UInt64, hits: UInt64), place) in
            let word = unsafe place.pointee.load(ordering: .acquiring)
            sum.leases += word & LeaseCount.leases
            sum.hits += LeaseCount.hits(in: word)
        }
    }

    /// Counts leases of those that wait for a registration, before anyone else finds the region.
    func countShared(_ number: Int, _ word: UInt64) {
        guard let place = unsafe sharedCount(number) else { return }
        unsafe place.pointee.store(word, ordering: .releasing)
    }

    /// Ends a slot's region: no more leases are counted, and those that are out are counted in the slot's state.
    /// Whoever gives one back sees that.
    ///
    /// - Returns: how many are out still.
    func countEnded(_ number: Int) -> UInt64 {
        let slot = unsafe slots + number
        unsafe _ = slot.pointee.state.bitwiseXor(
            SlotState.isAlive | SlotState.notCounted, ordering: .acquiringAndReleasing)
        let leases = unsafe words(number, 0) { (leases: inout UInt64, place) in
            let before = unsafe place.pointee.bitwiseOr(LeaseCount.hasEnded, ordering: .acquiringAndReleasing).oldValue
            leases += before & LeaseCount.leases
        }
        // Some may have been given back since they were counted.
        let state = unsafe slot.pointee.state.wrappingAdd(
            leases &- SlotState.notCounted, ordering: .acquiringAndReleasing
        ).newValue
        return state & SlotState.leases
    }

    /// Takes the hits of a slot that nobody leases.
    func takeHits(_ number: Int) -> UInt64 {
        unsafe words(number, 0) { (hits: inout UInt64, place) in
            let kept = LeaseCount.leases | LeaseCount.hasEnded
            let before = unsafe place.pointee.bitwiseAnd(kept, ordering: .acquiringAndReleasing).oldValue
            hits += LeaseCount.hits(in: before)
        }
    }

    /// Lets leases be counted again, of a slot's next region.
    func markBegun(_ number: Int) {
        unsafe words(number, ()) { (_, place) in
            unsafe _ = place.pointee.bitwiseAnd(~LeaseCount.hasEnded, ordering: .releasing)
        }
    }
}
