// SPDX-License-Identifier: Apache-2.0

internal import CLeases
internal import Synchronization

/// What a lookup is for, as far as it is the same for all parts of one memory.
struct CacheKey: Hashable, Sendable {
    /// Distinguishes the memory from any other of its kind: the inode number of a dma-buf, the address of an object.
    let identity: UInt64
    /// See ``CacheDomains``.
    let domain: UInt64
    /// As in ``RegionTraits``: what must match exactly, and the local rights that are wanted.
    let traits: UInt64
    /// The I/O address wanted for the first byte of what the identity names, whether or not it is registered; nil for
    /// the natural one.
    let ioAddress: UInt64?
    /// What all hashes of the key begin with.
    let seed: UInt64

    init(identity: UInt64, domain: UInt64, traits: UInt64, ioAddress: UInt64?) {
        self.identity = identity
        self.domain = domain
        self.traits = traits
        self.ioAddress = ioAddress
        seed = Self.seed(identity, domain, traits)
    }

    static func seed(_ identity: UInt64, _ domain: UInt64, _ traits: UInt64) -> UInt64 {
        let a = identity &* 0x9e37_79b9_7f4a_7c15 ^ 0xe703_7ed1_a0b4_28db
        let b = (domain ^ (traits & RegionTraits.exact) &* 0xd6e8_feb8_6659_fd93) &* 0xa076_1d64_78bd_642f
        return a ^ (b << 32 | b >> 32)
    }
}

/// Regions by what they are over, found without a lock.
///
/// A region of up to 2^k bytes is listed under each block of 2^k bytes that it touches, of which there are at most two.
/// A lookup looks in the block that its first byte is in, for each k that there are regions of: its own size first,
/// which finds what is asked for again and again at once. The list is a table of open addressing, whose words hold half
/// a hash and the number of a slot. Slots never move; a word that is being rewritten leads to a slot that does not
/// match, and the lookup misses. A miss is decided under the cache's lock.
///
/// Before the list, a lookup looks where such a region would be at home: the hash of a region's first block names a
/// pair of slots, and most regions have one of them (``CacheBooks``). So most hits read one line of the region's and
/// none of the table's.
@safe
struct CacheIndex: ~Copyable, Sendable {
    /// What lookups begin with.
    struct Root: ~Copyable {
        /// The address of the table; 0 in a child process.
        let table = Atomic<UInt>(0)
        /// Bit k: there are, or were, regions of more than 2^(k-1) and up to 2^k bytes.
        let levels = Atomic<UInt64>(0)
        /// Counts regions that have ended while there were readers; see ``CacheReaders``.
        let epoch = Atomic<UInt64>(1)
        /// How often the hits of a word were half full; see ``LeaseCount``.
        let hitRounds = Atomic<UInt64>(0)
        // Behind it: the tables of lease counts.
    }

    private let rootPages: CachePages
    private let slotPages: CachePages
    /// The number of slots. Slot 0 holds no region: words that were removed lead to it.
    let capacity: Int
    /// One less than the number of homes, a power of two.
    private let homeMask: UInt64
    /// The first home. It is even: the slots of a pair are neighbours in memory, which processors fetch together.
    private static let firstHome = 2
    /// The first slot that is nobody's home.
    var firstOther: Int { Self.firstHome + Int(truncatingIfNeeded: homeMask) + 1 }

    /// - Parameters:
    ///   - regions: how many there may be. There are more homes, so that most find theirs free.
    ///   - others: how many slots there are besides.
    /// - Returns: nil without memory.
    init?(regions: Int, others: Int) {
        var homes = 16
        while homes < regions + regions / 2 { homes *= 2 }
        let capacity = Self.firstHome + homes + others
        // Zeros: no table of lease counts is there yet.
        guard let root = CachePages(byteCount: 64 + Int(PEERMR_COUNTERS) * MemoryLayout<UInt>.stride),
            let slots = CachePages(byteCount: capacity * MemoryLayout<CacheSlot>.stride)
        else { return nil }
        unsafe root.base.assumingMemoryBound(to: Root.self).initialize(to: Root())
        rootPages = root
        slotPages = slots
        homeMask = UInt64(homes - 1)
        self.capacity = capacity
    }

    var root: UnsafeMutablePointer<Root> { unsafe rootPages.base.assumingMemoryBound(to: Root.self) }
    /// All zeros are a slot that never held a region.
    var slots: UnsafeMutablePointer<CacheSlot> { unsafe slotPages.base.assumingMemoryBound(to: CacheSlot.self) }
    /// Whether this is a child of the process that made it.
    var isWiped: Bool { unsafe root.pointee.table.load(ordering: .relaxed) == 0 }
}

// MARK: - Lookup

/// What a lookup found.
@safe
struct CacheHit {
    let slot: UnsafeMutablePointer<CacheSlot>
    /// As in ``CacheSlot``.
    let address: UInt64
    let start: UInt64
    let keys: UInt64
    let traits: UInt64
}

extension CacheIndex {
    /// The level of a length: k for more than 2^(k-1) and up to 2^k bytes. No region is shorter than a page of 4 KiB.
    @inline(__always)
    static func level(_ byteCount: UInt64) -> UInt64 {
        UInt64(truncatingIfNeeded: 64 &- (max(byteCount, 4096) &- 1).leadingZeroBitCount)
    }

