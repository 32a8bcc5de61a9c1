// SPDX-License-Identifier: Apache-2.0

public import PCITopology
internal import SystemPackage
public import SystemSupport

/// A dma-buf: memory that its driver hands out by descriptor, for other devices to reach.
///
/// The descriptor is owned and closed with the value; a region keeps the buffer in the kernel without it.
public struct DMABuffer: ~Copyable, Sendable {
    private let file: OwnedDescriptor
    /// The driver that hands it out, as the kernel names it (`exp_name` in `/proc/self/fdinfo`): `udmabuf`, say.
    public let exporter: String
    /// The size that the kernel has for it, in bytes.
    public let byteCount: UInt64

    /// A buffer by its parts.
    init(file: consuming OwnedDescriptor, exporter: String, byteCount: UInt64) {
        self.file = file
        self.exporter = exporter
        self.byteCount = byteCount
    }

    /// The descriptor, valid as long as the value lives. Do not close it.
    public var descriptor: Int32 { file.rawValue }
}

/// The owner of a dma-buf's memory, and its own way to the bytes: what a proof compares with.
///
/// Holding it keeps the memory.
public protocol DMABufferOwner: AnyObject {
    /// The PCI function whose memory it is; nil for the host's, and where it is not known.
    var provider: PCIAddress? { get }
    /// Copies bytes out of the memory, as its owner sees them.
    ///
    /// - Parameter offset: from the start of the dma-buf, in bytes.
    /// - Throws: `notSupported` where the owner has no way to the bytes, `peerLost` when the memory is gone.
    func read(into bytes: inout MutableRawSpan, at offset: UInt64) throws(CallError)
    /// Copies bytes into the memory. See ``read(into:at:)``.
    func write(_ bytes: RawSpan, at offset: UInt64) throws(CallError)
}

/// A part of a dma-buf, to be registered, and who owns it.
public struct DMABufferMemory: ~Copyable {
    /// The buffer.
    public let buffer: DMABuffer
    /// Where the part begins in it, in bytes.
    public let offset: UInt64
    /// How long the part is, in bytes.
    public let byteCount: Int
    /// Who owns the memory.
    public let owner: any DMABufferOwner

    /// A part of a buffer.
    ///
    /// - Throws: `invalidArgument` where it does not lie inside the buffer, or is empty.
    public init(
        _ buffer: consuming DMABuffer, owner: any DMABufferOwner, offset: UInt64, byteCount: UInt64
    ) throws(CallError) {
        let whole = buffer.byteCount
        guard byteCount > 0, byteCount <= UInt64(Int.max), offset <= whole, byteCount <= whole - offset else {
            throw CallError(
                .invalidArgument,
                reason: "\(byteCount) bytes from \(offset) on do not lie inside a dma-buf of \(whole) bytes",
                remedy: "name a part that does; nothing is ever shortened silently")
        }
        self.buffer = buffer
        self.owner = owner
        self.offset = offset
        self.byteCount = Int(byteCount)
    }
}
