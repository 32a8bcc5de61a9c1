// SPDX-License-Identifier: Apache-2.0

public import PeerMRCore
public import Verbs

/// Memory and its region, with the method that made it and why.
public struct PeerRegion: ~Copyable {
    let region: MemoryRegion
    /// What addresses work requests need.
    public let keys: RegionKeys
    /// How the memory became a region, and what was known of its provider before.
    public let plan: RegistrationPlan
    /// What the device, and its peers, may do.
    public let access: Access
    /// How long the registration itself took, in nanoseconds.
    public let registrationNanoseconds: UInt64
    /// Whose memory it is. A dma-buf of a device may be memory of the host all the same: then it is known to be, or it
    /// is not known.
    public let owner: MemoryOwner
    /// Why host memory was registered in place of the peer memory that was asked for; nil where it was not.
    public let bounceReason: PeerMRError?

    /// Registers memory with the first method that fits.
    ///
    /// For a dma-buf of a known PCI function the route is judged first: where the kernel then refuses, the error has
    /// the reason, and where it does not, ``route`` still says what was expected.
    ///
    /// - Parameters:
    ///   - memory: what to register, kept as long as the region lives. Other regions may be over it too.
    ///   - domain: the domain that the region belongs to.
    ///   - access: what the device, and its peers, may do.
    ///   - options: an I/O address and hints, where they matter.
    /// - Throws: `unsafeConfiguration` where it would work wrongly, `notSupported` where it cannot work,
    ///   `resourceLimit` at the memory lock limit. See
    ///   ``Verbs/MemoryRegion/init(registering:on:access:constraint:ioAddress:handle:isDataDirect:)``.
    public init(
        registering memory: any Memory, on domain: ProtectionDomain, access: Access,
        options: RegistrationOptions = RegistrationOptions()
    ) throws(PeerMRError) {
        try self.init(registering: memory, on: domain, access: access, options: options, bounceReason: nil)
    }

    /// Registers memory that stands in for other memory where there is a reason.
    package init(
        registering memory: any Memory, on domain: ProtectionDomain, access: Access, options: RegistrationOptions,
        bounceReason: PeerMRError?
    ) throws(PeerMRError) {
        let known = memory.owner
        var plan = try DeviceCache.of(domain.context).plan(
            for: memory.kind, of: known == .host ? nil : memory.provider, on: domain.context)
        if options.handle != nil, let other = plan.alternative { plan = other }
        let start = monotonicNanoseconds()
        do throws(PeerMRError) {
            region = try plan.region(over: memory, on: domain, access, options)
        } catch {
            guard error.errno != nil, let other = plan.alternative else { throw error }
            plan = other
            region = try other.region(over: memory, on: domain, access, options)
        }
        registrationNanoseconds = monotonicNanoseconds() - start
        keys = region.keys
        owner = plan.owner(of: memory, known: known)
        self.plan = plan
        self.access = access
        self.bounceReason = bounceReason
    }
}

extension PeerRegion {
    /// The memory, kept as long as the region lives.
    public var memory: any Memory { region.memory }
    /// How the memory became a region, and why so.
    public var choice: MethodChoice { plan.choice }
    /// What moves the device's bytes: hardware or software.
    public var nic: NICKind { plan.nic }
    /// What the check of the route said before a dma-buf of a known device was registered; nil for other memory.
    public var route: Answer? { plan.route }
    /// Whether the memory is known to be another device's, so that bytes through it count as peer-to-peer.
    public var isPeerToPeer: Bool { owner == .peer }
    /// What kind of memory it is.
    public var kind: MemoryKind { memory.kind }
    /// The PCI function whose memory it is; nil for the host's, and where it is not known.
    public var provider: PCIAddress? { memory.provider ?? plan.provider }
    /// The driver that exports a dma-buf, as the kernel names it; nil for other memory.
    public var exporter: String? { memory.exporter }
    /// The length in bytes.
    public var byteCount: Int { Int(keys.byteCount) }
    /// The domain that it belongs to.
    public var domain: ProtectionDomain { region.domain }
    /// What the keys open besides the memory, because devices map pages; see ``Verbs/MemoryRegion/padding``.
    public var padding: (before: UInt64, after: UInt64) { region.padding }
    /// The driver that the provider had when the memory was opened, or else registered.
    var driverAtRegistration: String? { memory.providerDriver ?? plan.driver }
}

// MARK: - The bytes

extension PeerRegion {
    /// A part of the memory, for I/O by another device.
    ///
    /// - Throws: ``Verbs/SliceError/outOfBounds``, and ``Verbs/SliceError/noAddress`` for what is not mapped.
    public func slice(at offset: Int, count: Int) throws(SliceError) -> IOVector {
        guard let mapping = region.mapping else { throw .noAddress }
        guard offset >= 0, count >= 0, offset <= mapping.byteCount, count <= mapping.byteCount - offset else {
            throw .outOfBounds
        }
        return IOVector(address: mapping.address + UInt(offset), byteCount: count)
    }

    /// A view of host memory for the CPU; nil for peer memory, which devices move, and outside the region.
    ///
    /// The view is valid as long as the region lives. Do not touch what a device is writing.
    @unsafe public func hostBytes(at offset: Int, count: Int) -> UnsafeMutableRawBufferPointer? {
        guard kind == .host, let slice = try? slice(at: offset, count: count) else { return nil }
        return unsafe UnsafeMutableRawBufferPointer(
            start: UnsafeMutableRawPointer(bitPattern: slice.address), count: slice.byteCount)
    }

    /// Copies bytes out of the memory by the owner's means and not through the region: for a few bytes, as a test or a
    /// proof needs them.
    ///
    /// - Parameters:
    ///   - bytes: where they go, and how many.
    ///   - offset: from the beginning of the region, in bytes.
    /// - Throws: `notSupported` where the owner cannot read it, `memoryRevoked` where the memory has been taken back:
    ///   an error, where a load from a mapping would raise SIGBUS.
    public func read(into bytes: inout MutableRawSpan, at offset: Int) throws(PeerMRError) {
        try validate(offset, bytes.byteCount)
        try memory.read(into: &bytes, at: offset)
    }

    /// Copies bytes into the memory by the owner's means. See ``read(into:at:)``.
    public func write(_ bytes: RawSpan, at offset: Int) throws(PeerMRError) {
        try validate(offset, bytes.byteCount)
        try memory.write(bytes, at: offset)
    }

    private func validate(_ offset: Int, _ count: Int) throws(PeerMRError) {
        guard offset >= 0, offset <= byteCount, count <= byteCount - offset else {
            throw .outsideRegion(offset, count, keys)
        }
    }
}

// MARK: - The C object

extension PeerRegion {
    /// The `struct ibv_mr *`. Valid as long as the region lives; do not deregister it.
    @unsafe package var rawObject: UnsafeMutableRawPointer { unsafe region.rawObject }

    /// Hands the C object to the application, which deregisters it: from here on this value holds the memory only.
    @unsafe package borrowing func detach() { unsafe region.detach() }

    /// Deregisters now, so that a refusal is seen. The value is of no use afterwards.
    ///
    /// - Throws: `busy` (EBUSY) where a memory window is bound to the region, which then stays as it was.
    package borrowing func deregister() throws(PeerMRError) { try region.deregister() }
}