    @inline(__always)
    static func hash(_ seed: UInt64, _ level: UInt64, _ block: UInt64) -> UInt64 {
        let mixed = seed ^ (block &+ level &<< 56) &* 0x9fb2_1c65_1e98_df25
        let product = mixed.multipliedFullWidth(by: 0xd6e8_feb8_6659_fd93)
        return product.high ^ product.low
    }

    /// A slot where a region with this hash is at home; the other one of the pair has the last bit flipped.
    @inline(__always)
    borrowing func home(_ hash: UInt64) -> Int {
        // The table's words hold the upper half, and its places are the lowest bits.
        Self.firstHome &+ Int(truncatingIfNeeded: (hash &>> 7) & homeMask)
    }

    /// Finds a region and writes nothing: for a reader, which keeps regions from ending by itself.
    @inline(__always)
    borrowing func find(_ key: CacheKey, _ start: UInt64, _ count: UInt64) -> CacheHit? {
        unsafe search(key, start, count) { slot, seen in
            atomicMemoryFence(ordering: .acquiring)
            let now = unsafe slot.pointee.state.load(ordering: .relaxed)
            guard (now ^ seen) & SlotState.identity == 0 else { return false }
            unsafe Self.noteUse(slot, now)
            return true
        }
    }

    /// Tells the clock's hand. Written only when it has come by since the last look.
    @inline(__always)
    static func noteUse(_ slot: UnsafeMutablePointer<CacheSlot>, _ state: UInt64) {
        if state & SlotState.wasUsed == 0 {
            unsafe _ = slot.pointee.state.bitwiseOr(SlotState.wasUsed, ordering: .relaxed)
        }
    }

    /// Finds a region that has all of a range.
    ///
    /// - Parameter take: takes it, where its state is still as it was: what was compared belongs together.
    @inline(__always)
    borrowing func search(
        _ key: CacheKey, _ start: UInt64, _ count: UInt64, _ take: (UnsafeMutablePointer<CacheSlot>, UInt64) -> Bool
    ) -> CacheHit? {
        let root = unsafe root
        guard let table = unsafe CacheTable(address: root.pointee.table.load(ordering: .acquiring)) else { return nil }
        let own = Self.level(count)
        if let hit = unsafe search(key, start, count, own, table, take) { return hit }
        var larger = unsafe root.pointee.levels.load(ordering: .relaxed) & ((~0 &<< own) &<< 1)
        while larger != 0 {
            let level = UInt64(truncatingIfNeeded: larger.trailingZeroBitCount)
            if let hit = unsafe search(key, start, count, level, table, take) { return hit }
            larger &= larger &- 1
        }
        return nil
    }

    @inline(__always)
    private borrowing func search(
        _ key: CacheKey, _ start: UInt64, _ count: UInt64, _ level: UInt64, _ table: CacheTable,
        _ take: (UnsafeMutablePointer<CacheSlot>, UInt64) -> Bool
    ) -> CacheHit? {
        let hash = Self.hash(key.seed, level, start &>> level)
        let slots = unsafe slots
        let home = home(hash)
        if let hit = unsafe Self.take(slots + home, key, start, count, take) { return hit }
        if let hit = unsafe Self.take(slots + (home ^ 1), key, start, count, take) { return hit }
        var place = hash
        var left = table.mask
        while true {
            let word = table.word(at: place)
            // A table that is written over meanwhile might have no end.
            if word == 0 || left == 0 { return nil }
            if CacheTable.mayMatch(word, hash),
                let hit = unsafe Self.take(slots + CacheTable.slot(word), key, start, count, take)
            {
                return hit
            }
            place &+= 1
            left &-= 1
        }
    }

    @inline(__always)
    private static func take(
        _ slot: UnsafeMutablePointer<CacheSlot>, _ key: CacheKey, _ start: UInt64, _ count: UInt64,
        _ take: (UnsafeMutablePointer<CacheSlot>, UInt64) -> Bool
    ) -> CacheHit? {
        let state = unsafe slot.pointee.state.load(ordering: .acquiring)
        guard state & SlotState.isAlive != 0, let hit = unsafe match(slot, key, start, count), unsafe take(slot, state)
        else { return nil }
        return hit
    }

    @inline(__always)
    private static func match(
        _ slot: UnsafeMutablePointer<CacheSlot>, _ key: CacheKey, _ start: UInt64, _ count: UInt64
    ) -> CacheHit? {
        let traits = unsafe slot.pointee.traits.load(ordering: .relaxed)
        let first = unsafe slot.pointee.start.load(ordering: .relaxed)
        let size = unsafe slot.pointee.byteCount.load(ordering: .relaxed)
        let address = unsafe slot.pointee.address.load(ordering: .relaxed)
        let offset = start &- first
        guard unsafe slot.pointee.identity.load(ordering: .relaxed) == key.identity,
            unsafe slot.pointee.domain.load(ordering: .relaxed) == key.domain,
            (traits ^ key.traits) & RegionTraits.exact == 0, key.traits & RegionTraits.local & ~traits == 0,
            offset <= size, count <= size &- offset
        else { return nil }
        if let wanted = key.ioAddress {
            guard address &- first == wanted else { return nil }
        } else {
            guard traits & RegionTraits.isNatural != 0 else { return nil }
        }
        return unsafe CacheHit(
            slot: slot, address: address &+ offset, start: first,
            keys: slot.pointee.keys.load(ordering: .relaxed), traits: traits)
    }
}
