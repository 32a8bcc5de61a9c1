// SPDX-License-Identifier: Apache-2.0

internal import CLinux
internal import Glibc
public import PCITopology
internal import SystemPackage
public import PeerMRCore

/// The way to a dma-buf's bytes for whoever has a descriptor: mapped for the CPU, where the exporter allows that.
///
/// Exporters of plain host memory do; vfio-pci and most drivers of devices do not.
/// Every access maps the part that it needs, with the kernel's bracket around it (`DMA_BUF_IOCTL_SYNC`), and has the
/// kernel do the copying: an exporter that takes its memory back then leads to an error, not to SIGBUS.
public final class MappedBufferOwner: DMABufOwner {
    /// The PCI function whose memory it is; nil for the host's, and where it is not known.
    public let provider: PCIAddress?
    private let file: OwnedDescriptor
    private let exporter: String
    private let byteCount: UInt64
    private let isWritable: Bool

    /// The bytes of a buffer, by a descriptor of its own.
    ///
    /// - Parameters:
    ///   - buffer: the buffer; it may go before this does.
    ///   - provider: the PCI function whose memory it is; nil for the host's, and where it is not known.
    /// - Throws: `resourceLimit` (EMFILE) where no more descriptors are to be had.
    public convenience init(of buffer: borrowing DMABuf, provider: PCIAddress? = nil) throws(PeerMRError) {
        try self.init(of: buffer.descriptor, facts: DMABufInfo(of: buffer.descriptor), provider: provider)
    }

    init(of descriptor: Int32, facts: DMABufInfo, provider: PCIAddress?) throws(PeerMRError) {
        let second = peermr_duplicate(descriptor)
        guard second >= 0 else { throw .duplicate(currentErrno(), descriptor) }
        file = OwnedDescriptor(adopting: second)
        self.provider = provider
        exporter = facts.exporter
        byteCount = facts.byteCount
        isWritable = facts.isWritable
    }

    /// Copies bytes out of the memory.
    ///
    /// - Throws: `notSupported` (EINVAL, ENODEV) where the exporter does not let the CPU map its dma-bufs,
    ///   `memoryRevoked` (EFAULT) when it has taken the memory back, `invalidArgument` where the part does not lie
    ///   inside.
    public func read(into bytes: inout MutableRawSpan, at offset: UInt64) throws(PeerMRError) {
        try unsafe bytes.withUnsafeMutableBytes { (local) throws(PeerMRError) in
            try unsafe copy(local, at: offset, writing: false)
        }
    }

    /// Copies bytes into the memory.
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
        let count = local.count
        try DMABufInfo.validatePart(offset, UInt64(count), of: byteCount)
        let inner = Int(offset % UInt64(pageBytes))
        let length = inner + count
        let mapped = unsafe mmap(
            nil, length, writing ? PROT_READ | PROT_WRITE : PROT_READ, MAP_SHARED, file.rawValue,
            off_t(offset - UInt64(inner)))
        guard let mapped = unsafe mapped, unsafe mapped != MAP_FAILED else {
            throw .mapBuffer(currentErrno(), exporter)
        }
        defer { _ = unsafe munmap(mapped, length) }
        guard peermr_dmabuf_sync(file.rawValue, writing ? 1 : 0, 0) == 0 else {
            throw .syncBuffer(currentErrno(), exporter)
        }
        let peer = unsafe mapped + inner
        let copied =
            writing
            ? unsafe peermr_copy_by_kernel(peer, start, count) : unsafe peermr_copy_by_kernel(start, peer, count)
        let copyError = currentErrno()
        let ended = peermr_dmabuf_sync(file.rawValue, writing ? 1 : 0, 1)
        let endError = currentErrno()
        guard copied == 0 else { throw .copyBuffer(copyError, exporter) }
        guard ended == 0 else { throw .syncBuffer(endError, exporter) }
    }
}
