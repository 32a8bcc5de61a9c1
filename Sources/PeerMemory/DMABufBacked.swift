// SPDX-License-Identifier: Apache-2.0

public import PeerMRCore
public import Verbs

/// Memory that is registered as a range of a dma-buf: what exporters have in common.
///
/// An exporter is a class of its own that allocates or opens its memory, exports it, keeps it, and knows its way to the
/// bytes.
public protocol DMABufBacked: Memory {
    /// The buffer.
    var buffer: DMABuf { get }
    /// Where the memory begins in the buffer, in bytes.
    var offset: UInt64 { get }
}

extension DMABufBacked {
    /// What kind of memory it is.
    public var kind: MemoryKind { .dmabuf }
    /// The driver that exports the dma-buf; nil for other memory.
    public var exporter: String? { buffer.exporter }
    /// Whose memory it is, as far as its exporter's name and the provider's driver tell.
    public var owner: MemoryOwner { buffer.owner(driver: providerDriver) }
    /// What tells the memory from any other that is alive.
    public var identity: MemoryIdentity {
        .dmaBuf(device: buffer.identity.device, inode: buffer.identity.inode)
    }
    /// Where the memory begins in its buffer, in bytes.
    public var identityOffset: UInt64 { offset }

    /// How a device gets at the memory. See ``Verbs/Memory/backing(for:)``.
    public func backing(for access: Access) throws(PeerMRError) -> MemoryBacking {
        .dmaBuf(
            DMABufRange(
                of: buffer.descriptor, offset: offset, byteCount: UInt64(byteCount), ioAddress: nil,
                bufferBytes: buffer.byteCount, isWritable: buffer.isWritable))
    }

    /// The place of a range of this memory in its buffer.
    ///
    /// - Throws: `invalidArgument` where it is not inside this memory.
    package func place(_ offset: Int, _ count: Int) throws(PeerMRError) -> UInt64 {
        try validate(offset, count)
        return self.offset + UInt64(offset)
    }
}
