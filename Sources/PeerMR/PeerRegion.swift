// SPDX-License-Identifier: Apache-2.0

public import PCITopology
public import PeerMemory
public import PeerMRCore
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
    let storage: RegionStorage
    /// What addresses work requests need.
    public let keys: RegionKeys
    /// How the memory became a region, and why so.
    public let choice: MethodChoice
    /// Who moves the device's bytes.
    public let nic: NICKind
    /// What the device, and its peers, may do.
    public let access: Access
    /// What the check of the route said before a dma-buf of a known device was registered; nil for other memory.
    public let route: Answer?
    /// How long the registration itself took, in nanoseconds.
    public let registrationNanoseconds: UInt64
    /// Why host memory stands in for the peer memory that was asked for; nil where it does not.
    public let bounceReason: PeerMRError?

    /// Registers memory with the first method that fits.
    ///
    /// For a dma-buf of a known PCI function the route is judged first: where the kernel then refuses, the error has
    /// the reason, and where it does not, ``route`` still says what was expected. The buffer's descriptor is closed
    /// when this returns, whether it worked or not; the kernel keeps the buffer for the region.
    ///
    /// - Parameters:
    ///   - memory: what to register; the region becomes its owner.
    ///   - domain: the domain that the region belongs to.
    ///   - access: what the device, and its peers, may do.
    ///   - options: an I/O address and hints, where they matter.
    /// - Throws: `unsafeConfiguration` where it would work wrongly, `notSupported` where it cannot work,
    ///   `resourceLimit` at the memory lock limit. See
    ///   ``Verbs/MemoryRegion/init(registering:on:access:constraint:handle:)`` and
    ///   ``Verbs/BufferRegion/init(registering:on:access:handle:keeping:)``.
    public init(
        registering memory: consuming AnyMemory, on domain: ProtectionDomain, access: Access,
        options: RegistrationOptions = RegistrationOptions()
    ) throws(PeerMRError) {
        try self.init(registering: memory, on: domain, access: access, options: options, bounceReason: nil)
    }

    init(
        registering memory: consuming AnyMemory, on domain: ProtectionDomain, access: Access,
        options: RegistrationOptions, bounceReason: PeerMRError?
    ) throws(PeerMRError) {
        self.init(
            try Registration(of: memory, on: domain, access: access, options: options), access: access,
            bounceReason: bounceReason)
    }

    /// Registers memory that stays the application's, where it stands, with the first method that fits.
    ///
    /// Devices and peers know it by its address in this process, whatever it is. When the region goes, the memory stays
    /// mapped, and a dma-buf's descriptor open.
    ///
    /// - Parameters:
    ///   - range: what was recognised there. The application keeps it mapped as long as the region lives.
    ///   - domain: the domain that the region belongs to.
    ///   - access: what the device, and its peers, may do.
    ///   - options: an I/O address and hints, where they matter.
    /// - Throws: as ``PeerMemory/AnyMemory/init(lending:isWritten:)`` and ``init(registering:on:access:options:)`` do;
    ///   `notSupported` for a driver's own mapping.
    @unsafe
    public init(
        lending range: LentRange, on domain: ProtectionDomain, access: Access,
        options: RegistrationOptions = RegistrationOptions()
    ) throws(PeerMRError) {
        let isWritten = !access.isDisjoint(with: [.localWrite, .remoteWrite, .remoteAtomic])
        let memory = unsafe try AnyMemory(lending: range, isWritten: isWritten)
        try self.init(registering: memory, on: domain, access: access, options: options, bounceReason: nil)
    }

    /// Registers memory of the device itself, which no other device is in the way of.
    ///
    /// - Parameters:
    ///   - memory: what to register, kept as long as the region lives.
    ///   - domain: a domain of the same device.
    ///   - access: what the device, and its peers, may do.
    /// - Throws: `notSupported` (EOPNOTSUPP). See ``Verbs/DeviceMemoryRegion``.
    public init(
        registering memory: DeviceMemory, on domain: ProtectionDomain, access: Access
    ) throws(PeerMRError) {
        self.init(try Registration(of: memory, on: domain, access: access), access: access, bounceReason: nil)
    }

    private init(_ made: consuming Registration, access: Access, bounceReason: PeerMRError?) {
        keys = made.storage.keys
        choice = made.choice
        nic = made.nic
        self.access = access
        route = made.route
        registrationNanoseconds = made.nanoseconds
        self.bounceReason = bounceReason
        storage = made.storage
    }

    /// Allocates memory and registers it.
    ///
    /// - Parameters:
    ///   - byteCount: how much; rounded up to pages.
    ///   - request: which memory.
    ///   - domain: where to register it, kept as long as the region lives.
    ///   - access: what the device, and its peers, may do.
    ///   - fallback: what to do where peer memory cannot be had.
    /// - Throws: as the allocation and ``init(registering:on:access:)`` do.
    public static func allocate(
        _ byteCount: Int, of request: MemoryRequest, on domain: ProtectionDomain, access: Access,
        fallback: Fallback = .refuse
    ) throws(PeerMRError) -> PeerRegion {
        let refusal: PeerMRError
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
        return try .bounce(byteCount, on: domain, access: access, because: refusal)
    }
}

