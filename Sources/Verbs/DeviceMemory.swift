// SPDX-License-Identifier: Apache-2.0

internal import CVerbs
internal import SystemPackage
public import PeerMRCore

/// Memory of the NIC itself, allocated by this process.
///
/// The device takes it back when the last region over it and this object are gone.
@safe
public final class DeviceMemory: Memory, @unchecked Sendable {
    let raw: UnsafeMutablePointer<ibv_dm>
    /// The C object, for measurements of the bare calls. Valid as long as this memory lives; do not free it.
    @unsafe package var rawObject: UnsafeMutableRawPointer { unsafe UnsafeMutableRawPointer(raw) }
    /// The device, kept open as long as this memory lives.
    public let context: Context
    /// How much there is, in bytes.
    public let byteCount: Int
    /// What kind of memory it is.
    public var kind: MemoryKind { .nic }

    /// Allocates memory of a NIC.
    ///
    /// - Throws: `notSupported` where the device gives none to programs (EOPNOTSUPP), `resourceLimit` where it has less
    ///   (ENOMEM, ENOSPC, EINVAL). The corresponding C function is `ibv_alloc_dm`.
    public init(allocating byteCount: UInt64, on context: Context) throws(PeerMRError) {
        guard byteCount > 0, let count = Int(exactly: byteCount) else { throw .emptyDeviceMemory(byteCount) }
        var attributes = ibv_alloc_dm_attr()
        attributes.length = count
        guard let made = unsafe ibv_alloc_dm(context.raw, &attributes) else {
            throw .deviceMemory("ibv_alloc_dm", currentErrno(), UInt64(byteCount), context.device)
        }
        unsafe raw = made
        self.context = context
        self.byteCount = count
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
            throw .deviceMemory("ibv_dm_export_dmabuf_fd", currentErrno(), UInt64(byteCount), context.device)
        }
        return OwnedDescriptor(adopting: descriptor)
    }

    /// Copies bytes out of the memory, by CPU.
    ///
    /// - Throws: `invalidArgument` outside the memory, and the errno of the provider.
    ///   The corresponding C function is `ibv_memcpy_from_dm`.
    public func read(into bytes: inout MutableRawSpan, at offset: Int) throws(PeerMRError) {
        try check(bytes.byteCount, at: offset)
        let raw = unsafe self.raw
        let result = unsafe bytes.withUnsafeMutableBytes { buffer in
            unsafe ibv_memcpy_from_dm(buffer.baseAddress, raw, UInt64(offset), buffer.count)
        }
        guard result == 0 else {
            throw .deviceMemory("ibv_memcpy_from_dm", Errno(rawValue: result), UInt64(byteCount), context.device)
        }
    }

    /// Copies bytes into the memory, by CPU. See ``read(into:at:)``.
    ///
    /// The corresponding C function is `ibv_memcpy_to_dm`.
    public func write(_ bytes: RawSpan, at offset: Int) throws(PeerMRError) {
        try check(bytes.byteCount, at: offset)
        let raw = unsafe self.raw
        let result = unsafe bytes.withUnsafeBytes { buffer in
            unsafe ibv_memcpy_to_dm(raw, UInt64(offset), buffer.baseAddress, buffer.count)
        }
        guard result == 0 else {
            throw .deviceMemory("ibv_memcpy_to_dm", Errno(rawValue: result), UInt64(byteCount), context.device)
        }
    }

    private func check(_ count: Int, at offset: Int) throws(PeerMRError) {
        guard offset >= 0, offset <= byteCount, count <= byteCount - offset else {
            throw .outsideDeviceMemory(count, offset, byteCount)
        }
    }

    /// How a device gets at the memory. See ``Verbs/Memory/backing(for:)``.
    public func backing(for access: Access) -> MemoryBacking { .deviceMemory(self) }
}
