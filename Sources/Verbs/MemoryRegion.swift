// SPDX-License-Identifier: Apache-2.0

internal import CVerbs
internal import Synchronization
internal import SystemPackage
public import PeerMRCore

/// A memory region, over memory of any kind. The device forgets it before the memory can go.
@safe
public struct MemoryRegion: ~Copyable {
    private let raw: UnsafeMutablePointer<ibv_mr>
    /// The domain, kept as long as the region lives.
    public let domain: ProtectionDomain
    /// The memory, kept as long as the region lives.
    public let memory: any Memory
    /// What addresses work requests need: plain numbers, valid as long as the region lives.
    public let keys: RegionKeys
    /// What the keys open besides the memory, because devices map pages: bytes of a dma-buf before it and after it.
    ///
    /// A peer with the remote key reaches them too; give keys only to peers that may.
    public let padding: (before: UInt64, after: UInt64)
    /// The mapping that is registered; nil where the memory is not mapped.
    public let mapping: IOVector?
    private let handle: DMAHandle?
    private let isDetached = Atomic<Bool>(false)

    /// Registers memory, by the call that it is made for.
    ///
    /// - Mapped memory is pinned (`ibv_reg_mr`), unless `access` has ``Access/onDemand``: its pages are locked into RAM
    ///   now and count against RLIMIT_MEMLOCK.
    /// - A range of a dma-buf (`ibv_reg_dmabuf_mr`) that does not begin or end on a page is widened to pages for the
    ///   device; ``keys`` keep to the range, and ``padding`` says what was added.
    /// - Memory of the device (`ibv_reg_dm_mr`) has I/O addresses from 0.
    ///
    /// - Parameters:
    ///   - memory: what to register, all of it.
    ///   - domain: the domain that the region belongs to.
    ///   - access: what the device may do. Remote access lets a peer change or read the memory at any time.
    ///   - constraint: the transfers that the device does right on this region; see ``TransferConstraint``.
    ///   - ioAddress: the address by which the device is to know the first byte of a dma-buf; nil for the mapping's
    ///     address, or the offset in a dma-buf that has none.
    ///   - handle: hints for the device's writes; nil for none. They exclude on-demand paging.
    ///   - isDataDirect: whether a dma-buf is registered for the data-direct function of an mlx5 NIC, which pins it
    ///     (`mlx5dv_reg_dmabuf_mr`; ENOSYS without rdma-core 54). It excludes hints.
    /// - Throws: `notSupported` where the kernel, the device, the exporter or the route between them cannot do it
    ///   (EFAULT for peer memory that cannot be pinned, EOPNOTSUPP, EINVAL, EREMOTEIO), `resourceLimit` at the memory
    ///   lock limit (ENOMEM, EPERM), `memoryRevoked` (ENODEV) where the exporter has taken the memory back,
    ///   `invalidArgument` for remote write without local write, for a range that the buffer does not have, and for an
    ///   I/O address that is not congruent to the offset modulo the page size. With a handle the corresponding C
    ///   function is `ibv_reg_mr_ex`.
    public init(
        registering memory: any Memory, on domain: ProtectionDomain, access: Access = [.localWrite],
        constraint: TransferConstraint = .any, ioAddress: UInt64? = nil, handle: DMAHandle? = nil,
        isDataDirect: Bool = false
    ) throws(PeerMRError) {
        let start: UInt64
        let byteCount: UInt64
        switch try memory.backing(for: access) {
        case .mapped(let range):
            start = UInt64(range.address)
            byteCount = UInt64(range.byteCount)
            guard ioAddress == nil || ioAddress == start else { throw .addressWithoutDMABuf() }
            unsafe raw = try Self.register(range, domain, access, handle)
            padding = (0, 0)
            mapping = range
        case .dmaBuf(var range):
            if let ioAddress { range.ioAddress = ioAddress }
            let pages = try DMABufPages(range, access: access)
            unsafe raw = try Self.register(range, pages, domain, access, handle, isDataDirect)
            // Never the address that libibverbs writes into its object: that is the offset in the buffer.
            start = pages.ioAddress + pages.padding.before
            byteCount = range.byteCount
            padding = pages.padding
            mapping = nil
        case .deviceMemory(let deviceMemory):
            guard ioAddress ?? 0 == 0 else { throw .addressWithoutDMABuf() }
            guard handle == nil else { throw .hintsForDeviceMemory() }
            unsafe raw = try Self.register(deviceMemory, domain, access)
            start = 0
            byteCount = UInt64(deviceMemory.byteCount)
            padding = (0, 0)
            mapping = nil
        }
        self.domain = domain
        self.memory = memory
        self.handle = handle
        keys = RegionKeys(
            address: start, byteCount: byteCount, localKey: unsafe raw.pointee.lkey,
            remoteKey: unsafe raw.pointee.rkey, constraint: constraint)
    }

    deinit {
        if !isDetached.load(ordering: .relaxed) { _ = unsafe ibv_dereg_mr(raw) }
    }
}

// MARK: - The calls

extension MemoryRegion {
    /// Makes a call once more where a signal has interrupted it.
    ///
    /// A region that is paged on demand has the kernel lock all mappings of the process for a moment, which gives up
    /// with EINTR while a signal is pending (`mm_take_all_locks`, called by `mmu_interval_notifier_insert`). The signal
    /// is handled when the call returns. There is a limit, for a driver that says so for another reason.
    @unsafe private static func uninterrupted(
        _ call: () -> UnsafeMutablePointer<ibv_mr>?
    ) -> UnsafeMutablePointer<ibv_mr>? {
        for _ in 0..<100 {
            if let made = unsafe call() { return unsafe made }
            guard currentErrno() == .interrupted else { return nil }
        }
        return nil
    }

