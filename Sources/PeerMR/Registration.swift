// SPDX-License-Identifier: Apache-2.0

internal import PCITopology
internal import PeerMemory
internal import SystemPackage
internal import PeerMRCore
public import Verbs

/// What may be said about a registration besides memory and access.
public struct RegistrationOptions: Sendable {
    /// The I/O address that the device shall know the first byte by; nil for the usual: the address of a mapping, the
    /// offset in a dma-buf that has none. Only for dma-bufs. It lies as far behind a page boundary as the part does.
    public var ioAddress: UInt64?
    /// Hints for the device's writes; nil for none. They exclude on-demand paging.
    public var handle: DMAHandle?

    /// Options of your own.
    public init(ioAddress: UInt64? = nil, handle: DMAHandle? = nil) {
        self.ioAddress = ioAddress
        self.handle = handle
    }
}

/// The way from memory to a region: facts, method, route, call.
struct Registration: ~Copyable {
    let choice: MethodChoice
    let nic: NICKind
    let route: Answer?
    let nanoseconds: UInt64
    let storage: RegionStorage

    init(
        of memory: consuming AnyMemory, on domain: ProtectionDomain, access: Access, options: RegistrationOptions
    ) throws(PeerMRError) {
        let known = RegistrationMemory.of(domain.context)
        let choice = try known.choice(for: memory.kind, on: domain.context)
        // What stands around a dma-buf's memory may have changed; p2pmem without its driver is no memory any more.
        let provider = memory.kind == .dmabuf ? memory.provider.map { known.provider($0, for: domain.context) } : nil
        if let wanted = options.ioAddress, let address = memory.mappedAddress, memory.kind != .dmabuf,
            wanted != address
        {
            throw .addressOfMapping
        }
        let route = provider?.route
        let made: RegionStorage
        let start: UInt64
        switch consume memory {
        case .host(let memory):
            start = monotonicNanoseconds()
            made = RegionStorage(try Self.map(.host(memory), domain, access, choice, options), driver: nil)
        case .p2pmem(let memory):
            let driver = memory.driver
            start = monotonicNanoseconds()
            made = RegionStorage(
                try Self.map(.p2pmem(memory), domain, access, choice, options), driver: driver)
        case .dmabuf(let memory):
            start = monotonicNanoseconds()
            made = try Self.attach(memory, domain, access, options, provider)
        }
        nanoseconds = monotonicNanoseconds() - start
        self.choice = choice
        nic = known.nic
        self.route = route
        storage = made
    }

    /// Memory of the NIC itself.
    init(of memory: DeviceMemory, on domain: ProtectionDomain, access: Access) throws(PeerMRError) {
        let known = RegistrationMemory.of(domain.context)
        let choice = try known.choice(for: .nic, on: domain.context)
        let provider = known.function
        let start = monotonicNanoseconds()
        let region = try DeviceMemoryRegion(registering: memory, on: domain, access: access)
        nanoseconds = monotonicNanoseconds() - start
        self.choice = choice
        nic = known.nic
        route = nil
        storage = RegionStorage(region, provider: provider, driver: known.driver)
    }

    private static func map(
        _ memory: consuming MappedMemory, _ domain: ProtectionDomain, _ access: Access, _ choice: MethodChoice,
        _ options: RegistrationOptions
    ) throws(PeerMRError) -> MappedRegion {
        let isPeer = memory.kind != .host
        let device = memory.device
        if choice.method == .onDemand, options.handle != nil { throw .hintsOnDemand }
        do throws(PeerMRError) {
            return try MappedRegion(
                registering: memory, on: domain,
                access: choice.method == .onDemand ? access.union(.onDemand) : access, constraint: choice.constraint,
                handle: options.handle)
        } catch {
            if let device { throw .deviceMapping(error, device) }
            throw isPeer && choice.method == .pinned ? .pinnedPeerMemory(error, choice) : error
        }
    }

    /// The descriptor is closed with the memory, when this returns.
    private static func attach(
        _ memory: consuming DMABufMemory, _ domain: ProtectionDomain, _ access: Access,
        _ options: RegistrationOptions, _ provider: RegistrationMemory.Provider?
    ) throws(PeerMRError) -> RegionStorage {
        let part = DMABufRange(
            of: memory.buffer.descriptor, offset: memory.offset, byteCount: UInt64(memory.byteCount),
            ioAddress: options.ioAddress ?? memory.mappedAddress, bufferBytes: memory.buffer.byteCount,
            isWritable: memory.buffer.isWritable)
        let origin = BufferOrigin(exporter: memory.buffer.exporter, offset: memory.offset, owner: memory.owner)
        do throws(PeerMRError) {
            let region = try BufferRegion(
                registering: part, on: domain, access: access, handle: options.handle, keeping: memory.owner)
            return RegionStorage(region, origin, driver: provider?.driver)
        } catch {
            throw .bufferRefused(error, provider?.route, origin, domain.context.device)
        }
    }

    /// The driver of a function; nil where it has none.
    static func driver(of address: PCIAddress, root: SystemRoot = .live) -> String? {
        root.linkTarget("sys/bus/pci/devices/\(address)/driver")?.lastComponent?.string
    }
}
