// SPDX-License-Identifier: Apache-2.0

internal import CLinux
internal import Synchronization
internal import SystemPackage
public import PeerMRCore
public import Verbs

/// Memory that the application has mapped itself, known by its address: registered where it is, and never unmapped or
/// closed by this object.
///
/// The application keeps it mapped as long as the object lives, and any region over it. Devices and peers know it by
/// its address in this process, whatever it is. A dma-buf is reached by a descriptor that the process still has open;
/// its duplicate is held until this object goes. So is a BAR that the process has mapped through vfio, for a device
/// that it drives itself: it is exported as a dma-buf by the device's descriptor, of which a duplicate is held.
public final class UserMemory: Memory {
    /// The address of the first byte in this process.
    public var address: UInt { UInt(range.address) }
    /// The length in bytes.
    public var byteCount: Int { Int(range.byteCount) }
    /// What is mapped there.
    public var object: MappedObject { range.object }
    /// The provider's driver when the memory was opened.
    public let providerDriver: String?
    private let range: MappedRange
    /// The BAR, where it is one of vfio's.
    private let bar: MappedBAR?
    private let buffer = Mutex<(buffer: DMABuf, offset: UInt64)?>(nil)

    /// Looks up what is mapped at an address of this process, in `/proc/self/maps`.
    ///
    /// The range may span several mappings of one object.
    ///
    /// - Parameters:
    ///   - address: the address of the first byte.
    ///   - byteCount: how many bytes.
    ///   - provider: whose BAR is mapped there through vfio, where this process has several devices open that it may
    ///     be of; nil where that is to be found out, and for other memory.
    ///   - root: where `/proc` and `/sys` are; tests put another there.
    /// - Throws: `invalidArgument` for an empty range, for one beyond the end of the address space, with holes in it,
    ///   over several objects, or over parts of one dma-buf that do not follow each other there; `memoryRevoked` for
    ///   p2pmem whose device is no longer there; `notSupported` for a dma-buf of a kernel that cannot tell one from
    ///   another; `system` where `/proc` cannot be read. For a mapping of vfio's `notFound` where this process has no
    ///   descriptor of its device open, `notSupported` where several of its devices may be mapped there, or where it
    ///   is no BAR.
    @unsafe
    public convenience init(
        at address: UInt64, byteCount: UInt64, provider: PCIAddress? = nil, root: SystemRoot = .live
    ) throws(PeerMRError) {
        let range = try MappedRange(at: address, byteCount: byteCount, root: root)
        self.init(range, try MappedBAR.find(range, named: provider))
    }

    /// What a cache finds mapped at an address: of a device the mapping alone, and not whose it is.
    ///
    /// - Parameter whole: take all of the mapping that the range is in, unless it is the host's.
    /// - Throws: as ``init(at:byteCount:provider:root:)`` does of other memory than vfio's.
    @unsafe
    package convenience init(
        mappedAt address: UInt64, byteCount: UInt64, whole: Bool, root: SystemRoot
    ) throws(PeerMRError) {
        self.init(try MappedRange.around(address, byteCount: byteCount, whole: whole, root: root), nil)
    }

    private init(_ range: MappedRange, _ bar: MappedBAR?) {
        self.range = range
        self.bar = bar
        if case .p2pmem(let provider) = range.object {
            providerDriver = range.root.driver(of: provider)
        } else {
            providerDriver = bar.flatMap { range.root.driver(of: $0.function) }
        }
    }

    /// What kind of memory it is.
    public var kind: MemoryKind {
        switch object {
        case .host: .host
        case .device: bar == nil ? .host : .dmabuf
        case .p2pmem: .p2pmem
        case .dmabuf: .dmabuf
        }
    }

    /// The PCI function whose memory it is, where that is known.
    public var provider: PCIAddress? {
        if case .p2pmem(let provider) = object { provider } else { bar?.function }
    }

    /// The driver that exports the dma-buf; nil for other memory.
    public var exporter: String? { buffer.withLock { $0?.buffer.exporter } }

    /// Whose memory it is; of a dma-buf that is known once it has been registered.
    public var owner: MemoryOwner {
        switch kind {
        case .host: .host
        case .p2pmem: .peer
        case .dmabuf: buffer.withLock { $0?.buffer.owner(driver: providerDriver) } ?? .unknown
        case .nic: .nic
        }
    }

    /// What tells the memory from any other that is alive: of p2pmem the pool, of a dma-buf its number, of other memory
    /// this object.
    public var identity: MemoryIdentity {
        switch object {
        case .dmabuf(let identity, _): .dmaBuf(device: identity.device, inode: identity.inode)
        case .p2pmem: .pool(device: range.device, inode: range.inode)
        case .host, .device: .object(ObjectIdentifier(self))
        }
    }

    /// Where the mapping begins in its dma-buf, in bytes; of p2pmem the address; 0 for other memory.
    public var identityOffset: UInt64 {
        switch object {
        case .dmabuf: range.offset
        case .p2pmem: range.address
        case .host, .device: 0
        }
    }
}

