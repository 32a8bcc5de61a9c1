// SPDX-License-Identifier: Apache-2.0

public import PeerMRCore
public import Verbs

/// A range of a dma-buf that is known by its descriptor alone, of any exporter.
///
/// The owner's way to the bytes is a mapping of the descriptor, where the exporter allows that: see ``DMABuf``.
public final class DMABufMemory: DMABufBacked {
    /// The dma-buf.
    public let buffer: DMABuf
    /// Where the memory begins in its dma-buf, in bytes.
    public let offset: UInt64
    /// The length in bytes.
    public let byteCount: Int
    /// The PCI function whose memory it is, as the caller has said: the kernel does not tell.
    public let provider: PCIAddress?
    /// Whose memory it is: the host's of a dma-heap, whatever its name, and of what udmabuf exports.
    public var owner: MemoryOwner { isOfHeap ? .host : buffer.owner(driver: nil) }
    private let isOfHeap: Bool

    /// A range of a buffer.
    ///
    /// - Parameters:
    ///   - buffer: the buffer.
    ///   - offset: where the range begins, in bytes.
    ///   - byteCount: how long it is, in bytes; nil for all that follows `offset`.
    ///   - provider: the PCI function whose memory it is, where the caller knows.
    /// - Throws: `invalidArgument` for a range that is empty or not inside the buffer.
    public init(
        _ buffer: DMABuf, offset: UInt64 = 0, byteCount: UInt64? = nil, provider: PCIAddress? = nil
    ) throws(PeerMRError) {
        self.byteCount = try buffer.validate(offset: offset, byteCount: byteCount)
        self.buffer = buffer
        self.offset = offset
        self.provider = provider
        isOfHeap = false
    }

    /// All of a buffer of a dma-heap.
    init(ofHeap buffer: DMABuf) {
        self.buffer = buffer
        offset = 0
        // The kernel keeps the size of a dma-buf in 63 bits.
        byteCount = Int(clamping: buffer.byteCount)
        provider = nil
        isOfHeap = true
    }

    /// A range of a buffer whose descriptor this object takes over.
    ///
    /// - Parameters:
    ///   - descriptor: owned by this object from success on; where this throws it is still the caller's.
    ///   - offset: where the range begins, in bytes.
    ///   - byteCount: how long it is, in bytes; nil for all that follows `offset`.
    ///   - provider: the PCI function whose memory it is, where the caller knows.
    /// - Throws: as ``DMABuf/init(adopting:)`` and ``init(_:offset:byteCount:provider:)`` do.
    public convenience init(
        adopting descriptor: Int32, offset: UInt64 = 0, byteCount: UInt64? = nil, provider: PCIAddress? = nil
    ) throws(PeerMRError) {
        // Before anything is owned: what is refused stays the caller's.
        let info = try DMABufInfo(of: descriptor)
        _ = try DMABuf.validate(offset: offset, byteCount: byteCount, of: info.byteCount)
        try self.init(
            DMABuf(OwnedDescriptor(adopting: descriptor), info), offset: offset, byteCount: byteCount,
            provider: provider)
    }

    /// The same with a duplicate of a descriptor, which stays the caller's.
    ///
    /// - Throws: as ``init(adopting:offset:byteCount:provider:)`` does, and `resourceLimit` (EMFILE).
    public convenience init(
        duplicating descriptor: Int32, offset: UInt64 = 0, byteCount: UInt64? = nil, provider: PCIAddress? = nil
    ) throws(PeerMRError) {
        try self.init(
            DMABuf(duplicating: descriptor), offset: offset, byteCount: byteCount, provider: provider)
    }

    /// Copies bytes out of the memory. See ``Verbs/Memory/read(into:at:)``.
    public func read(into bytes: inout MutableRawSpan, at offset: Int) throws(PeerMRError) {
        try buffer.read(into: &bytes, at: try place(offset, bytes.byteCount))
    }

    /// Copies bytes into the memory. See ``Verbs/Memory/write(_:at:)``.
    public func write(_ bytes: RawSpan, at offset: Int) throws(PeerMRError) {
        try buffer.write(bytes, at: try place(offset, bytes.byteCount))
    }
}
