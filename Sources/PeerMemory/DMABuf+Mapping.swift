// SPDX-License-Identifier: Apache-2.0

internal import CLinux
internal import Glibc
internal import SystemPackage
public import PeerMRCore

// The CPU's way to the bytes, for exporters that let their dma-bufs be mapped: those of plain host memory do, vfio-pci
// and most drivers of devices do not.
extension DMABuf {
    /// Copies bytes out of the buffer, by a mapping made for the copy.
    ///
    /// The mapping has the kernel's bracket around it (`DMA_BUF_IOCTL_SYNC`), and the kernel does the copying: where
    /// the exporter takes its memory back the result is an error, not SIGBUS.
    ///
    /// - Parameters:
    ///   - bytes: where they go, and how many.
    ///   - offset: from the beginning of the buffer, in bytes.
    /// - Throws: `notSupported` (EINVAL, ENODEV) where the exporter does not let the CPU map its dma-bufs,
    ///   `memoryRevoked` (EFAULT) when it has taken the memory back, `invalidArgument` for a range that is not inside.
    public func read(into bytes: inout MutableRawSpan, at offset: UInt64) throws(PeerMRError) {
        try unsafe bytes.withUnsafeMutableBytes { (local) throws(PeerMRError) in
            try unsafe copy(local, at: offset, writing: false)
        }
    }

    /// Copies bytes into the buffer.
    ///
    /// - Throws: as ``read(into:at:)`` does, and `notPermitted` where the descriptor is open for reading only.
    public func write(_ bytes: RawSpan, at offset: UInt64) throws(PeerMRError) {
        guard isWritable else { throw .readOnlyBuffer(exporter) }
        try unsafe bytes.withUnsafeBytes { (local) throws(PeerMRError) in
            try unsafe copy(UnsafeMutableRawBufferPointer(mutating: local), at: offset, writing: true)
        }
    }

    private func copy(
        _ local: UnsafeMutableRawBufferPointer, at offset: UInt64, writing: Bool
    ) throws(PeerMRError) {
        guard let start = local.baseAddress, local.count > 0 else { return }
        let count = try validate(offset: offset, byteCount: UInt64(local.count))
        // From the beginning of the buffer: some DRM drivers ignore the offset of a mapping, and would map other pages
        // (drivers/gpu/drm/drm_gem_shmem_helper.c, drm_gem_shmem_fault). Only the pages that are touched cost anything.
        let length = Int(offset) + count
        let mapped = unsafe mmap(
            nil, length, writing ? PROT_READ | PROT_WRITE : PROT_READ, MAP_SHARED, descriptor, 0)
        guard let mapped = unsafe mapped, unsafe mapped != MAP_FAILED else {
            throw .mapBuffer(currentErrno(), exporter)
        }
        defer { _ = unsafe munmap(mapped, length) }
        guard peermr_dmabuf_sync(descriptor, writing ? 1 : 0, 0) == 0 else {
            throw .syncBuffer(currentErrno(), exporter)
        }
        let peer = unsafe mapped + Int(offset)
        let copied =
            writing
            ? unsafe peermr_copy_by_kernel(peer, start, count) : unsafe peermr_copy_by_kernel(start, peer, count)
        let copyError = currentErrno()
        let ended = peermr_dmabuf_sync(descriptor, writing ? 1 : 0, 1)
        let endError = currentErrno()
        guard copied == 0 else { throw .copyBuffer(copyError, exporter) }
        guard ended == 0 else { throw .syncBuffer(endError, exporter) }
    }
}
