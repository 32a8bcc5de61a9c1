// SPDX-License-Identifier: Apache-2.0

internal import CLinux
internal import Glibc
public import SystemPackage
internal import PCITopology
public import PeerMRCore

/// A run of bytes of a block device, whole blocks only.
public struct BlockRange: Hashable, Sendable {
    /// The first byte.
    public let offset: UInt64
    /// How many bytes.
    public let byteCount: UInt64

    package init(offset: UInt64, byteCount: UInt64) {
        self.offset = offset
        self.byteCount = byteCount
    }
}

/// A block device, opened for direct I/O: no page cache in between, so that peer memory can be read and written.
public struct BlockDevice: ~Copyable, Sendable {
    /// What it was opened by.
    public let path: FilePath
    /// The kernel's name, for example `nvme0n1`.
    public let name: String
    /// Its size, in bytes.
    public let byteCount: UInt64
    /// Its logical block: I/O begins and ends on a multiple of this many bytes.
    public let blockBytes: Int
    /// The PCI function that does its DMA; nil where it is on another bus.
    public let function: PCIAddress?
    let descriptor: OwnedDescriptor

    /// Opens a device for reading and writing.
    ///
    /// - Parameters:
    ///   - path: for example `/dev/nvme0n1`.
    ///   - overwrite: true to take a device that is in use or holds something; else it is refused.
    /// - Throws: `busy` (EBUSY) when it is mounted, holds a partition table or a file system, or belongs to a volume;
    ///   `notFound`, `notPermitted`, `invalidArgument` for what is no block device. See open(2), O_EXCL.
    public init(opening path: FilePath, overwrite: Bool = false) throws(PeerMRError) {
        let file: OwnedDescriptor
        do {
            file = try OwnedDescriptor(opening: path, flags: Self.flags(overwrite: overwrite))
        } catch {
            throw .openBlockDevice(error, path)
        }
        var major: UInt32 = 0
        var minor: UInt32 = 0
        var bytes: UInt64 = 0
        var block: UInt32 = 0
        guard unsafe peermr_block_number(file.rawValue, &major, &minor) == 0,
            unsafe peermr_block_bytes(file.rawValue, &bytes) == 0,
            unsafe peermr_block_size(file.rawValue, &block) == 0, block > 0
        else { throw .openBlockDevice(currentErrno(), path) }
        if !overwrite { try Self.checkContent(of: file, path) }
        let node = SystemRoot.live.realPath("sys/dev/block/\(major):\(minor)")
        self.path = path
        name = node?.lastComponent?.string ?? "\(major):\(minor)"
        byteCount = bytes
        blockBytes = Int(block)
        function = DeviceLinks.function(ofBlockDevice: name)
        descriptor = file
    }

    /// A file in place of a device, for tests without one: it takes no peer memory.
    ///
    /// - Parameters:
    ///   - file: open for reading and writing; the device becomes its owner.
    ///   - name: what to call it.
    package init(standIn file: consuming OwnedDescriptor, name: String, byteCount: UInt64, blockBytes: Int) {
        path = FilePath(name)
        self.name = name
        self.byteCount = byteCount
        self.blockBytes = blockBytes
        function = nil
        descriptor = file
    }

    /// Whether it is still there: the kernel takes the size of a drive that is removed away.
    ///
    /// See: block/genhd.c, blk_mark_disk_dead
    public var isPresent: Bool {
        var bytes: UInt64 = 0
        return unsafe peermr_block_bytes(descriptor.rawValue, &bytes) == 0 && isWhole(bytes)
    }

    /// Whether a size that the kernel tells now is that of the drive that was opened.
    func isWhole(_ bytes: UInt64) -> Bool { bytes >= byteCount }

    /// Without O_EXCL a mounted drive would be opened like any other.
    static func flags(overwrite: Bool) -> Int32 { O_RDWR | peermr_o_direct() | (overwrite ? 0 : O_EXCL) }

    static func checkContent(of file: borrowing OwnedDescriptor, _ path: FilePath) throws(PeerMRError) {
        if let content = ContentSignature.find(on: file.rawValue) { throw .holdsContent(path, content) }
    }

    /// Checks a range against the device.
    ///
    /// - Parameters:
    ///   - offset: where it begins on the device, in bytes.
    ///   - byteCount: nil for all that follows `offset`.
    /// - Throws: `invalidArgument` where it is not of whole blocks, or goes past the end.
    public func range(at offset: UInt64, count byteCount: UInt64?) throws(PeerMRError) -> BlockRange {
        let block = UInt64(blockBytes)
        guard offset % block == 0, (byteCount ?? 0) % block == 0 else {
            throw .notWholeBlocks(offset, byteCount ?? 0, path, blockBytes)
        }
        guard offset < self.byteCount, byteCount ?? 0 <= self.byteCount - offset else {
            throw .beyondDrive(offset, byteCount ?? 0, path, self.byteCount)
        }
        let count = byteCount ?? (self.byteCount - offset) / block * block
        guard count > 0 else {
            throw .emptyDriveRange(path, blockBytes)
        }
        return BlockRange(offset: offset, byteCount: count)
    }
}
