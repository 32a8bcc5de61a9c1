// SPDX-License-Identifier: Apache-2.0

internal import CVerbs
internal import Glibc
internal import Synchronization
internal import SystemPackage
public import PeerMRCore

/// A part of a dma-buf that is to be registered.
public struct DMABufRange: Hashable, Sendable {
    /// The descriptor: lent for the call, and not closed by it.
    public var descriptor: Int32
    /// Where the part begins in the buffer, in bytes.
    public var offset: UInt64
    /// How long it is, in bytes.
    public var byteCount: UInt64
    /// The I/O address that the device shall know the part's first byte by; nil for its offset.
    ///
    /// It must lie as far behind a page boundary as the offset does.
    public var ioAddress: UInt64?
    /// What the kernel has said of the buffer before, for callers that hold it: it has one size for life. Else it is
    /// asked for each registration.
    var known: (bufferBytes: UInt64, isWritable: Bool)? {
        knownBytes.map { ($0, knownWritable) }
    }
    private var knownBytes: UInt64?
    private var knownWritable = false

    /// A part of a buffer that has been asked about already.
    package init(
        of descriptor: Int32, offset: UInt64, byteCount: UInt64, ioAddress: UInt64?, bufferBytes: UInt64,
        isWritable: Bool
    ) {
        self.init(of: descriptor, offset: offset, byteCount: byteCount, ioAddress: ioAddress)
        knownBytes = bufferBytes
        knownWritable = isWritable
    }

    /// A part by its numbers. Whether the buffer has it shows when it is registered.
    public init(of descriptor: Int32, offset: UInt64, byteCount: UInt64, ioAddress: UInt64? = nil) {
        self.descriptor = descriptor
        self.offset = offset
        self.byteCount = byteCount
        self.ioAddress = ioAddress
    }
}

/// A memory region over a part of a dma-buf: memory of another device, or of anyone, by descriptor.
///
/// The kernel holds the buffer as long as the region lives, so the descriptor may be closed once the region stands.
@safe
public struct BufferRegion: ~Copyable {
    private let raw: UnsafeMutablePointer<ibv_mr>
    /// The domain, kept as long as the region lives.
    public let domain: ProtectionDomain
    /// What addresses work requests need. It covers the part that was asked for, and no more.
    public let keys: RegionKeys
    /// What the keys open besides the part, because devices map pages: bytes before it and after it in the buffer.
    ///
    /// A peer with the remote key reaches them too; give keys only to those who may.
    public let padding: (before: UInt64, after: UInt64)
    /// The buffer's size as the kernel has it, in bytes.
    public let bufferBytes: UInt64
    private let owner: AnyObject?
    private let handle: DMAHandle?
    private let isDetached: Atomic<Bool>

    /// Registers a part of a dma-buf.
    ///
    /// A part that does not begin or end on a page is widened to pages for the device; ``keys`` keeps to the part,
    /// and ``padding`` says what was added.
    ///
    /// - Parameters:
    ///   - part: which bytes of which buffer.
    ///   - domain: the domain that the region belongs to.
    ///   - access: what the device may do. ``Access/onDemand`` is not possible: the exporter decides about paging.
    ///   - handle: hints for the device's writes; nil for none.
    ///   - owner: an object that the memory depends on, released after the region is gone.
    /// - Throws: `invalidArgument` for a part that the buffer does not have, a descriptor that is not open or no
    ///   dma-buf, an I/O address that does not fit, write access to a buffer handed out for reading. `notSupported`
    ///   where the device, the exporter or the way between them does not do it (EOPNOTSUPP, EINVAL, EREMOTEIO),
    ///   `memoryRevoked` (ENODEV) where the exporter has taken the memory back, `resourceLimit` (ENOMEM).
    ///   The corresponding C functions are `ibv_reg_dmabuf_mr` and, with a handle, `ibv_reg_mr_ex`.
    public init(
        registering part: DMABufRange, on domain: ProtectionDomain, access: Access = [.localWrite],
        handle: DMAHandle? = nil, keeping owner: AnyObject? = nil
    ) throws(PeerMRError) {
        let pages = try BufferPages(part, access: access)
        guard let made = unsafe Self.register(part.descriptor, pages, domain, access, handle) else {
            let errno = currentErrno()
            let facts = BufferRefusal(
                call: handle == nil ? "ibv_reg_dmabuf_mr" : "ibv_reg_mr_ex", device: domain.context.device, part: part,
                access: access,
                exporter: BufferRefusal.exporter(of: part.descriptor),
                imports: domain.context.dmaBufSupport().isSupported)
            throw .registerBuffer(errno, facts)
        }
        unsafe raw = made
        self.domain = domain
        self.owner = owner
        self.handle = handle
        padding = pages.padding
        bufferBytes = pages.bufferBytes
        // Never the address that libibverbs writes into its object: that is the offset.
        unsafe keys = RegionKeys(
            address: pages.ioAddress + pages.padding.before, byteCount: part.byteCount,
            localKey: made.pointee.lkey, remoteKey: made.pointee.rkey, constraint: .any)
        isDetached = Atomic(false)
    }

