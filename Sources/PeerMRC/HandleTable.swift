// SPDX-License-Identifier: Apache-2.0

internal import CLeases
internal import Synchronization
internal import PeerMR
internal import PeerMRCore

/// What a handle stands for.
enum HandleKind: UInt, CaseIterable {
    case capability = 1
    case p2pmem = 2
    case region = 3
    case cache = 4
    case arena = 5
    case request = 6
    case reader = 7
    case bulk = 8
    case memory = 9
    case addressRequest = 10

    /// Whether hits of a cache use it; see ``HandleTable/borrow(_:_:_:)``.
    var isBorrowed: Bool { self == .request || self == .reader || self == .addressRequest }

    /// Its name in the header.
    var name: String {
        switch self {
        case .capability: "struct peermr_capability"
        case .p2pmem: "struct peermr_p2pmem"
        case .region: "struct peermr_region"
        case .bulk: "struct peermr_bulk"
        case .memory: "struct peermr_memory"
        case .cache: "struct peermr_cache"
        case .arena: "struct peermr_arena"
        case .request: "struct peermr_request"
        case .reader: "struct peermr_reader"
        case .addressRequest: "struct peermr_address_request"
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
    @inline(__always)
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

    /// The same without a word that other threads write: for hits of a cache. The thread notes what it uses.
    ///
    /// - Parameters:
    ///   - place: where it is noted; nothing else of the kind is used in the body.
    ///   - body: gets the number of the thread, too.
    func borrow<Value>(
        _ handle: OpaquePointer?, _ place: peermr_place, _ body: (Object, UInt64) throws(PeerMRError) -> Value
    ) throws(PeerMRError) -> Value {
        let bits = UInt(bitPattern: handle)
        let thread = peermr_handle_use(place, bits)
        defer { peermr_handle_leave(place) }
        let (slot, generation) = unsafe try find(handle)
        guard thread != 0, unsafe slot.pointee.isUsable(generation) else {
            throw unsafe Self.refusal(slot, generation, bits, kind, thread)
        }
        return unsafe try Self.with(slot) { (object) throws(PeerMRError) in try body(object, thread) }
    }

    @inline(never)
    private static func refusal(
        _ slot: UnsafeMutablePointer<HandleSlot>, _ generation: UInt64, _ bits: UInt, _ kind: HandleKind,
        _ thread: UInt64
    ) -> PeerMRError {
        if thread == 0 { return .threadMemory() }
        if unsafe slot.pointee.isEnding(generation) { return .inUse(kind.name) }
        return .noHandle(bits, kind, isKnown: unsafe slot.pointee.isKnown(generation))
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
            // Who borrows it wrote nothing here.
            if kind.isBorrowed, peermr_handle_is_used(UInt(bitPattern: handle)) != 0 { throw .inUse(kind.name) }
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
    static let caches = HandleTable<CacheBox>(.cache)
    static let arenas = HandleTable<ArenaBox>(.arena)
    static let requests = HandleTable<BoundRequest>(.request).rooted(PEERMR_ROOT_REQUESTS)
    static let addressRequests = HandleTable<BoundAddresses>(.addressRequest).rooted(PEERMR_ROOT_ADDRESSES)
    static let readers = HandleTable<ReaderBox>(.reader).rooted(PEERMR_ROOT_READERS)
    static let capabilities = HandleTable<CapabilityBox>(.capability)
    static let memories = HandleTable<P2PMemoryBox>(.p2pmem)
    static let regions = HandleTable<RegionBox>(.region)
    static let bulks = HandleTable<BulkBox>(.bulk)
    static let opened = HandleTable<MemoryBox>(.memory)
}

// MARK: - Tables that hits use

extension HandleTable {
    /// Puts the table where ``noted(_:_:_:)`` finds it. It lives as long as the process.
    func rooted(_ root: peermr_root) -> HandleTable {
        unsafe peermr_root_set(root, Unmanaged.passRetained(self).toOpaque())
        return self
    }

    /// What a handle stands for, for a thread that has noted that it uses it. It looks at no global of Swift's, each
    /// access to which would see to it that it has been made.
    ///
    /// - Returns: nil where ``borrow(_:_:_:)`` would throw.
    @inline(__always)
    @unsafe static func noted(_ root: peermr_root, _ handle: OpaquePointer?, _ kind: HandleKind) -> Unmanaged<Object>? {
        guard let table = unsafe peermr_root_get(root), let handle = Handle(UInt(bitPattern: handle)),
            handle.kind == kind,
            let slot = unsafe Unmanaged<HandleTable>.fromOpaque(table)._withUnsafeGuaranteedRef({ table in
                unsafe table.slots.slot(handle.slot)
            }),
            unsafe slot.pointee.isUsable(handle.generation),
            let object = unsafe UnsafeRawPointer(bitPattern: slot.pointee.object.load(ordering: .relaxed))
        else { return nil }
        return unsafe .fromOpaque(object)
    }
}
