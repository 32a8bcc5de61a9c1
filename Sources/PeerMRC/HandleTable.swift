// SPDX-License-Identifier: Apache-2.0

internal import Synchronization
internal import PeerMRCore

/// What a handle stands for.
enum HandleKind: UInt, CaseIterable {
    case capability = 1
    case p2pmem = 2
    case region = 3
    case bulk = 8

    /// Its name in the header.
    var name: String {
        switch self {
        case .capability: "struct peermr_capability"
        case .p2pmem: "struct peermr_p2pmem"
        case .region: "struct peermr_region"
        case .bulk: "struct peermr_bulk"
        }
    }
}

/// A number that applications hold instead of an address: the number of a slot, and which of the slot's objects is
/// meant.
///
/// None is ever reused, so that one that was freed is known as such for good: a slot that has had as many objects as
/// the number can count is not used again. The top makes it an address that no memory can have: following it crashes
/// at once.
struct Handle {
    let kind: HandleKind
    let slot: Int
    let generation: UInt64

    private static let top = UInt(0x7065) << (UInt.bitWidth - 16)
    private static let kindBits: UInt = 4
    private static let slotBits: UInt = 20
    private static let generationBits: UInt = 24
    static let slotLimit = 1 << slotBits
    static let lastGeneration: UInt64 = 1 << generationBits - 1

    init(kind: HandleKind, slot: Int, generation: UInt64) {
        self.kind = kind
        self.slot = slot
        self.generation = generation
    }

    /// - Returns: nil for what the library cannot have returned.
    init?(_ bits: UInt) {
        guard bits & (UInt(0xffff) << (UInt.bitWidth - 16)) == Self.top,
            let kind = HandleKind(rawValue: bits & (1 << Self.kindBits - 1))
        else { return nil }
        self.kind = kind
        slot = Int(bits >> Self.kindBits & (1 << Self.slotBits - 1))
        generation = UInt64(bits >> (Self.kindBits + Self.slotBits) & (1 << Self.generationBits - 1))
    }

    var bits: UInt {
        Self.top | UInt(generation) << (Self.kindBits + Self.slotBits) | UInt(slot) << Self.kindBits | kind.rawValue
    }
}

/// The live objects of a kind, by handle. A call that uses one takes no lock and counts no reference to it.
final class HandleTable<Object: AnyObject & Sendable>: Sendable {
    private let kind: HandleKind
    private let slots = HandleSlots()
    /// Slots that can be used again, and how many have ever been. For making and ending handles.
    private let unused = Mutex<(slots: [Int], next: Int)>(([], 0))

    init(_ kind: HandleKind) { self.kind = kind }

    /// Keeps an object until ``end(_:_:)``.
    ///
    /// - Throws: `resourceLimit` where a million live.
    func add(_ object: Object) throws(PeerMRError) -> OpaquePointer? {
        let number = unused.withLock { unused -> Int? in
            if let slot = unused.slots.popLast() { return slot }
            guard unused.next < Handle.slotLimit else { return nil }
            unused.next += 1
            return unused.next - 1
        }
        guard let number, let slot = unsafe slots.make(number) else { throw .tooManyHandles(kind.name) }
        unsafe slot.pointee.object.store(
            UInt(bitPattern: Unmanaged.passRetained(object).toOpaque()), ordering: .relaxed)
        let generation = unsafe slot.pointee.begin()
        return unsafe OpaquePointer(bitPattern: Handle(kind: kind, slot: number, generation: generation).bits)
    }

    /// Runs a body on what a handle stands for, which nobody ends meanwhile.
    ///
    /// - Throws: `invalidArgument` for NULL and what is no handle of this kind, or no longer one; `busy` while another
    ///   call ends it.
    func use<Value>(
        _ handle: OpaquePointer?, _ body: (Object) throws(PeerMRError) -> Value
    ) throws(PeerMRError) -> Value {
        let (slot, generation) = unsafe try find(handle)
        switch unsafe slot.pointee.use(generation) {
        case .done: break
        case .busy: throw .inUse(kind.name)
        case .gone: throw .noHandle(UInt(bitPattern: handle), kind, isKnown: unsafe slot.pointee.isKnown(generation))
        }
        defer { unsafe slot.pointee.release() }
        return unsafe try Self.with(slot, body)
    }

    /// Ends an object that nobody else uses: its handle is none any more, unless the body throws.
    ///
    /// - Throws: `busy` while another call uses it; otherwise as ``use(_:_:)`` does.
    func end(_ handle: OpaquePointer?, _ body: (Object) throws(PeerMRError) -> Void) throws(PeerMRError) {
        let (slot, generation) = unsafe try find(handle)
        switch unsafe slot.pointee.claim(generation) {
        case .done: break
        case .busy: throw .inUse(kind.name)
        case .gone: throw .noHandle(UInt(bitPattern: handle), kind, isKnown: unsafe slot.pointee.isKnown(generation))
        }
        do throws(PeerMRError) {
            unsafe try Self.with(slot, body)
        } catch {
            unsafe slot.pointee.unclaim()
            throw error
        }
        let object = unsafe slot.pointee.object.load(ordering: .relaxed)
        let canServe = unsafe slot.pointee.finish()
        if let pointer = unsafe UnsafeRawPointer(bitPattern: object) {
            unsafe Unmanaged<Object>.fromOpaque(pointer).release()
        }
        guard canServe, let number = Handle(UInt(bitPattern: handle))?.slot else { return }
        unused.withLock { $0.slots.append(number) }
    }

    /// The slot of a handle that this table has made at some time.
    @unsafe private func find(
        _ handle: OpaquePointer?
    ) throws(PeerMRError) -> (UnsafeMutablePointer<HandleSlot>, UInt64) {
        let bits = UInt(bitPattern: handle)
        guard let handle = Handle(bits), handle.kind == kind, let slot = unsafe slots.slot(handle.slot) else {
            throw .noHandle(bits, kind, isKnown: false)
        }
        return unsafe (slot, handle.generation)
    }

    @unsafe private static func with<Value>(
        _ slot: UnsafeMutablePointer<HandleSlot>, _ body: (Object) throws(PeerMRError) -> Value
    ) throws(PeerMRError) -> Value {
        guard let pointer = unsafe UnsafeRawPointer(bitPattern: slot.pointee.object.load(ordering: .relaxed)) else {
            throw .null("the object")
        }
        return unsafe try Unmanaged<Object>.fromOpaque(pointer)._withUnsafeGuaranteedRef { object in
            Result { () throws(PeerMRError) in try body(object) }
        }.get()
    }
}

/// What applications hold.
enum Live {
    static let capabilities = HandleTable<CapabilityBox>(.capability)
    static let memories = HandleTable<P2PMemoryBox>(.p2pmem)
    static let regions = HandleTable<RegionBox>(.region)
    static let bulks = HandleTable<BulkBox>(.bulk)
}