    /// The C object. Valid as long as this region lives; do not deregister it.
    @unsafe package var rawObject: UnsafeMutableRawPointer { unsafe UnsafeMutableRawPointer(raw) }

    /// From here on the C object is someone else's, who deregisters it.
    package borrowing func detach() {
        isDetached.store(true, ordering: .relaxed)
    }

    private static func register(
        _ descriptor: Int32, _ pages: BufferPages, _ domain: ProtectionDomain, _ access: Access, _ handle: DMAHandle?
    ) -> UnsafeMutablePointer<ibv_mr>? {
        guard let handle else {
            return unsafe ibv_reg_dmabuf_mr(
                domain.raw, pages.offset, Int(pages.byteCount), pages.ioAddress, descriptor, Int32(access.rawValue))
        }
        var attributes = unsafe peermr_mr_init_attr()
        unsafe attributes.length = Int(pages.byteCount)
        unsafe attributes.access = Int32(access.rawValue)
        unsafe attributes.iova = pages.ioAddress
        unsafe attributes.fd = descriptor
        unsafe attributes.fd_offset = pages.offset
        unsafe attributes.dmah = handle.raw
        unsafe attributes.comp_mask = UInt64(
            PEERMR_MR_IOVA | PEERMR_MR_FD | PEERMR_MR_FD_OFFSET | PEERMR_MR_DMAH)
        return unsafe peermr_reg_mr_ex(domain.raw, &attributes)
    }

    deinit {
        if !isDetached.load(ordering: .relaxed) { _ = unsafe ibv_dereg_mr(raw) }
    }
}

/// The pages that a part lies in, after everything has been checked that can be known before the call.
struct BufferPages {
    let offset: UInt64
    let byteCount: UInt64
    let ioAddress: UInt64
    let padding: (before: UInt64, after: UInt64)
    let bufferBytes: UInt64

    init(_ part: DMABufRange, access: Access) throws(PeerMRError) {
        let page = UInt64(pageBytes)
        if access.contains(.onDemand) { throw .onDemandBuffer() }
        guard part.byteCount > 0 else { throw .emptyBufferPart() }
        let size: UInt64
        if let known = part.known { size = known.bufferBytes } else { size = try Self.size(of: part.descriptor) }
        guard part.offset <= size, part.byteCount <= size - part.offset else {
            throw .outsideBuffer(part, size)
        }
        try Self.check(part, access)
        let inner = part.offset % page
        let first = part.ioAddress ?? part.offset
        guard first % page == inner else { throw .incongruent(part, first) }
        offset = part.offset - inner
        let end = part.offset + part.byteCount
        let wanted = (end + page - 1) / page * page
        let last = min(wanted, max(end, size))
        byteCount = last - offset
        ioAddress = first - inner
        guard ioAddress <= UInt64.max - byteCount else { throw .ioAddressOverflow(part, first) }
        padding = (inner, last - end)
        bufferBytes = size
    }

    /// The buffer's size: seeking to the end gives it, and is all that seeking in a dma-buf does
    /// (drivers/dma-buf/dma-buf.c, dma_buf_llseek).
    private static func size(of descriptor: Int32) throws(PeerMRError) -> UInt64 {
        let end = lseek(descriptor, 0, SEEK_END)
        guard end >= 0 else { throw .bufferSize(currentErrno(), descriptor) }
        return UInt64(end)
    }

    /// The kernel's importers do not look at how a descriptor was opened, so a NIC could write what was handed out for
    /// reading only.
    private static func check(_ part: DMABufRange, _ access: Access) throws(PeerMRError) {
        guard !access.isDisjoint(with: [.localWrite, .remoteWrite, .remoteAtomic]) else { return }
        let isReadOnly: Bool
        if let known = part.known {
            isReadOnly = !known.isWritable
        } else {
            let flags = fcntl(part.descriptor, F_GETFL)
            isReadOnly = flags >= 0 && flags & O_ACCMODE == O_RDONLY
        }
        if isReadOnly { throw .readOnlyBuffer(part.descriptor) }
    }
}