extension UserMemory {
    /// Whether what is mapped allows an access, for those who have a region of it already.
    ///
    /// - Throws: as ``backing(for:)`` does of a mapping for reading and of a private one.
    package func validate(_ access: Access) throws(PeerMRError) {
        switch object {
        case .host: break
        case .device: if bar != nil { try range.validate(access) }
        case .p2pmem, .dmabuf: try range.validate(access)
        }
    }

    /// - Throws: `notFound` where no descriptor of the dma-buf is open any more, `notPermitted` where devices were to
    ///   write to what is mapped for reading, `notSupported` for a private mapping, whose copy devices would miss.
    public func backing(for access: Access) throws(PeerMRError) -> MemoryBacking {
        switch object {
        case .host: break
        case .device:
            guard let bar else { break }
            try range.validate(access)
            try range.validateUnchanged()
            return backing(try exported(bar))
        case .p2pmem:
            try range.validate(access)
            // Something else may have been mapped there since: kernels before 6.16 map it without asking what it is.
            try range.validateUnchanged()
        case .dmabuf(let identity, _):
            try range.validate(access)
            return backing(try opened(identity))
        }
        return .mapped(IOVector(address: address, byteCount: byteCount))
    }

    private func backing(_ place: (buffer: DMABuf, offset: UInt64)) -> MemoryBacking {
        .dmaBuf(
            DMABufRange(
                of: place.buffer.descriptor, offset: place.offset, byteCount: range.byteCount,
                ioAddress: range.address, bufferBytes: place.buffer.byteCount, isWritable: place.buffer.isWritable))
    }

    /// Copies bytes out of the memory. See ``Verbs/Memory/read(into:at:)``.
    public func read(into bytes: inout MutableRawSpan, at offset: Int) throws(PeerMRError) {
        try validate(offset, bytes.byteCount)
        if let bar { return try bar.read(into: &bytes, at: range.offset + UInt64(offset)) }
        guard case .dmabuf(let identity, _) = object else {
            return try KernelCopy.read(address + UInt(offset), into: &bytes, provider)
        }
        try opened(identity).buffer.read(into: &bytes, at: range.offset + UInt64(offset))
    }

    /// Copies bytes into the memory. See ``Verbs/Memory/write(_:at:)``.
    public func write(_ bytes: RawSpan, at offset: Int) throws(PeerMRError) {
        try validate(offset, bytes.byteCount)
        if let bar { return try bar.write(bytes, at: range.offset + UInt64(offset)) }
        guard case .dmabuf(let identity, _) = object else {
            return try KernelCopy.write(bytes, address + UInt(offset), provider)
        }
        try opened(identity).buffer.write(bytes, at: range.offset + UInt64(offset))
    }

    /// A driver's own mapping has no pages that could be pinned.
    public func explain(_ refusal: PeerMRError) -> PeerMRError {
        guard case .device(let path) = object, bar == nil else { return refusal }
        return .deviceMapping(refusal, path)
    }

    /// A descriptor of the object's own for the dma-buf, looked for once, and where the range begins in it.
    private func opened(_ identity: DMABuf.Identity) throws(PeerMRError) -> (buffer: DMABuf, offset: UInt64) {
        try once { () throws(PeerMRError) in
            let found = try DMABuf(of: identity, in: range)
            try range.validateOffset(in: found)
            return (found, range.offset)
        }
    }

    /// A dma-buf of the BAR's pages, exported once.
    private func exported(_ bar: MappedBAR) throws(PeerMRError) -> (buffer: DMABuf, offset: UInt64) {
        try once { () throws(PeerMRError) in try bar.export(range) }
    }

    private func once(
        _ make: () throws(PeerMRError) -> (buffer: DMABuf, offset: UInt64)
    ) throws(PeerMRError) -> (buffer: DMABuf, offset: UInt64) {
        try buffer.withLock { (known) throws(PeerMRError) -> (buffer: DMABuf, offset: UInt64) in
            if let known { return known }
            let made = try make()
            known = made
            return made
        }
    }
}

extension DMABuf {
    /// A duplicate of a descriptor that this process has open on the dma-buf of a mapping; of several, one that may
    /// write.
    fileprivate convenience init(of identity: Identity, in range: MappedRange) throws(PeerMRError) {
        var readable: OwnedDescriptor?
        for name in range.root.entries("proc/self/fd") ?? [] {
            guard let descriptor = Int32(name),
                let file = try OwnedDescriptor.duplicate(descriptor, where: { Identity(of: $0) == identity })
            else { continue }
            let isWritable = peermr_is_writable(file.rawValue) == 1
            readable = consume file
            if isWritable { break }
        }
        guard let file = readable.take() else { throw .descriptorClosed(range.object, range.address) }
        let info = try DMABufInfo(of: file.rawValue)
        self.init(file, info)
    }
}
