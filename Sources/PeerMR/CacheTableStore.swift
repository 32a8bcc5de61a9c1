// SPDX-License-Identifier: Apache-2.0

internal import Synchronization

/// The tables of an index, the one in use and those before it. Under the cache's lock.
struct CacheTableStore {
    /// The pages of a table. Lookups may still be in one that was replaced: none is unmapped before the cache is gone,
    /// but it may be used again for a table of the same size.
    private final class Pages: Sendable {
        let pages: CachePages
        let count: Int

        init?(count: Int) {
            guard let pages = CachePages(byteCount: CacheTable.byteCount(count)) else { return nil }
            self.pages = pages
            self.count = count
        }

        var address: UInt { unsafe UInt(bitPattern: pages.base) }
    }

    private var current: Pages?
    private var replaced: [Pages] = []
    /// Words that are not 0, and those of them that lead to a region.
    private var taken = 0
    private var live = 0
    private static let smallest = 256

    /// Makes sure that one more region can be listed, with most words 0: a lookup that misses ends soon.
    ///
    /// - Parameter slots: the slots that are taken, of which those that are alive are listed.
    /// - Returns: false without memory.
    mutating func makeRoom(_ index: borrowing CacheIndex, _ slots: [UInt32]) -> Bool {
        if let current, (taken + 2) * 2 <= current.count { return true }
        // Words that were removed go with the old table, which need not grow where they were most.
        var count = current?.count ?? Self.smallest
        while (live + 2) * 4 > count { count *= 2 }
        guard let new = pages(count) else { return false }
        let table = CacheTable(over: new.pages, count: count)
        (taken, live) = (0, 0)
        for number in slots.lazy.map(Int.init) {
            let state = unsafe index.slots[number].state.load(ordering: .relaxed)
            if state & SlotState.isAlive != 0 { insert(number, index, table) }
        }
        unsafe index.root.pointee.table.store(new.address, ordering: .releasing)
        if let current { replaced.append(current) }
        current = new
        return true
    }

    private mutating func pages(_ count: Int) -> Pages? {
        guard let place = replaced.firstIndex(where: { $0.count == count }) else { return Pages(count: count) }
        let pages = replaced.remove(at: place)
        if let table = CacheTable(address: pages.address) { table.clear() }
        return pages
    }

    /// Lists a region by what its slot holds. See ``makeRoom(_:_:)``.
    mutating func insert(_ number: Int, _ index: borrowing CacheIndex) {
        guard let table else { return }
        insert(number, index, table)
    }

    private mutating func insert(_ number: Int, _ index: borrowing CacheIndex, _ table: CacheTable) {
        let (seed, level, blocks) = Self.place(of: number, index)
        unsafe _ = index.root.pointee.levels.bitwiseOr(1 << level, ordering: .relaxed)
        for block in blocks {
            if table.insert(CacheIndex.hash(seed, level, block), number) { taken += 1 }
            live += 1
        }
    }

    /// Takes a region off the list. Its slot must still hold what it was listed with.
    mutating func remove(_ number: Int, _ index: borrowing CacheIndex) {
        guard let table else { return }
        let (seed, level, blocks) = Self.place(of: number, index)
        for block in blocks {
            table.remove(CacheIndex.hash(seed, level, block), number)
            live -= 1
        }
    }

    private var table: CacheTable? { current.flatMap { CacheTable(address: $0.address) } }

    /// Where a region is listed: under the one or two blocks of its level that it touches.
    private static func place(
        of number: Int, _ index: borrowing CacheIndex
    ) -> (seed: UInt64, level: UInt64, blocks: ClosedRange<UInt64>) {
        let slot = unsafe index.slots + number
        let seed = unsafe CacheKey.seed(
            slot.pointee.identity.load(ordering: .relaxed), slot.pointee.domain.load(ordering: .relaxed),
            slot.pointee.traits.load(ordering: .relaxed))
        let start = unsafe slot.pointee.start.load(ordering: .relaxed)
        let count = unsafe slot.pointee.byteCount.load(ordering: .relaxed)
        let level = CacheIndex.level(count)
        return (seed, level, start >> level...(start + count - 1) >> level)
    }
}
