// SPDX-License-Identifier: Apache-2.0

import PeerMR

/// One client's part of the slots: memory that nothing refers to but the pool, and a region of one session.
protocol SlotPart: AnyObject {
    /// Whether no region is over it.
    var isUnused: Bool { get }
    /// Whether nothing of a client is in it.
    var isWiped: Bool { get }
    /// A client has had it.
    func soil()
    /// Overwrites up to so many bytes of what a client left with zeros.
    ///
    /// - Throws: `memoryRevoked`: the memory is gone.
    func wipe(_ byteCount: Int) throws(PeerMRError)
    /// Registers it for a client.
    func region(
        on domain: ProtectionDomain, access: Access, bounceReason: PeerMRError?
    ) throws(PeerMRError) -> PeerRegion
}

private final class MemoryPart<M: Memory>: SlotPart {
    private var memory: M
    private let byteCount: Int
    private let wipe: (M, Range<Int>) throws(PeerMRError) -> Void
    /// How many bytes, from the beginning, are zero. Memory is allocated wiped.
    private var wiped: Int

    init(_ memory: M, of byteCount: Int, wipe: @escaping (M, Range<Int>) throws(PeerMRError) -> Void) {
        self.memory = memory
        self.byteCount = byteCount
        self.wipe = wipe
        wiped = byteCount
    }

    var isUnused: Bool { isKnownUniquelyReferenced(&memory) }
    var isWiped: Bool { wiped == byteCount }

    func soil() { wiped = 0 }

    func wipe(_ byteCount: Int) throws(PeerMRError) {
        let next = wiped..<min(wiped + byteCount, self.byteCount)
        try wipe(memory, next)
        wiped = next.upperBound
    }

    func region(
        on domain: ProtectionDomain, access: Access, bounceReason: PeerMRError?
    ) throws(PeerMRError) -> PeerRegion {
        // A mapping whose memory is gone would be registered on demand all the same.
        try wipe(memory, 0..<0)
        return try PeerRegion(
            registering: memory, on: domain, access: access, options: RegistrationOptions(),
            bounceReason: bounceReason)
    }
}

/// The slots of all clients, allocated once: equal parts, one for each client that is served at once.
///
/// A part is registered for its client alone, and deregistered before it can be another's: no key outlives its session,
/// or opens other slots.
final class SlotPool {
    /// How many parts there are.
    let count: Int
    /// Why they are host memory although peer memory was asked for; nil where they are not.
    let bounceReason: PeerMRError?
    private let domain: ProtectionDomain
    private let access: Access
    private var free: [any SlotPart]
    /// Of those, the ones that are being wiped.
    private(set) var soiledCount = 0

    /// Parts of the same size.
    ///
    /// - Parameters:
    ///   - wanted: how many; nil for up to `limit`, as far as half of what is free goes, and at least one.
    ///   - byteCount: the size of a part.
    ///   - memory: what they are made of.
    ///   - fallback: what to do where peer memory cannot be allocated or registered.
    /// - Throws: as the allocation and the registration of one do; `resourceLimit` where there is room for fewer parts.
    init(
        _ wanted: Int?, limit: Int, of byteCount: Int, in memory: MemoryRequest, _ fallback: Fallback,
        on domain: ProtectionDomain, access: Access
    ) throws(PeerMRError) {
        self.domain = domain
        self.access = access
        var reason: PeerMRError?
        do throws(PeerMRError) {
            free = try Self.parts(wanted, limit, byteCount, memory)
            // Whether it can be registered is to be known before a client comes.
            if memory != .host { _ = try free[0].region(on: domain, access: access, bounceReason: nil) }
        } catch {
            guard memory != .host, fallback == .bounce else { throw error }
            reason = error
            free = try Self.parts(wanted, limit, byteCount, .host)
        }
        bounceReason = reason
        count = free.count
    }

    /// How much host memory the parts take where nobody says how many there are to be, in bytes.
    private static let hostLimit: UInt64 = 256 << 20

    private static func parts(
        _ wanted: Int?, _ limit: Int, _ byteCount: Int, _ memory: MemoryRequest
    ) throws(PeerMRError) -> [any SlotPart] {
        var most = UInt64(wanted ?? limit)
        if wanted == nil {
            let room: UInt64 =
                switch memory {
                case .host: hostLimit
                case .p2pmem(let provider): (P2PPool(of: provider)?.availableBytes ?? 0) / 2
                }
            most = min(most, room / UInt64(byteCount))
        }
        // The first says what is wrong, if anything is.
        var parts = [try part(memory, byteCount)]
        while parts.count < most {
            do throws(PeerMRError) { parts.append(try part(memory, byteCount)) } catch {
                guard wanted == nil else { throw .poolTooSmall(of: error, parts.count, Int(most), byteCount) }
                break
            }
        }
        return parts
    }

    private static func part(_ memory: MemoryRequest, _ byteCount: Int) throws(PeerMRError) -> any SlotPart {
        switch memory {
        case .host:
            MemoryPart(try HostMemory(allocating: byteCount), of: byteCount) { memory, range in
                unsafe UnsafeMutableRawBufferPointer(rebasing: memory.bytes[range])
                    .initializeMemory(as: UInt8.self, repeating: 0)
            }
        case .p2pmem(let provider):
            MemoryPart(try P2PMemory(allocating: byteCount, from: provider), of: byteCount) {
                memory, range throws(PeerMRError) in
                try memory.wipePart(range)
            }
        }
    }

    /// Gives a part away; nil where there is none.
    func take() -> (any SlotPart)? {
        guard let index = free.firstIndex(where: { $0.isWiped && $0.isUnused }) else { return nil }
        return free.remove(at: index)
    }

    /// The region of a part that was given away.
    func register(_ part: any SlotPart) throws(PeerMRError) -> PeerRegion {
        try part.region(on: domain, access: access, bounceReason: bounceReason)
    }

    /// Takes a part back.
    ///
    /// - Parameter isSoiled: whether a client could write into it: then it is nobody's until it has been wiped.
    func giveBack(_ part: any SlotPart, isSoiled: Bool) {
        free.append(part)
        guard isSoiled else { return }
        part.soil()
        soiledCount += 1
    }

    /// What is wiped at once: a device's memory takes some hundred megabytes a second from a processor, and nobody is
    /// to wait for more than a slot of usual size.
    private static let stretch = 256 << 10

    /// Wipes some more of what clients have left, once no region is over it.
    ///
    /// - Returns: whether a part may be given away again.
    /// - Throws: `memoryRevoked`: the memory is gone, with its provider or that one's driver.
    func wipeSome() throws(PeerMRError) -> Bool {
        guard let part = free.first(where: { !$0.isWiped && $0.isUnused }) else { return false }
        try part.wipe(Self.stretch)
        if part.isWiped { soiledCount -= 1 }
        return part.isWiped
    }
}
