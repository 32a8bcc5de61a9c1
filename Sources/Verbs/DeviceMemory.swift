// SPDX-License-Identifier: Apache-2.0

internal import CVerbs
internal import SystemPackage
public import PeerMRCore

/// Memory of the NIC itself, allocated by this process.
///
/// Kept alive by the regions over it; the device takes it back when the last of them and this object are gone.
@safe
public final class DeviceMemory: @unchecked Sendable {
    let raw: UnsafeMutablePointer<ibv_dm>
    /// The C object, for measurements of the bare calls. Valid as long as this memory lives; do not free it.
    @unsafe package var rawObject: UnsafeMutableRawPointer { unsafe UnsafeMutableRawPointer(raw) }
    /// The device, kept open as long as this memory lives.
    public let context: Context
    /// How much there is, in bytes.
    public let byteCount: UInt64

    /// Allocates memory of a NIC.
    ///
    /// - Throws: `notSupported` where the device gives none to programs (EOPNOTSUPP), `resourceLimit` where it has less
    ///   (ENOMEM, ENOSPC, EINVAL). The corresponding C function is `ibv_alloc_dm`.
    public init(allocating byteCount: UInt64, on context: Context) throws(PeerMRError) {
        guard byteCount > 0, byteCount <= UInt64(Int.max) else { throw .emptyDeviceMemory(byteCount) }
        var attributes = ibv_alloc_dm_attr()
        attributes.length = Int(byteCount)
        guard let made = unsafe ibv_alloc_dm(context.raw, &attributes) else {
            throw .deviceMemory("ibv_alloc_dm", currentErrno(), byteCount, context.device)
        }
        unsafe raw = made
        self.context = context
        self.byteCount = byteCount
    }

    deinit {
        _ = unsafe ibv_free_dm(raw)
    }

    /// Hands the memory out as a dma-buf, for another device to import.
    ///
    /// - Returns: the descriptor, the caller's to close.
    /// - Throws: `notSupported` where the running libibverbs (ENOSYS; it came with rdma-core 62), the kernel or the
    ///   driver cannot. The corresponding C function is `ibv_dm_export_dmabuf_fd`.
    public func export() throws(PeerMRError) -> OwnedDescriptor {
        let descriptor = unsafe peermr_dm_export_dmabuf_fd(raw)
        guard descriptor >= 0 else {
            throw .deviceMemory("ibv_dm_export_dmabuf_fd", currentErrno(), byteCount, context.device)
        }
        return OwnedDescriptor(adopting: descriptor)
    }

    /// Copies bytes out of the memory, by CPU.
    ///
    /// - Throws: `invalidArgument` outside the memory, and the errno of the provider.
    ///   The corresponding C function is `ibv_memcpy_from_dm`.
    public func read(into bytes: inout MutableRawSpan, at offset: UInt64) throws(PeerMRError) {
        try check(bytes.byteCount, at: offset)
        let raw = unsafe self.raw
        let result = unsafe bytes.withUnsafeMutableBytes { buffer in
            unsafe ibv_memcpy_from_dm(buffer.baseAddress, raw, offset, buffer.count)
        }
        guard result == 0 else {
            throw .deviceMemory("ibv_memcpy_from_dm", Errno(rawValue: result), byteCount, context.device)
        }
    }

    /// Copies bytes into the memory, by CPU. See ``read(into:at:)``.
    ///
    /// The corresponding C function is `ibv_memcpy_to_dm`.
    public func write(_ bytes: RawSpan, at offset: UInt64) throws(PeerMRError) {
        try check(bytes.byteCount, at: offset)
        let raw = unsafe self.raw
        let result = unsafe bytes.withUnsafeBytes { buffer in
            unsafe ibv_memcpy_to_dm(raw, offset, buffer.baseAddress, buffer.count)
        }
        guard result == 0 else {
            throw .deviceMemory("ibv_memcpy_to_dm", Errno(rawValue: result), byteCount, context.device)
        }
    }

    private func check(_ count: Int, at offset: UInt64) throws(PeerMRError) {
        guard offset <= byteCount, UInt64(count) <= byteCount - offset else {
            throw .outsideDeviceMemory(count, offset, byteCount)
        }
    }
}

/// A memory region over memory of the NIC itself. Its I/O addresses begin at 0.
@safe
public struct DeviceMemoryRegion: ~Copyable {
    private let raw: UnsafeMutablePointer<ibv_mr>
    /// The domain, kept as long as the region lives.
    public let domain: ProtectionDomain
    /// The memory, kept as long as the region lives.
    public let memory: DeviceMemory
    /// What addresses work requests need.
    public let keys: RegionKeys

    /// Registers all of the memory.
    ///
    /// - Parameters:
    ///   - memory: what to register.
    ///   - domain: a domain of the same device.
    ///   - access: what the device may do.
    /// - Throws: `notSupported` (EOPNOTSUPP), EINVAL for an access that the device does not take.
    ///   The corresponding C function is `ibv_reg_dm_mr`.
    public init(
        registering memory: DeviceMemory, on domain: ProtectionDomain, access: Access = [.localWrite]
    ) throws(PeerMRError) {
        // Device memory has no address in this process to begin at.
        let flags = access.rawValue | IBV_ACCESS_ZERO_BASED.rawValue
        guard let made = unsafe ibv_reg_dm_mr(domain.raw, memory.raw, 0, Int(memory.byteCount), flags) else {
            throw .deviceMemory("ibv_reg_dm_mr", currentErrno(), memory.byteCount, domain.context.device)
        }
        unsafe raw = made
        self.domain = domain
        self.memory = memory
        unsafe keys = RegionKeys(
            address: 0, byteCount: memory.byteCount, localKey: made.pointee.lkey, remoteKey: made.pointee.rkey,
            constraint: .any)
    }

    /// The C object. Valid as long as this region lives; do not deregister it.
    @unsafe package var rawObject: UnsafeMutableRawPointer { unsafe UnsafeMutableRawPointer(raw) }

    deinit {
        _ = unsafe ibv_dereg_mr(raw)
    }
}
