// SPDX-License-Identifier: Apache-2.0

internal import CLinux
internal import Glibc
public import PCITopology
internal import SystemPackage
public import PeerMRCore

/// What the kernel says about a descriptor of a dma-buf.
struct DMABufInfo {
    let exporter: String
    let byteCount: UInt64
    let identity: DMABuf.Identity
    let isWritable: Bool

    /// What is known already.
    init(exporter: String, byteCount: UInt64, identity: DMABuf.Identity, isWritable: Bool) {
        self.exporter = exporter
        self.byteCount = byteCount
        self.identity = identity
        self.isWritable = isWritable
    }

    /// Asks the kernel. 0 is a descriptor like any other.
    init(of descriptor: Int32) throws(PeerMRError) {
        var device: UInt64 = 0
        var inode: UInt64 = 0
        guard unsafe peermr_file_identity(descriptor, &device, &inode) == 0 else {
            throw .noDescriptor(currentErrno(), descriptor)
        }
        guard peermr_is_dmabuf(descriptor) == 1 else {
            throw .noDMABuffer(descriptor, SystemRoot.live.linkTarget("proc/self/fd/\(descriptor)"))
        }
        // The end is where registration measures too; the figure in fdinfo is for people.
        let end = lseek(descriptor, 0, Int32(SEEK_END))
        guard end >= 0 else { throw .sizeUnknown(currentErrno(), descriptor) }
        exporter = Self.exporter(in: SystemRoot.live.attribute("proc/self/fdinfo/\(descriptor)") ?? "")
        byteCount = UInt64(end)
        identity = DMABuf.Identity(device: device, inode: inode)
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

    /// Whether a part lies inside a buffer; no sum is made that could overflow.
    static func validatePart(_ offset: UInt64, _ byteCount: UInt64, of whole: UInt64) throws(PeerMRError) {
        guard byteCount > 0 else { throw .emptyPart(whole) }
        guard byteCount <= UInt64(Int.max), offset <= whole, byteCount <= whole - offset else {
            throw .partOutside(offset, byteCount, whole)
        }
    }
}

extension DMABuf {
    /// Takes over an open descriptor of a dma-buf, whoever exported it.
    ///
    /// - Parameter descriptor: owned by this value from success on; where this throws it is still the caller's.
    /// - Throws: `invalidArgument` where it is not open (EBADF), or no dma-buf but a file, a pipe, ….
    public init(adopting descriptor: Int32) throws(PeerMRError) {
        let facts = try DMABufInfo(of: descriptor)
        self.init(file: OwnedDescriptor(adopting: descriptor), facts: facts)
    }

    /// Makes a descriptor of its own for the dma-buf of one that stays the caller's.
    ///
    /// - Throws: as ``init(adopting:)`` does, and `resourceLimit` (EMFILE) where no more descriptors are to be had.
    public init(duplicating descriptor: Int32) throws(PeerMRError) {
        let facts = try DMABufInfo(of: descriptor)
        let second = peermr_duplicate(descriptor)
        guard second >= 0 else { throw .duplicate(currentErrno(), descriptor) }
        self.init(file: OwnedDescriptor(adopting: second), facts: facts)
    }
}

extension DMABufMemory {
    /// The same part by a descriptor of its own, whose buffer is not asked about again: for measuring registration
    /// alone, which ends with the descriptor closed.
    ///
    /// - Throws: `resourceLimit` (EMFILE) where no more descriptors are to be had.
    package init(again memory: borrowing DMABufMemory) throws(PeerMRError) {
        let known = memory.buffer.descriptor
        let second = peermr_duplicate(known)
        guard second >= 0 else { throw .duplicate(currentErrno(), known) }
        let facts = DMABufInfo(
            exporter: memory.buffer.exporter, byteCount: memory.buffer.byteCount, identity: memory.buffer.identity,
            isWritable: memory.buffer.isWritable)
        try self.init(
            DMABuf(file: OwnedDescriptor(adopting: second), facts: facts), owner: memory.owner,
            offset: memory.offset, byteCount: UInt64(memory.byteCount))
    }

    /// Takes over a descriptor of a dma-buf, and reaches its bytes by mapping it; see ``MappedBufferOwner``.
    ///
    /// - Parameters:
    ///   - descriptor: owned by this value from success on; where this throws it is still the caller's.
    ///   - offset: where the part begins in the dma-buf, in bytes.
    ///   - byteCount: how long the part is, in bytes; nil for all that follows `offset`.
    ///   - provider: the PCI function whose memory it is, where the caller knows; the kernel does not tell.
    /// - Throws: as ``DMABuf/init(adopting:)`` and ``init(_:owner:offset:byteCount:)`` do.
    public init(
        adopting descriptor: Int32, offset: UInt64 = 0, byteCount: UInt64? = nil, provider: PCIAddress? = nil
    ) throws(PeerMRError) {
        let facts = try DMABufInfo(of: descriptor)
        let count = byteCount ?? (facts.byteCount - min(offset, facts.byteCount))
        // Before anything is owned: what is refused stays the caller's.
        try DMABufInfo.validatePart(offset, count, of: facts.byteCount)
        let owner = try MappedBufferOwner(of: descriptor, facts: facts, provider: provider)
        let buffer = DMABuf(file: OwnedDescriptor(adopting: descriptor), facts: facts)
        try self.init(buffer, owner: owner, offset: offset, byteCount: count)
    }

    /// The same with a descriptor that stays the caller's.
    ///
    /// - Throws: as ``init(adopting:offset:byteCount:provider:)`` does, and `resourceLimit` (EMFILE).
    public init(
        duplicating descriptor: Int32, offset: UInt64 = 0, byteCount: UInt64? = nil, provider: PCIAddress? = nil
    ) throws(PeerMRError) {
        let buffer = try DMABuf(duplicating: descriptor)
        let count = byteCount ?? (buffer.byteCount - min(offset, buffer.byteCount))
        let owner = try MappedBufferOwner(of: buffer, provider: provider)
        try self.init(buffer, owner: owner, offset: offset, byteCount: count)
    }
}
