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
    private let devices = Mutex<[PCIAddress: VFIODevice]>([:])

    /// A dma-buf of a BAR. The kernel serves any number of exports at once.
    func export(
        _ address: PCIAddress, bar: Int, of specification: MemorySpecification
    ) throws(PeerMRError) -> VFIOMemory {
        let device = try devices.withLock { (devices) throws(PeerMRError) -> VFIODevice in
            if let known = devices[address] { return known }
            let new = try VFIODevice(address)
            devices[address] = new
            return new
        }
        return try device.export(
            bar: bar, offset: specification.offset, byteCount: specification.byteCount)
    }
}

/// Memory that can be registered again and again, by PeerMR and by the bare call.
struct PreparedMemory {
    let memory: any Memory
    /// The mapping, where it is one of host memory.
    private let hostPages: HostPages?

    /// Opens memory, or allocates it. Host memory is not touched yet.
    init(
        _ specification: MemorySpecification, huge: Bool, on context: Context, functions: OpenFunctions
    ) throws(PeerMRError) {
        switch specification.source {
        case .host:
            let byteCount = specification.byteCount ?? 0
            guard let count = Int(exactly: byteCount) else { throw .hugeRequest(byteCount) }
            let pages = try HostPages(count, huge: huge)
            memory = pages
            hostPages = pages
            return
        case .vfio(let address, let bar): memory = try functions.export(address, bar: bar, of: specification)
        default: memory = try specification.open(on: context)
        }
        hostPages = nil
    }

    /// Makes the pages of host memory be there; those of other memory are already.
    func touch(until stop: () -> Bool) { hostPages?.touch(until: stop) }

    /// The same, by the call that registration makes for it.
    func populate() throws(PeerMRError) {
        guard case .mapped(let range) = try memory.backing(for: []) else { return }
        HostPopulation.askForHugePages(range)
        _ = try HostPopulation.populate(range, mayTouch: true)
    }

    /// What the pages are, once touched.
    func pageSort(populated: Bool = false) -> PageSort { hostPages?.sort(populated: populated) ?? .notOurs }
}

/// What one registration and its end took, in nanoseconds.
struct SampleTimes {
    var registering: UInt64
    /// Making the pages be there before.
    var populating: UInt64 = 0
    /// Closing a descriptor of a dma-buf, by the bare side: in no other figure.
    var closing: UInt64 = 0
    var deregistering: UInt64
}

extension PreparedMemory {
    /// Times PeerMR: from memory to a ``PeerMR/PeerRegion``, and that region's end. The memory stays.
    func timePeerMR(on domain: ProtectionDomain, access: Access) throws(PeerMRError) -> (SampleTimes, Method) {
        let start = peermr_bench_nanoseconds()
        let region = try PeerRegion(registering: memory, on: domain, access: access)
        let made = peermr_bench_nanoseconds()
        let method = region.choice.method
        let before = peermr_bench_nanoseconds()
        Self.end(region)
        let after = peermr_bench_nanoseconds()
        return (SampleTimes(registering: made - start, deregistering: after - before), method)
    }

    /// Times PeerMR's registration in chunks, or of populated memory. What it takes to populate is apart.
    func timeBulk(
        on domain: ProtectionDomain, access: Access, chunkBytes: UInt64?, populate: Bool
    ) throws(PeerMRError) -> (SampleTimes, Method) {
        let start = peermr_bench_nanoseconds()
        let set = try PeerRegion.register(
            [memory], on: [domain], access: access, chunkBytes: chunkBytes.map { Int($0) },
            prepare: populate ? .populate : .none)
        let made = peermr_bench_nanoseconds()
        guard let method = set[0, 0].withRegion(at: 0, { $0.choice.method }) else { throw .emptyPlan() }
        let populating = set.preparationNanoseconds
        let before = peermr_bench_nanoseconds()
        Self.end(set)
        let after = peermr_bench_nanoseconds()
        let registering = made - start - min(made - start, populating)
        return (SampleTimes(registering: registering, populating: populating, deregistering: after - before), method)
    }

    /// All regions are gone when this returns.
    @inline(never)
    private static func end(_ set: consuming RegionSet) { _ = consume set }

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
        unsafe bare.bytes = UInt64(memory.byteCount)
        switch try memory.backing(for: access) {
        case .mapped(let range):
            unsafe bare.call = PEERMR_BARE_REG_MR
            unsafe bare.address = UnsafeMutableRawPointer(bitPattern: range.address)
        case .dmaBuf(let range):
            unsafe bare.call = PEERMR_BARE_REG_DMABUF_MR
            unsafe bare.offset = range.offset
            unsafe bare.descriptor = dup(range.descriptor)
        case .deviceMemory(let memory):
            unsafe bare.call = PEERMR_BARE_REG_DM_MR
            unsafe bare.address = unsafe memory.rawObject
        }
        var times = peermr_bare_times()
        let result = unsafe peermr_bare_sample(&bare, &times)
        guard result == 0 else { throw .bareCall(Errno(rawValue: result)) }
        return SampleTimes(
            registering: times.registering, closing: times.closing, deregistering: times.deregistering)
    }
}
