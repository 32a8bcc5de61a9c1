// SPDX-License-Identifier: Apache-2.0

public import PCITopology
internal import SystemPackage
public import PeerMRCore

/// A dma-buf: memory that its driver hands out by descriptor, for other devices to reach.
///
/// The descriptor is owned and closed with the value; a region keeps the buffer in the kernel without it.
public struct DMABuf: ~Copyable, Sendable {
    private let file: OwnedDescriptor
    /// The driver that hands it out, as the kernel names it (`exp_name` in `/proc/self/fdinfo`); `udmabuf`, for
    /// example, and `unknown` where `/proc` cannot be read.
    public let exporter: String
    /// The size that the kernel has for it, in bytes.
    public let byteCount: UInt64
    /// What tells it from every other buffer that is alive.
    public let identity: Identity
    /// Whether the descriptor may write; where it may not, the CPU cannot map it for writing either.
    public let isWritable: Bool

    /// What tells a buffer from every other one, however many descriptors it has: for caches of regions.
    ///
    /// The kernel may give the number to another buffer once this one is gone, so keep the buffer while it is used.
    public struct Identity: Hashable, Sendable {
        /// The device number of the kernel's file system of dma-bufs.
        public let device: UInt64
        /// The number of the buffer in it.
        public let inode: UInt64
    }

    /// A buffer by its parts.
    init(file: consuming OwnedDescriptor, facts: DMABufInfo) {
        self.file = file
        exporter = facts.exporter
        byteCount = facts.byteCount
        identity = facts.identity
        isWritable = facts.isWritable
    }

    /// The descriptor, valid as long as the value lives. Do not close it.
    public var descriptor: Int32 { file.rawValue }
}

/// The owner of a dma-buf's memory, and its own way to the bytes: what a proof compares with.
///
/// Holding it keeps the memory.
public protocol DMABufOwner: AnyObject {
    /// The PCI function whose memory it is; nil for the host's, and where it is not known.
    var provider: PCIAddress? { get }
    /// Copies bytes out of the memory, as its owner sees them.
    ///
    /// - Parameters:
    ///   - bytes: where they go, and how many.
    ///   - offset: from the start of the dma-buf, in bytes.
    /// - Throws: `notSupported` where the owner has no way to the bytes, `memoryRevoked` when the memory has been taken
    ///   back, `invalidArgument` where the part does not lie inside.
    func read(into bytes: inout MutableRawSpan, at offset: UInt64) throws(PeerMRError)
    /// Copies bytes into the memory. See ``read(into:at:)``.
    func write(_ bytes: RawSpan, at offset: UInt64) throws(PeerMRError)
}

/// A part of a dma-buf, to be registered, and who owns it.
public struct DMABufMemory: ~Copyable {
    /// The buffer.
    public let buffer: DMABuf
    /// Where the part begins in it, in bytes.
    public let offset: UInt64
    /// How long the part is, in bytes.
    public let byteCount: Int
    /// Who owns the memory.
    public let owner: any DMABufOwner
    /// Where the application has the part mapped, if it was lent by its address: devices shall know it by that.
    package var mappedAddress: UInt64?

    /// A part of a buffer.
    ///
    /// - Parameters:
    ///   - buffer: the buffer; its descriptor is closed where this throws.
    ///   - owner: who owns the memory, kept as long as this value lives.
    ///   - offset: where the part begins, in bytes.
    ///   - byteCount: how long it is, in bytes.
    /// - Throws: `invalidArgument` where it does not lie inside the buffer, or is empty.
    public init(
        _ buffer: consuming DMABuf, owner: any DMABufOwner, offset: UInt64, byteCount: UInt64
    ) throws(PeerMRError) {
        try DMABufInfo.validatePart(offset, byteCount, of: buffer.byteCount)
        self.buffer = buffer
        self.owner = owner
        self.offset = offset
        self.byteCount = Int(byteCount)
    }

    /// All of a buffer.
    ///
    /// - Throws: `invalidArgument` where it is empty.
    public init(_ buffer: consuming DMABuf, owner: any DMABufOwner) throws(PeerMRError) {
        let byteCount = buffer.byteCount
        try self.init(buffer, owner: owner, offset: 0, byteCount: byteCount)
    }
}
