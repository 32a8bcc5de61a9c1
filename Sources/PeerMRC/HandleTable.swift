// SPDX-License-Identifier: Apache-2.0

internal import Synchronization
internal import PeerMRCore

/// What a handle stands for.
enum HandleKind: UInt, CaseIterable {
    case capability = 1
    case p2pmem = 2
    case region = 3

    /// Its name in the header.
    var name: String {
        switch self {
        case .capability: "struct peermr_capability"
        case .p2pmem: "struct peermr_p2pmem"
        case .region: "struct peermr_region"
        }
    }
}

/// The numbers that applications hold instead of addresses.
///
/// None is ever reused, so that one that was freed is known as such for good. The top makes them addresses
/// that no memory can have: following one crashes at once.
enum Handle {
    private static let top = UInt(0x7065) << (UInt.bitWidth - 16)
    private static let kindBits: UInt = 4
    private static let count = Atomic<UInt>(0)

    static func make(_ kind: HandleKind) -> UInt {
        let number = count.wrappingAdd(1, ordering: .relaxed).newValue
        return top | number << kindBits | kind.rawValue
    }

    /// What a handle that stands for nothing once was, if anything.
    static func kind(_ handle: UInt) -> HandleKind? {
        let mask = UInt(0xffff) << (UInt.bitWidth - 16)
        let number = (handle & ~mask) >> kindBits
        guard handle & mask == top, number > 0, number <= count.load(ordering: .relaxed) else { return nil }
        return HandleKind(rawValue: handle & (1 << kindBits - 1))
    }
}

/// The live objects of a kind, by handle. For the control path: one lock, held for a lookup only.
final class HandleTable<Object: AnyObject & Sendable>: Sendable {
    private struct Entry {
        let object: Object
        /// Calls that are using it now; nil while one is ending it.
        var uses: Int?
    }

    private let kind: HandleKind
    private let entries = Mutex<[UInt: Entry]>([:])

    init(_ kind: HandleKind) { self.kind = kind }

    /// Keeps an object until ``end(_:_:)``.
    func add(_ object: Object) -> OpaquePointer? {
        let handle = Handle.make(kind)
        entries.withLock { $0[handle] = Entry(object: object, uses: 0) }
        return unsafe OpaquePointer(bitPattern: handle)
    }

    /// Runs a body on what a handle stands for, which nobody ends meanwhile.
    ///
    /// - Throws: `invalidArgument` for NULL and what is no handle of this kind, or no longer one.
    func use<Result>(
        _ handle: OpaquePointer?, _ body: (Object) throws(PeerMRError) -> Result
    ) throws(PeerMRError) -> Result {
        let key = UInt(bitPattern: handle)
        let object = try begin(key)
        defer { entries.withLock { $0[key]?.uses? -= 1 } }
        return try body(object)
    }

    private func begin(_ key: UInt) throws(PeerMRError) -> Object {
        let (object, isEnding) = entries.withLock { entries -> (Object?, Bool) in
            guard let entry = entries[key] else { return (nil, false) }
            guard let uses = entry.uses else { return (nil, true) }
            entries[key]?.uses = uses + 1
            return (entry.object, false)
        }
        if isEnding { throw .inUse(kind.name) }
        guard let object else { throw .noHandle(key, kind) }
        return object
    }

    /// Ends an object that nobody else uses: its handle is none any more, unless the body throws.
    ///
    /// - Throws: `busy` while another call uses it; otherwise as ``use(_:_:)`` does.
    func end(_ handle: OpaquePointer?, _ body: (Object) throws(PeerMRError) -> Void) throws(PeerMRError) {
        let key = UInt(bitPattern: handle)
        let (object, isThere) = entries.withLock { entries -> (Object?, Bool) in
            guard let entry = entries[key] else { return (nil, false) }
            guard entry.uses == 0 else { return (nil, true) }
            entries[key]?.uses = nil
            return (entry.object, true)
        }
        guard let object else { throw isThere ? .inUse(kind.name) : .noHandle(key, kind) }
        do throws(PeerMRError) {
            try body(object)
        } catch {
            entries.withLock { $0[key]?.uses = .some(0) }
            throw error
        }
        entries.withLock { _ = $0.removeValue(forKey: key) }
    }
}

/// What applications hold.
enum Live {
    static let capabilities = HandleTable<CapabilityBox>(.capability)
    static let memories = HandleTable<P2PMemoryBox>(.p2pmem)
    static let regions = HandleTable<RegionBox>(.region)
}