    @unsafe private static func register(
        _ range: IOVector, _ domain: ProtectionDomain, _ access: Access, _ handle: DMAHandle?
    ) throws(PeerMRError) -> UnsafeMutablePointer<ibv_mr> {
        let address = unsafe UnsafeMutableRawPointer(bitPattern: range.address)
        let made: UnsafeMutablePointer<ibv_mr>?
        if let handle {
            guard !access.contains(.onDemand) else { throw .hintsOnDemand() }
            var attributes = unsafe peermr_mr_init_attr()
            unsafe attributes.length = range.byteCount
            unsafe attributes.access = Int32(access.rawValue)
            unsafe attributes.addr = address
            unsafe attributes.dmah = handle.raw
            unsafe attributes.comp_mask = UInt64(PEERMR_MR_ADDR | PEERMR_MR_DMAH)
            unsafe made = unsafe uninterrupted { unsafe peermr_reg_mr_ex(domain.raw, &attributes) }
        } else {
            unsafe made = unsafe uninterrupted {
                unsafe ibv_reg_mr(domain.raw, address, range.byteCount, Int32(access.rawValue))
            }
        }
        guard let made = unsafe made else {
            throw .register(
                currentErrno(), byteCount: range.byteCount, access: access, device: domain.context.device)
        }
        return unsafe made
    }

    @unsafe private static func register(
        _ range: DMABufRange, _ pages: DMABufPages, _ domain: ProtectionDomain, _ access: Access,
        _ handle: DMAHandle?, _ isDataDirect: Bool
    ) throws(PeerMRError) -> UnsafeMutablePointer<ibv_mr> {
        let made: UnsafeMutablePointer<ibv_mr>?
        var call = handle == nil ? "ibv_reg_dmabuf_mr" : "ibv_reg_mr_ex"
        if isDataDirect {
            call = "mlx5dv_reg_dmabuf_mr"
            unsafe made = unsafe uninterrupted {
                unsafe peermr_reg_data_direct_mr(
                    domain.raw, pages.offset, Int(pages.byteCount), pages.ioAddress, range.descriptor,
                    Int32(access.rawValue))
            }
        } else if let handle {
            var attributes = unsafe peermr_mr_init_attr()
            unsafe attributes.length = Int(pages.byteCount)
            unsafe attributes.access = Int32(access.rawValue)
            unsafe attributes.iova = pages.ioAddress
            unsafe attributes.fd = range.descriptor
            unsafe attributes.fd_offset = pages.offset
            unsafe attributes.dmah = handle.raw
            unsafe attributes.comp_mask = UInt64(
                PEERMR_MR_IOVA | PEERMR_MR_FD | PEERMR_MR_FD_OFFSET | PEERMR_MR_DMAH)
            unsafe made = unsafe uninterrupted { unsafe peermr_reg_mr_ex(domain.raw, &attributes) }
        } else {
            unsafe made = unsafe uninterrupted {
                unsafe ibv_reg_dmabuf_mr(
                    domain.raw, pages.offset, Int(pages.byteCount), pages.ioAddress, range.descriptor,
                    Int32(access.rawValue))
            }
        }
        guard let made = unsafe made else {
            let errno = currentErrno()
            let refusal = BufferRefusal(
                call: call, device: domain.context.device, part: range, access: access,
                exporter: BufferRefusal.exporter(of: range.descriptor),
                imports: domain.context.dmaBufSupport().isSupported)
            throw .registerBuffer(errno, refusal)
        }
        return unsafe made
    }

    @unsafe private static func register(
        _ memory: DeviceMemory, _ domain: ProtectionDomain, _ access: Access
    ) throws(PeerMRError) -> UnsafeMutablePointer<ibv_mr> {
        // Device memory has no address in this process to begin at.
        let flags = access.rawValue | IBV_ACCESS_ZERO_BASED.rawValue
        let made = unsafe uninterrupted { unsafe ibv_reg_dm_mr(domain.raw, memory.raw, 0, memory.byteCount, flags) }
        guard let made = unsafe made else {
            throw .deviceMemory("ibv_reg_dm_mr", currentErrno(), UInt64(memory.byteCount), domain.context.device)
        }
        return unsafe made
    }
}

// MARK: - The C object

extension MemoryRegion {
    /// The `struct ibv_mr *`. Valid as long as the region lives; do not deregister it.
    @unsafe package var rawObject: UnsafeMutableRawPointer { unsafe UnsafeMutableRawPointer(raw) }

    /// Hands the C object to the application, which deregisters it: from here on this value holds the memory only.
    @unsafe package borrowing func detach() {
        isDetached.store(true, ordering: .relaxed)
    }

    /// Deregisters now, so that a refusal is seen. The value is of no use afterwards.
    ///
    /// - Throws: `busy` (EBUSY) where a memory window is bound to the region, which then stays as it was.
    package borrowing func deregister() throws(PeerMRError) {
        let result = unsafe ibv_dereg_mr(raw)
        guard result == 0 else { throw .deregister(Errno(rawValue: result), domain.context.device) }
        unsafe detach()
    }
}
