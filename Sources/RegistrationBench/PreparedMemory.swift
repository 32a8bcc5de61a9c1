// SPDX-License-Identifier: Apache-2.0

internal import CBareVerbs
internal import Glibc
internal import PeerMR
internal import PeerMemory
internal import Synchronization
internal import SystemPackage
internal import PeerMRCore
internal import Verbs

/// Functions that are open by way of vfio: they can be opened once only, so that all threads share them.
final class OpenFunctions: Sendable {
    /// Its exports are system calls on one descriptor, which any thread may make.
    private struct Opened: @unchecked Sendable {
        let device: VFIODevice
    }

    private let devices = Mutex<[PCIAddress: Opened]>([:])

    /// A dma-buf of a BAR. The kernel serves any number of exports at once.
    func export(_ address: PCIAddress, bar: Int, part: MemorySpecification.Part?) throws(PeerMRError) -> DMABufMemory {
        let opened = try devices.withLock { (devices) throws(PeerMRError) -> Opened in
            if let known = devices[address] { return known }
            let new = Opened(device: try VFIODevice(address))
            devices[address] = new
            return new
        }
        guard let part else { return try opened.device.export(bar: bar) }
        return try opened.device.export(bar: bar, offset: part.offset, byteCount: part.byteCount)
    }
}

/// Memory that can be registered again and again, by PeerMR and by the bare call.
enum PreparedMemory: ~Copyable {
    case host(HostPages)
    case p2pmem(P2PMemory)
    case buffer(DMABufMemory)
    case nic(DeviceMemory)

    /// Opens memory, or allocates it. Host memory is not touched yet.
    init(
        _ specification: MemorySpecification, huge: Bool, on context: Context, functions: OpenFunctions
    ) throws(PeerMRError) {
        switch specification {
        case .host(let byteCount):
            guard let count = Int(exactly: byteCount) else { throw .hugeRequest(byteCount) }
            self = .host(try HostPages(count, huge: huge))
        case .nic(let byteCount):
            self = .nic(try DeviceMemory(allocating: byteCount, on: context))
        case .vfio(let address, let bar, let part):
            self = .buffer(try functions.export(address, bar: bar, part: part))
        default:
            switch try specification.open() {
            case .host: throw .hugeRequest(0)
            case .p2pmem(let memory): self = .p2pmem(memory)
            case .dmabuf(let memory): self = .buffer(memory)
            }
        }
    }

    /// Makes the pages of host memory be there; those of other memory are already.
    func touch() {
        hostPages?.touch()
    }

    /// The mapping, where it is one of host memory.
    private var hostPages: HostPages? {
        switch self {
        case .host(let pages): pages
        default: nil
        }
    }

    /// What the pages are, once touched.
    func pageSort() -> PageSort {
        hostPages?.sort() ?? .notOurs
    }
}

/// What one registration and its end took, in nanoseconds.
struct SampleTimes {
    var registering: UInt64
    /// Closing the descriptor of a dma-buf: part of PeerMR's registration, apart for the bare calls.
    var closing: UInt64 = 0
    var deregistering: UInt64
}

extension PreparedMemory {
    /// Times PeerMR: from memory to a ``PeerMR/PeerRegion``, and that region's end.
    ///
    /// The memory is lent, so that its end is not timed. For a dma-buf a descriptor is made before the clock starts,
    /// which the registration closes.
    func timePeerMR(on domain: ProtectionDomain, access: Access) throws(PeerMRError) -> (SampleTimes, Method) {
        switch self {
        case .host(let pages):
            return try Self.time(
                .host(unsafe HostMemory(lending: pages.address, byteCount: pages.byteCount)), domain, access)
        case .p2pmem(let memory): return try Self.time(.p2pmem(unsafe P2PMemory(lending: memory)), domain, access)
        case .buffer(let memory):
            let second = try DMABufMemory(again: memory)
            return try Self.time(.dmabuf(second), domain, access)
        case .nic(let memory):
            let start = peermr_bench_nanoseconds()
            let region = try PeerRegion(registering: memory, on: domain, access: access)
            return Self.timeEnd(of: region, began: start)
        }
    }

    private static func time(
        _ memory: consuming AnyMemory, _ domain: ProtectionDomain, _ access: Access
    ) throws(PeerMRError) -> (SampleTimes, Method) {
        let start = peermr_bench_nanoseconds()
        let region = try PeerRegion(registering: memory, on: domain, access: access)
        return timeEnd(of: region, began: start)
    }

    @inline(__always)
    private static func timeEnd(of region: consuming PeerRegion, began start: UInt64) -> (SampleTimes, Method) {
        let made = peermr_bench_nanoseconds()
        let method = region.choice.method
        let before = peermr_bench_nanoseconds()
        end(region)
        let after = peermr_bench_nanoseconds()
        return (SampleTimes(registering: made - start, deregistering: after - before), method)
    }

    /// The region is gone when this returns.
    @inline(never)
    private static func end(_ region: consuming PeerRegion) {}

    /// Times the calls of libibverbs alone, with what PeerMR gives them.
    func timeBare(
        on domain: ProtectionDomain, access: Access, method: Method
    ) throws(PeerMRError) -> SampleTimes {
        var bare = unsafe peermr_bare_memory()
        let flags = method == .onDemand ? access.union(.onDemand) : access
        unsafe bare.domain = unsafe domain.rawObject
        unsafe bare.access = Int32(bitPattern: flags.rawValue)
        unsafe bare.descriptor = -1
        switch self {
        case .host(let pages):
            unsafe bare.call = PEERMR_BARE_REG_MR
            unsafe bare.address = unsafe pages.address
            unsafe bare.bytes = UInt64(pages.byteCount)
        case .p2pmem(let memory):
            unsafe bare.call = PEERMR_BARE_REG_MR
            unsafe bare.address = unsafe memory.baseAddress
            unsafe bare.bytes = UInt64(memory.byteCount)
        case .buffer(let memory):
            unsafe bare.call = PEERMR_BARE_REG_DMABUF_MR
            unsafe bare.bytes = UInt64(memory.byteCount)
            unsafe bare.offset = memory.offset
            unsafe bare.descriptor = dup(memory.buffer.descriptor)
        case .nic(let memory):
            unsafe bare.call = PEERMR_BARE_REG_DM_MR
            unsafe bare.address = unsafe memory.rawObject
            unsafe bare.bytes = memory.byteCount
        }
        var times = peermr_bare_times()
        let result = unsafe peermr_bare_sample(&bare, &times)
        guard result == 0 else { throw .bareCall(Errno(rawValue: result)) }
        return SampleTimes(
            registering: times.registering, closing: times.closing, deregistering: times.deregistering)
    }
}
