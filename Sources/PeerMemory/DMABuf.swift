// SPDX-License-Identifier: Apache-2.0

internal import CLinux
internal import Glibc
internal import SystemPackage
public import PeerMRCore
internal import Verbs

/// A descriptor of a dma-buf: memory that its driver exports for other devices to reach.
///
/// The descriptor is owned, and closed when the last memory that uses it is gone.
public final class DMABuf: Sendable {
    private let file: OwnedDescriptor
    /// The driver that exports it, as the kernel names it (`exp_name` in `/proc/self/fdinfo`): `udmabuf`, for example,
    /// and `unknown` where `/proc` cannot be read.
    public let exporter: String
    /// The size that the kernel has for it, in bytes.
    public let byteCount: UInt64
    /// What tells it from every other buffer that is alive, however many descriptors it has.
    public let identity: Identity
    /// Whether the descriptor may write; where it may not, the CPU cannot map it for writing either.
    public let isWritable: Bool

    /// What tells a buffer from every other one.
    ///
    /// The kernel may give the number to another buffer once this one is gone, so keep the buffer while it is used.
    public struct Identity: Hashable, Sendable {
        /// The device number of the kernel's file system of dma-bufs.
        public let device: UInt64
        /// The number of the buffer in it.
        public let inode: UInt64
    }

    /// The descriptor, valid as long as the object lives. Do not close it.
    public var descriptor: Int32 { file.rawValue }

    /// Whether it is a heap's or udmabuf's: memory of the host that is mapped as it is.
    let isOfHostExporter: Bool
    /// Whose memory it is where the exporter's name alone tells: asked at each registration.
    private let knownOwner: MemoryOwner?

    /// Whose memory it is, as far as that can be told without a route.
    ///
    /// - Parameter driver: the driver of the function whose memory it is said to be; nil where that is not known.
    func owner(driver: String?) -> MemoryOwner {
        if isOfHostExporter { return .host }
        if let knownOwner { return knownOwner }
        return Exporter.exporting(as: exporter, driver: driver)?.owner(isRouteAllowed: nil) ?? .unknown
    }

    /// Takes over an open descriptor of a dma-buf, of any exporter.
    ///
    /// - Parameter descriptor: owned by this object from success on; where this throws it is still the caller's.
    /// - Throws: `invalidArgument` where it is not open (EBADF), or no dma-buf but a file, a pipe, ….
    public convenience init(adopting descriptor: Int32) throws(PeerMRError) {
        let info = try DMABufInfo(of: descriptor)
        self.init(OwnedDescriptor(adopting: descriptor), info)
    }

    /// Makes a descriptor of its own for the dma-buf of one that stays the caller's.
    ///
    /// - Throws: as ``init(adopting:)`` does, and `resourceLimit` (EMFILE) without a free descriptor.
    public convenience init(duplicating descriptor: Int32) throws(PeerMRError) {
        let info = try DMABufInfo(of: descriptor)
        let second = peermr_duplicate(descriptor)
        guard second >= 0 else { throw .duplicate(currentErrno(), descriptor) }
        self.init(OwnedDescriptor(adopting: second), info)
    }

    /// Another descriptor of the dma-buf, which is the caller's to close.
    ///
    /// - Throws: `resourceLimit` (EMFILE) without a free descriptor.
    package func duplicatedDescriptor() throws(PeerMRError) -> Int32 {
        let second = peermr_duplicate(descriptor)
        guard second >= 0 else { throw .duplicate(currentErrno(), descriptor) }
        return second
    }

    /// Takes over a descriptor that the kernel has just given: nobody else would close it.
    convenience init(new descriptor: Int32) throws(PeerMRError) {
        let file = OwnedDescriptor(adopting: descriptor)
        let info = try DMABufInfo(of: file.rawValue)
        self.init(file, info)
    }

    init(_ file: consuming OwnedDescriptor, _ info: DMABufInfo) {
        self.file = file
        exporter = info.exporter
        byteCount = info.byteCount
        identity = info.identity
        isWritable = info.isWritable
        isOfHostExporter = info.exporter == "udmabuf" || DMAHeap.isHeap(info.exporter)
        knownOwner = Exporter.exporting(as: info.exporter)?.owner(isRouteAllowed: nil)
    }

    /// Validates a range of the buffer; no sum is made that could overflow.
    ///
    /// - Parameter byteCount: its length; nil for all that follows `offset`.
    /// - Returns: its length in bytes.
    func validate(offset: UInt64, byteCount: UInt64?) throws(PeerMRError) -> Int {
        try Self.validate(offset: offset, byteCount: byteCount, of: self.byteCount)
    }

    static func validate(offset: UInt64, byteCount: UInt64?, of whole: UInt64) throws(PeerMRError) -> Int {
        let count = byteCount ?? whole - min(offset, whole)
        guard count > 0 else { throw .emptyPart(whole) }
        guard count <= UInt64(Int.max), offset <= whole, count <= whole - offset else {
            throw .partOutside(offset, count, whole)
        }
        return Int(count)
    }
}

/// What the kernel says about a descriptor of a dma-buf.
struct DMABufInfo {
    let exporter: String
    let byteCount: UInt64
    let identity: DMABuf.Identity
    let isWritable: Bool

    /// Asks the kernel. 0 is a descriptor like any other.
    init(of descriptor: Int32) throws(PeerMRError) {
        guard let identity = DMABuf.Identity(of: descriptor) else { throw .noDescriptor(currentErrno(), descriptor) }
        guard peermr_is_dmabuf(descriptor) == 1 else {
            throw .noDMABuffer(descriptor, SystemRoot.live.linkTarget("proc/self/fd/\(descriptor)"))
        }
        // The end is what registration goes by; the size in fdinfo is for people.
        let end = lseek(descriptor, 0, Int32(SEEK_END))
        guard end >= 0 else { throw .sizeUnknown(currentErrno(), descriptor) }
        exporter = Self.exporter(in: SystemRoot.live.attribute("proc/self/fdinfo/\(descriptor)") ?? "")
        byteCount = UInt64(end)
        self.identity = identity
        isWritable = peermr_is_writable(descriptor) == 1
    }

    /// The exporter's name in the text of `/proc/PID/fdinfo/FD` (drivers/dma-buf/dma-buf.c, `dma_buf_show_fdinfo`).
    static func exporter(in text: String) -> String {
        for line in text.split(separator: "\n") where line.hasPrefix("exp_name:") {
            let name = line.dropFirst("exp_name:".count).drop { $0 == " " || $0 == "\t" }
            if !name.isEmpty { return String(name) }
        }
        return "unknown"
    }
}

extension DMABuf.Identity {
    /// The identity of a file of any kind; nil, with errno, where the descriptor is not open.
    init?(of descriptor: Int32) {
        var device: UInt64 = 0
        var inode: UInt64 = 0
        guard unsafe peermr_file_identity(descriptor, &device, &inode) == 0 else { return nil }
        self.init(device: device, inode: inode)
    }
}
