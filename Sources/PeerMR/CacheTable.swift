// SPDX-License-Identifier: Apache-2.0

internal import Synchronization

/// A table of words in memory: a mask, and then a power of two of words, each with the upper half of a hash and the
/// number of a slot.
@safe
struct CacheTable {
    private let words: UnsafeMutablePointer<Atomic<UInt64>>
    let mask: UInt64
    private static let headBytes = 64
    /// What stands where a word was removed: it leads to the slot that never matches.
    private static let removed: UInt64 = 1

    @inline(__always)
    init?(address: UInt) {
        guard let head = unsafe UnsafeMutableRawPointer(bitPattern: address) else { return nil }
        mask = unsafe head.load(as: UInt64.self)
        unsafe words = (head + Self.headBytes).assumingMemoryBound(to: Atomic<UInt64>.self)
    }

    /// A table without a word in it, over pages that are all zero.
    init(over pages: borrowing CachePages, count: Int) {
        unsafe pages.base.storeBytes(of: UInt64(count - 1), as: UInt64.self)
        mask = UInt64(count - 1)
        unsafe words = (pages.base + Self.headBytes).assumingMemoryBound(to: Atomic<UInt64>.self)
    }

    static func byteCount(_ count: Int) -> Int { headBytes + count * MemoryLayout<UInt64>.stride }

    @inline(__always)
    func word(at place: UInt64) -> UInt64 {
        unsafe words[Int(truncatingIfNeeded: place & mask)].load(ordering: .relaxed)
    }

    @inline(__always)
    static func mayMatch(_ word: UInt64, _ hash: UInt64) -> Bool { (word ^ hash) >> 32 == 0 }

    @inline(__always)
    static func slot(_ word: UInt64) -> Int { Int(truncatingIfNeeded: (word & 0xffff_ffff) &- 1) }

    private static func word(_ hash: UInt64, _ slot: Int) -> UInt64 { (hash & ~0xffff_ffff) | UInt64(slot + 1) }

    // MARK: - Under the lock

    /// - Returns: whether the word took a place that had never been taken.
    func insert(_ hash: UInt64, _ slot: Int) -> Bool {
        var place = hash
        while true {
            let word = word(at: place)
            if word == 0 || word == Self.removed {
                store(Self.word(hash, slot), at: place)
                return word == 0
            }
            place &+= 1
        }
    }

    func remove(_ hash: UInt64, _ slot: Int) {
        let wanted = Self.word(hash, slot)
        var place = hash
        while true {
            let word = word(at: place)
            if word == 0 { return }
            if word == wanted { return store(Self.removed, at: place) }
            place &+= 1
        }
    }

    func clear() {
        for place in 0...mask { store(0, at: place) }
    }

    private func store(_ word: UInt64, at place: UInt64) {
        unsafe words[Int(truncatingIfNeeded: place & mask)].store(word, ordering: .releasing)
    }
}
