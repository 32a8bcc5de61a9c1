// SPDX-License-Identifier: Apache-2.0

internal import CLinux
internal import PCITopology
internal import PeerMemory
internal import Synchronization
internal import SystemPackage
internal import PeerMRCore
internal import Verbs

/// Where the bytes of a dma-buf's region come from. The descriptor is closed; the owner holds the memory.
struct BufferOrigin {
    let exporter: String
    /// Where the region begins in the buffer, in bytes.
    let offset: UInt64
    let owner: any DMABufOwner
}

/// A region over mapped memory: a ``Verbs/MemoryRegion`` of one type, which costs less.
@safe
struct MappedRegion: ~Copyable {
    private let registration: MappedRegistration
    let domain: ProtectionDomain
    let memory: MappedMemory
    private let handle: DMAHandle?
    private let isDetached: Atomic<Bool>

    init(
        registering memory: consuming MappedMemory, on domain: ProtectionDomain, access: Access,
        constraint: TransferConstraint,
        handle: DMAHandle?
    ) throws(PeerMRError) {
        let made = unsafe try MappedRegistration(
            of: memory.baseAddress, byteCount: memory.byteCount, on: domain, access: access, constraint: constraint,
            handle: handle)
        unsafe registration = made
        self.domain = domain
        self.memory = memory
        self.handle = handle
        isDetached = Atomic(false)
    }

    var keys: RegionKeys { unsafe registration.keys }

    @unsafe var rawObject: UnsafeMutableRawPointer { unsafe registration.rawObject }

    /// From here on the C object is someone else's, who deregisters it.
    borrowing func detach() {
        isDetached.store(true, ordering: .relaxed)
    }

    deinit {
        if !isDetached.load(ordering: .relaxed) { unsafe registration.end() }
    }
}

/// A region of either sort.
enum AnyRegion: ~Copyable {
    case mapped(MappedRegion)
    case buffer(BufferRegion)
    case nic(DeviceMemoryRegion)
}

/// A region of either sort, with the memory below it.
struct RegionStorage: ~Copyable {
    let region: AnyRegion
    let keys: RegionKeys
    let domain: ProtectionDomain
    let kind: MemoryKind
    let provider: PCIAddress?
    let padding: (before: UInt64, after: UInt64)
    /// Where a dma-buf's bytes come from; nil for other memory.
    let origin: BufferOrigin?
    /// The NIC's own memory; nil for other memory.
    let ownMemory: DeviceMemory?
    /// The driver that the provider had when its memory was registered.
    let driver: String?

    init(_ region: consuming MappedRegion, driver: String?) {
        keys = region.keys
        domain = region.domain
        kind = region.memory.kind
        provider = region.memory.provider
        padding = (0, 0)
        origin = nil
        ownMemory = nil
        self.driver = driver
        self.region = .mapped(region)
    }

    init(_ region: consuming BufferRegion, _ origin: BufferOrigin, driver: String?) {
        keys = region.keys
        domain = region.domain
        kind = .dmabuf
        provider = origin.owner.provider
        padding = region.padding
        self.origin = origin
        ownMemory = nil
        self.driver = driver
        self.region = .buffer(region)
    }

    init(_ region: consuming DeviceMemoryRegion, provider: PCIAddress?, driver: String?) {
        keys = region.keys
        domain = region.domain
        kind = .nic
        self.provider = provider
        padding = (0, 0)
        origin = nil
        ownMemory = region.memory
        self.driver = driver
        self.region = .nic(region)
    }

    /// Memory of another device than the NIC. udmabuf and dma-heap hand out memory of the host.
    var isPeers: Bool {
        guard let origin else { return kind == .p2pmem }
        return origin.owner.provider != nil || !["udmabuf", "system"].contains(origin.exporter)
    }

    func slice(at offset: Int, count: Int) throws(SliceError) -> IOVector {
        switch region {
        case .mapped(let region): return try region.memory.slice(at: offset, count: count)
        case .buffer: throw .noAddress
        case .nic: throw .noAddress
        }
    }
}

extension RegionStorage {
    func read(into bytes: inout MutableRawSpan, at offset: Int) throws(PeerMRError) {
        if let ownMemory {
            try validate(offset, bytes.byteCount)
            return try ownMemory.read(into: &bytes, at: UInt64(offset))
        }
        if let origin {
            try validate(offset, bytes.byteCount)
            return try origin.owner.read(into: &bytes, at: origin.offset + UInt64(offset))
        }
        let from = try address(at: offset, bytes.byteCount)
        let result = unsafe bytes.withUnsafeMutableBytes { local in
            unsafe Self.copy(local.baseAddress, UnsafeRawPointer(bitPattern: from), local.count)
        }
        if result != 0 { throw .mappingLost(Errno(rawValue: result), provider) }
    }

    func write(_ bytes: RawSpan, at offset: Int) throws(PeerMRError) {
        if let ownMemory {
            try validate(offset, bytes.byteCount)
            return try ownMemory.write(bytes, at: UInt64(offset))
        }
        if let origin {
            try validate(offset, bytes.byteCount)
            return try origin.owner.write(bytes, at: origin.offset + UInt64(offset))
        }
        let to = try address(at: offset, bytes.byteCount)
        let result = unsafe bytes.withUnsafeBytes { local in
            unsafe Self.copy(UnsafeMutableRawPointer(bitPattern: to), local.baseAddress, local.count)
        }
        if result != 0 { throw .mappingLost(Errno(rawValue: result), provider) }
    }

    /// The kernel copies: where the pages are gone it gives EFAULT instead of a signal. 0, or the errno.
    private static func copy(_ to: UnsafeMutableRawPointer?, _ from: UnsafeRawPointer?, _ count: Int) -> Int32 {
        guard let to = unsafe to, let from = unsafe from, count > 0 else { return 0 }
        return unsafe peermr_copy_by_kernel(to, from, count) == 0 ? 0 : currentErrno().rawValue
    }

    private func address(at offset: Int, _ count: Int) throws(PeerMRError) -> UInt {
        do throws(SliceError) {
            return try slice(at: offset, count: count).address
        } catch {
            throw .outsideRegion(offset, count, keys)
        }
    }

    private func validate(_ offset: Int, _ count: Int) throws(PeerMRError) {
        guard offset >= 0, UInt64(offset) <= keys.byteCount, UInt64(count) <= keys.byteCount - UInt64(offset)
        else { throw .outsideRegion(offset, count, keys) }
    }
}