extension PeerRegion {
    /// What kind of memory it is.
    public var kind: MemoryKind { storage.kind }
    /// The PCI function whose memory it is; nil for the host's, and where it is not known.
    public var provider: PCIAddress? { storage.provider }
    /// The driver that hands a dma-buf out, as the kernel names it; nil for other memory.
    public var exporter: String? { storage.origin?.exporter }
    /// The length in bytes.
    public var byteCount: Int { Int(keys.byteCount) }
    /// The domain that it belongs to.
    public var domain: ProtectionDomain { storage.domain }
    /// What the keys open besides the bytes asked for, because devices map pages; see ``Verbs/BufferRegion/padding``.
    public var padding: (before: UInt64, after: UInt64) { storage.padding }

    /// A part of the memory, for I/O by another device.
    ///
    /// - Throws: ``Verbs/SliceError/outOfBounds``, and ``Verbs/SliceError/noAddress`` for what is not mapped.
    public func slice(at offset: Int, count: Int) throws(SliceError) -> IOVector {
        try storage.slice(at: offset, count: count)
    }

    /// A view of host memory for the CPU; nil for peer memory, which devices move, and outside the region.
    ///
    /// The view is valid as long as the region lives. Do not touch what a device is writing.
    @unsafe public func hostBytes(at offset: Int, count: Int) -> UnsafeMutableRawBufferPointer? {
        guard kind == .host, let slice = try? slice(at: offset, count: count) else { return nil }
        return unsafe UnsafeMutableRawBufferPointer(
            start: UnsafeMutableRawPointer(bitPattern: slice.address), count: slice.byteCount)
    }

    /// Copies bytes out of the memory by CPU, on its owner's way and not through the region: for a few bytes, as a test
    /// or a proof needs them.
    ///
    /// - Parameters:
    ///   - bytes: where they go, and how many.
    ///   - offset: from the start of the region, in bytes.
    /// - Throws: `notSupported` where there is no such way, `memoryRevoked` where the memory has been taken back: an
    ///   error, where a load from a mapping would raise SIGBUS.
    public func read(into bytes: inout MutableRawSpan, at offset: Int) throws(PeerMRError) {
        try storage.read(into: &bytes, at: offset)
    }

    /// Copies bytes into the memory by CPU. See ``read(into:at:)``.
    public func write(_ bytes: RawSpan, at offset: Int) throws(PeerMRError) {
        try storage.write(bytes, at: offset)
    }

    /// Where a transfer's bytes are to be counted: a dma-buf of the host's own memory is no peer's.
    public var isPeerToPeer: Bool { storage.isPeers }

    var origin: BufferOrigin? { storage.origin }
    var driverAtRegistration: String? { storage.driver }
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
