// SPDX-License-Identifier: Apache-2.0

internal import Synchronization
internal import Verbs

/// One region of a cache as lookups see it: a cache line, written under the cache's lock and read without one.
///
/// Everything but ``state`` changes only while the slot is not alive. A reader compares the rest between two looks at
/// ``state``: where that is still of the same generation and alive, what was read belongs together.
struct CacheSlot: ~Copyable {
    /// See ``SlotState``.
    let state = Atomic<UInt64>(0)
    /// Distinguishes the memory from any other of its kind; see ``CacheKey``.
    let identity = Atomic<UInt64>(0)
    /// See ``CacheDomains``.
    let domain = Atomic<UInt64>(0)
    /// See ``RegionTraits``.
    let traits = Atomic<UInt64>(0)
    /// Where the region begins in its memory, in bytes.
    let start = Atomic<UInt64>(0)
    /// The length in bytes.
    let byteCount = Atomic<UInt64>(0)
    /// The I/O address of the first byte.
    let address = Atomic<UInt64>(0)
    /// The local key in the lower half, the remote key in the upper one.
    let keys = Atomic<UInt64>(0)
}

/// What lookups look at twice, in one word. They write it only where the clock's hand has come by.
///
/// From the lowest bit: 40 bits count the leases of a region that has ended (see ``LeaseCount`` for those of others);
/// one says that the region may be leased; one that it was, since the clock's hand last came by; 22 count the regions
/// that the slot has had.
enum SlotState {
    static let leases: UInt64 = (1 << 40) - 1
    static let isAlive: UInt64 = 1 << 40
    static let wasUsed: UInt64 = 1 << 41
    static let generation: UInt64 = ~0 << 42
    /// What must not have changed for a slot to hold what it held before.
    static let identity = generation | isAlive
    /// More leases than there can be: counted while the others are, so that none that is given back is the last one.
    static let notCounted: UInt64 = 1 << 39

    /// The state of the next region of a slot. It was not used yet: what is used once only goes before what was used
    /// again.
    static func next(after state: UInt64, isAlive alive: Bool, leases count: UInt64) -> UInt64 {
        (state & generation) &+ (1 << 42) | (alive ? isAlive : count)
    }
}

/// What a region is, besides its place, in one word. From the lowest bit: 32 bits that a request must match exactly; 8
/// of local rights, of which a request may want fewer; one for an I/O address that nobody asked for; the constraint.
enum RegionTraits {
    static let exact: UInt64 = 0xffff_ffff
    /// The kind of identity, which is part of what must match.
    static let space: UInt64 = 0xf << spaceShift
    static let spaceShift: UInt64 = 20
    static let local: UInt64 = 0xff << 32
    static let isNatural: UInt64 = 1 << 40
    private static let alignment: UInt64 = 41
    private static let pathMTU: UInt64 = 48

    /// Rights of the own device alone: a region may have more of them than were asked for.
    private static let localRights: Access = [.localWrite, Access(rawValue: 1 << 4)]

    /// The rights, the kind of identity and the handle of a request.
    static func requested(_ access: Access, space: UInt64, handle: UInt64) -> UInt64 {
        let rights = access.subtracting(localRights).rawValue
        // Bits 0 to 9, and the optional ones from 20 on.
        let exact = UInt64(rights & 0x3ff | rights >> 10 & 0xffc00)
        let local = UInt64(access.intersection(localRights).rawValue)
        return exact | (space & 0xf) << spaceShift | (handle & 0xff) << 24 | local << 32
    }

    static func constrained(_ constraint: TransferConstraint) -> UInt64 {
        UInt64(constraint.alignment.trailingZeroBitCount) << alignment | UInt64(constraint.pathMTUBytes) << pathMTU
    }

    /// What the address of a transfer must be a multiple of, in bytes.
    @inline(__always)
    static func alignment(in traits: UInt64) -> UInt64 { 1 &<< (traits &>> alignment & 0x3f) }

    /// The only path MTU at which transfers are right, in bytes; 0 where any is.
    @inline(__always)
    static func pathMTUBytes(in traits: UInt64) -> Int { Int(truncatingIfNeeded: traits &>> pathMTU) }
}
