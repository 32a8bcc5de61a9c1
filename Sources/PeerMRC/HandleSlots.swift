// SPDX-License-Identifier: Apache-2.0

internal import Synchronization

/// One object that a handle stands for, and whether it is used now.
struct HandleSlot: ~Copyable {
    /// From the lowest bit: 32 bits count the calls that use it; one says that there is an object; one that a call is
    /// ending it; 24 count the objects that the slot has had.
    private let state = Atomic<UInt64>(0)
    /// The object, retained.
    let object = Atomic<UInt>(0)

    private static let users: UInt64 = 0xffff_ffff
    private static let isLive: UInt64 = 1 << 32
    private static let isEnding: UInt64 = 1 << 33
    private static let generationShift: UInt64 = 40

    enum Outcome {
        case done
        /// Another call is using it, or ending it.
        case busy
        /// The handle was freed.
        case gone
    }

    /// Puts an object that has been stored to use.
    func begin() -> UInt64 {
        let generation = state.load(ordering: .relaxed) >> Self.generationShift
        state.store(generation << Self.generationShift | Self.isLive, ordering: .releasing)
        return generation
    }

    func use(_ generation: UInt64) -> Outcome {
        var now = state.load(ordering: .acquiring)
        while true {
            guard now >> Self.generationShift == generation, now & Self.isLive != 0 else { return .gone }
            guard now & Self.isEnding == 0 else { return .busy }
            let (done, found) = state.weakCompareExchange(
                expected: now, desired: now + 1, ordering: .acquiringAndReleasing)
            if done { return .done }
            now = found
        }
    }

    func release() { state.wrappingSubtract(1, ordering: .releasing) }

    /// Whether the handle is good, and no call is ending it: for a caller that has noted that it uses it.
    func isUsable(_ generation: UInt64) -> Bool {
        let now = state.load(ordering: .acquiring)
        return now >> Self.generationShift == generation && now & (Self.isLive | Self.isEnding) == Self.isLive
    }

    func isEnding(_ generation: UInt64) -> Bool {
        let now = state.load(ordering: .acquiring)
        return now >> Self.generationShift == generation && now & Self.isEnding != 0
    }

    /// Takes an object that nobody uses, to end it.
    func claim(_ generation: UInt64) -> Outcome {
        var now = state.load(ordering: .acquiring)
        while true {
            guard now >> Self.generationShift == generation, now & Self.isLive != 0 else { return .gone }
            guard now & (Self.isEnding | Self.users) == 0 else { return .busy }
            let (done, found) = state.weakCompareExchange(
                expected: now, desired: now | Self.isEnding, ordering: .acquiringAndReleasing)
            if done { return .done }
            now = found
        }
    }

    /// Whether a handle of this generation has been given out, now or before.
    func isKnown(_ generation: UInt64) -> Bool {
        let now = state.load(ordering: .acquiring)
        return generation < now >> Self.generationShift
            || generation == now >> Self.generationShift && now & Self.isLive != 0
    }

    func unclaim() { _ = state.bitwiseAnd(~Self.isEnding, ordering: .releasing) }

    /// Ends a claimed object: no handle stands for it any more.
    ///
    /// - Returns: whether the slot can have another one, whose handle was never given out.
    func finish() -> Bool {
        let generation = state.load(ordering: .relaxed) >> Self.generationShift
        guard generation < Handle.lastGeneration else {
            state.store(generation << Self.generationShift, ordering: .releasing)
            return false
        }
        state.store((generation + 1) << Self.generationShift, ordering: .releasing)
        return true
    }
}

/// Slots by number, made in blocks that double and are never freed: a handle that was freed long ago still leads to its
/// slot.
@safe
final class HandleSlots: @unchecked Sendable {
    private static let first = 64
    private static let blockCount = 15
    /// The addresses of blocks; 0 for one that has not been made.
    private let blocks: UnsafeMutablePointer<Atomic<UInt>>

    init() {
        unsafe blocks = .allocate(capacity: Self.blockCount)
        for block in 0..<Self.blockCount { unsafe (blocks + block).initialize(to: Atomic(0)) }
    }

    deinit {
        for block in 0..<Self.blockCount {
            let address = unsafe blocks[block].load(ordering: .relaxed)
            if let base = unsafe UnsafeMutablePointer<HandleSlot>(bitPattern: address) { unsafe base.deallocate() }
        }
        unsafe blocks.deallocate()
    }

    /// The block of a slot, and its place in it.
    @inline(__always)
    private static func place(_ number: Int) -> (block: Int, index: Int) {
        let shifted = number / first + 1
        let block = Int.bitWidth - 1 - shifted.leadingZeroBitCount
        return (block, number - first * (1 << block - 1))
    }

    /// A slot that has been made; nil for one that has not.
    @inline(__always)
    func slot(_ number: Int) -> UnsafeMutablePointer<HandleSlot>? {
        let (block, index) = Self.place(number)
        let address = unsafe blocks[block].load(ordering: .acquiring)
        guard let base = unsafe UnsafeMutablePointer<HandleSlot>(bitPattern: address) else { return nil }
        return unsafe base + index
    }

    /// A slot, made where it is not there yet.
    func make(_ number: Int) -> UnsafeMutablePointer<HandleSlot>? {
        if let slot = unsafe slot(number) { return unsafe slot }
        let (block, _) = Self.place(number)
        let count = Self.first << block
        let made = UnsafeMutablePointer<HandleSlot>.allocate(capacity: count)
        for index in 0..<count { unsafe (made + index).initialize(to: HandleSlot()) }
        let (isFirst, _) = unsafe blocks[block].compareExchange(
            expected: 0, desired: UInt(bitPattern: made), ordering: .acquiringAndReleasing)
        if !isFirst { unsafe made.deallocate() }
        return unsafe slot(number)
    }
}
