// SPDX-License-Identifier: Apache-2.0

public import PCITopology
public import PeerMemory
public import SystemSupport
public import Verbs

/// Which memory a region is wanted over.
public enum MemoryRequest: Hashable, Sendable {
    /// The host's.
    case host
    /// The peer-to-peer memory of a PCI function.
    case p2pmem(PCIAddress)
}

/// What to do where peer memory cannot be had or registered.
public enum Fallback: Hashable, Sendable {
    /// Throw, with the reason: the default.
    case refuse
    /// Take host memory instead: every byte then goes through a buffer, and is counted as bounced.
    case bounce
}

/// Memory and its region, with the method that made it and why.
public struct PeerRegion: ~Copyable {
    private let region: MemoryRegion<MappedMemory>
    /// What addresses work requests need.
    public let window: RegionWindow
    /// How the memory became a region, and why so.
    public let choice: MethodChoice
    /// Who moves the device's bytes.
    public let nic: NICKind
    /// Why host memory stands in for the peer memory that was asked for; nil where it does not.
    public let bounceReason: CallError?

    /// Registers memory with the first method that fits.
    ///
    /// - Parameters:
    ///   - memory: what to register; the region becomes its owner.
    ///   - domain: the domain that the region belongs to.
    ///   - access: what the device, and its peers, may do.
    /// - Throws: `unsafeHere` where it would work wrongly, `notSupported` where it cannot work, `resourceLimit` at the
    ///   memory lock limit. See ``Verbs/MemoryRegion/init(registering:on:access:shape:)``.
    public init(
        registering memory: consuming AnyMemory, on domain: ProtectionDomain, access: Access
    ) throws(CallError) {
        try self.init(registering: memory, on: domain, access: access, bounceReason: nil)
    }

    private init(
        registering memory: consuming AnyMemory, on domain: ProtectionDomain, access: Access,
        bounceReason: CallError?
    ) throws(CallError) {
        let facts = try RegistrationFacts(of: domain.context)
        let choice = try MethodChoice.choose(for: memory.kind, facts: facts)
        let isPeer = memory.kind != .host
        let access = choice.method == .onDemand ? access.union(.onDemand) : access
        let mapped: MappedMemory
        switch consume memory {
        case .host(let memory): mapped = .host(memory)
        case .p2pmem(let memory): mapped = .p2pmem(memory)
        case .dmabuf: throw CallError(.notSupported, reason: "a dma-buf has no address to register")
        }
        do {
            region = try MemoryRegion(
                registering: mapped, on: domain, access: access, shape: choice.shape)
        } catch {
            throw isPeer && choice.method == .pinned ? .pinnedPeerMemory(error, choice) : error
        }
        window = region.window
        self.choice = choice
        nic = facts.nic
        self.bounceReason = bounceReason
    }

    /// Allocates memory and registers it.
    ///
    /// - Parameters:
    ///   - byteCount: how much; rounded up to pages.
    ///   - request: which memory.
    ///   - fallback: what to do where peer memory cannot be had.
    /// - Throws: as the allocation and ``init(registering:on:access:)`` do.
    public static func allocate(
        _ byteCount: Int, of request: MemoryRequest, on domain: ProtectionDomain, access: Access,
        fallback: Fallback = .refuse
    ) throws(CallError) -> PeerRegion {
        let refusal: CallError
        switch request {
        case .host:
            let memory = try HostMemory(allocating: byteCount)
            return try PeerRegion(registering: .host(memory), on: domain, access: access)
        case .p2pmem(let provider):
            do {
                let memory = try P2PMemory(allocating: byteCount, from: provider)
                return try PeerRegion(registering: .p2pmem(memory), on: domain, access: access)
            } catch {
                refusal = error
            }
        }
        guard fallback == .bounce else { throw refusal }
        return try PeerRegion(
            registering: .host(try HostMemory(allocating: byteCount)), on: domain, access: access,
            bounceReason: refusal)
    }
}

extension PeerRegion {
    /// What kind of memory it is.
    public var kind: MemoryKind { region.memory.kind }
    /// The PCI function whose memory it is; nil for the host's.
    public var provider: PCIAddress? { region.memory.provider }
    /// The length in bytes.
    public var byteCount: Int { region.memory.byteCount }
    /// The domain that it belongs to.
    public var domain: ProtectionDomain { region.domain }

    /// A part of the memory, for I/O by another device.
    ///
    /// - Throws: ``Verbs/SliceError/outOfBounds``.
    public func slice(at offset: Int, count: Int) throws(SliceError) -> MemorySlice {
        try region.memory.slice(at: offset, count: count)
    }

    /// A view of host memory for the CPU; nil for peer memory, which devices move, and outside the region.
    ///
    /// The view is valid as long as the region lives. Do not touch what a device is writing.
    @unsafe public func hostBytes(at offset: Int, count: Int) -> UnsafeMutableRawBufferPointer? {
        guard kind == .host, let slice = try? slice(at: offset, count: count) else { return nil }
        return unsafe UnsafeMutableRawBufferPointer(
            start: UnsafeMutableRawPointer(bitPattern: slice.address), count: slice.byteCount)
    }

    /// Where a transfer's bytes are to be counted.
    public var isPeerToPeer: Bool { kind != .host }
}

extension CallError {
    /// A peer mapping that was tried without on-demand paging: what the kernel said, and what would work.
    fileprivate static func pinnedPeerMemory(
        _ error: CallError, _ choice: MethodChoice
    ) -> CallError {
        CallError(
            .notSupported, call: error.call, errno: error.errno,
            reason: "p2pmem cannot be registered: \(choice.reason), and the kernel does not pin p2pmem for long",
            remedy:
                "use a device with on-demand paging (mlx5 on Linux \(MethodChoice.firstCheckingKernel) or newer, "
                + "or Soft-RoCE on Linux 6.16 or newer), or host memory"
        )
    }
}

/// How many bytes went which way, so that a bounce never goes unnoticed.
public struct TransferCount: Hashable, Sendable {
    /// Bytes that a NIC moved into or out of peer memory, with no buffer in between.
    public private(set) var peerToPeer: UInt64 = 0
    /// Bytes that went through a host buffer although peer memory was asked for.
    public private(set) var bounced: UInt64 = 0
    /// Bytes that went through host memory, as asked.
    public private(set) var host: UInt64 = 0

    /// Nothing yet.
    public init() {}

    /// Counts bytes that have gone through a region.
    public mutating func add(_ bytes: UInt64, through region: borrowing PeerRegion) {
        if region.isPeerToPeer {
            peerToPeer += bytes
        } else if region.bounceReason != nil {
            bounced += bytes
        } else {
            host += bytes
        }
    }
}
