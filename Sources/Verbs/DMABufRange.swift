// SPDX-License-Identifier: Apache-2.0

internal import CLinux
internal import Glibc
internal import SystemPackage
internal import PeerMRCore

/// A range of a dma-buf that is to be registered.
public struct DMABufRange: Hashable, Sendable {
    /// The descriptor, borrowed for the call.
    public var descriptor: Int32
    /// Where the range begins in the buffer, in bytes.
    public var offset: UInt64
    /// How long it is, in bytes.
    public var byteCount: UInt64
    /// The I/O address by which the device is to know the first byte; nil for its offset in the buffer.
    ///
    /// Offset and I/O address must be congruent modulo the page size.
    public var ioAddress: UInt64?
    /// The buffer's size and whether its descriptor may write, where the caller has asked already: both are fixed for a
    /// buffer's life. Otherwise the kernel is asked for each registration.
    private var known: Known?

    private struct Known: Hashable, Sendable {
        let bufferBytes: UInt64
        let isWritable: Bool
    }

    /// A range by its numbers. Whether the buffer has it is checked when it is registered.
    public init(of descriptor: Int32, offset: UInt64, byteCount: UInt64, ioAddress: UInt64? = nil) {
        self.descriptor = descriptor
        self.offset = offset
        self.byteCount = byteCount
        self.ioAddress = ioAddress
    }

    /// A range of a buffer whose size and rights are known.
    public init(
        of descriptor: Int32, offset: UInt64, byteCount: UInt64, ioAddress: UInt64?, bufferBytes: UInt64,
        isWritable: Bool
    ) {
        self.init(of: descriptor, offset: offset, byteCount: byteCount, ioAddress: ioAddress)
        known = Known(bufferBytes: bufferBytes, isWritable: isWritable)
    }
}

extension DMABufRange {
    /// The buffer's size in bytes: the only thing that seeking in a dma-buf tells (drivers/dma-buf/dma-buf.c,
    /// `dma_buf_llseek`).
    fileprivate func bufferBytes() throws(PeerMRError) -> UInt64 {
        if let known { return known.bufferBytes }
        // Seeking in any other file would move its position.
        switch peermr_is_dmabuf(descriptor) {
        case 1: break
        case 0: throw .noDMABuf(descriptor)
        default: throw .bufferSize(currentErrno(), descriptor)
        }
        let end = lseek(descriptor, 0, SEEK_END)
        guard end >= 0 else { throw .bufferSize(currentErrno(), descriptor) }
        return UInt64(end)
    }

    /// The kernel's importers ignore how a descriptor was opened, so a NIC could write what was exported for reading
    /// only.
    fileprivate func validate(_ access: Access) throws(PeerMRError) {
        guard access.isWriting else { return }
        let isReadOnly: Bool
        if let known {
            isReadOnly = !known.isWritable
        } else {
            let flags = fcntl(descriptor, F_GETFL)
            isReadOnly = flags >= 0 && flags & O_ACCMODE == O_RDONLY
        }
        if isReadOnly { throw .readOnlyBuffer(descriptor) }
    }
}

/// The pages that hold a range of a dma-buf, after everything has been checked that can be known before the call.
struct DMABufPages {
    let offset: UInt64
    let byteCount: UInt64
    let ioAddress: UInt64
    let padding: (before: UInt64, after: UInt64)

    init(_ range: DMABufRange, access: Access) throws(PeerMRError) {
        let page = UInt64(pageBytes)
        if access.contains(.onDemand) { throw .onDemandBuffer() }
        guard range.byteCount > 0 else { throw .emptyBufferPart() }
        let size = try range.bufferBytes()
        guard range.offset <= size, range.byteCount <= size - range.offset else { throw .outsideBuffer(range, size) }
        try range.validate(access)
        let inner = range.offset % page
        let first = range.ioAddress ?? range.offset
        guard first % page == inner else { throw .incongruent(range, first) }
        offset = range.offset - inner
        let end = range.offset + range.byteCount
        let wanted = (end + page - 1) / page * page
        let last = min(wanted, max(end, size))
        byteCount = last - offset
        ioAddress = first - inner
        guard ioAddress <= UInt64.max - byteCount else { throw .ioAddressOverflow(range, first) }
        padding = (inner, last - end)
    }
}
