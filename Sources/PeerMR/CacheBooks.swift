// SPDX-License-Identifier: Apache-2.0

internal import Synchronization

/// What is known of each slot under the cache's lock, and which slots are taken.
///
/// A region gets a slot that its hash calls home, where one of the two is free, and another one else. What is known of
/// a slot costs memory once the slot, or one near it, was used.
@safe
final class CacheBooks: @unchecked Sendable {
    /// All zeros are a slot without a region.
    @safe
    private struct Entry {
        /// A reference of ours.
        var region: Unmanaged<CachedRegion>?
        /// Its place in ``taken``.
        var place: UInt32
        /// The slots before and behind it, of the regions of one buffer; 0 for none.
        var next: UInt32
        var previous: UInt32
        /// Whether it stands among those of its buffer.
        var isChained: Bool
        var buffer: CacheBuffer
    }

    private let pages: CachePages
    private let capacity: Int
    /// The slots that have a region, in no order.
    private(set) var taken: [UInt32] = []
    private var buffers: [CacheBuffer: UInt32] = [:]
    /// Slots that are nobody's home: those that were used, and the first of those that never were.
    private var unused: [UInt32] = []
    private var firstUnused: Int
    private let firstOther: Int

    /// - Returns: nil without memory.
    init?(_ index: borrowing CacheIndex) {
        guard let pages = CachePages(byteCount: index.capacity * MemoryLayout<Entry>.stride) else { return nil }
        self.pages = pages
        capacity = index.capacity
        firstOther = index.firstOther
        firstUnused = index.firstOther
    }

    deinit {
        for number in taken { unsafe entries[Int(number)].region?.release() }
    }

    private var entries: UnsafeMutablePointer<Entry> { unsafe pages.base.assumingMemoryBound(to: Entry.self) }

    func region(_ number: Int) -> CachedRegion? { unsafe entries[number].region?.takeUnretainedValue() }

    /// Gives a region a slot.
    ///
    /// - Parameter home: a slot that it is at home in.
    /// - Returns: nil where there is none left.
    func put(_ region: CachedRegion, home: Int) -> Int? {
        guard let number = freeSlot(home) else { return nil }
        unsafe entries[number].region = unsafe .passRetained(region)
        unsafe entries[number].place = UInt32(taken.count)
        taken.append(UInt32(number))
        return number
    }

    private func freeSlot(_ home: Int) -> Int? {
        if unsafe entries[home].region == nil { return home }
        if unsafe entries[home ^ 1].region == nil { return home ^ 1 }
        if let number = unused.popLast() { return Int(number) }
        guard firstUnused < capacity else { return nil }
        firstUnused += 1
        return firstUnused - 1
    }

    /// Takes a region out of its slot, which is free from here on.
    func take(_ number: Int) -> CachedRegion? {
        guard let region = unsafe entries[number].region else { return nil }
        let place = unsafe Int(entries[number].place)
        if let last = taken.popLast(), last != UInt32(number) {
            taken[place] = last
            unsafe entries[Int(last)].place = UInt32(place)
        }
        unsafe entries[number].region = nil
        if number >= firstOther { unused.append(UInt32(number)) }
        return unsafe region.takeRetainedValue()
    }
}

// MARK: - By buffer

extension CacheBooks {
    func chain(_ number: Int, _ buffer: CacheBuffer) {
        let first = buffers[buffer] ?? 0
        unsafe entries[number].next = first
        unsafe entries[number].previous = 0
        unsafe entries[number].isChained = true
        unsafe entries[number].buffer = buffer
        if first != 0 { unsafe entries[Int(first)].previous = UInt32(number) }
        buffers[buffer] = UInt32(number)
    }

    func unchain(_ number: Int) {
        guard unsafe entries[number].isChained else { return }
        let (next, previous) = unsafe (entries[number].next, entries[number].previous)
        if next != 0 { unsafe entries[Int(next)].previous = previous }
        if previous != 0 {
            unsafe entries[Int(previous)].next = next
        } else {
            buffers[unsafe entries[number].buffer] = next == 0 ? nil : next
        }
        unsafe entries[number].isChained = false
    }

    /// The slots of a buffer's regions that may be leased.
    func slots(of buffer: CacheBuffer) -> [Int] {
        var found: [Int] = []
        var number = Int(buffers[buffer] ?? 0)
        while number != 0 {
            found.append(number)
            number = unsafe Int(entries[number].next)
        }
        return found
    }
}
