// SPDX-License-Identifier: Apache-2.0

internal import CUring
internal import Glibc
public import Verbs
public import SystemPackage
public import PeerMRCore

/// Reads, writes and flushes of one range of an NVMe drive by NVMe commands, past the block layer, through io_uring.
///
/// It uses the character device of the namespace (`/dev/ngXnY`), and keeps the block device open besides, so that
/// nobody else takes it for himself meanwhile. The kernel hands each command to the drive as it is: in one piece, with
/// no scheduler and no splitting. Peer memory is taken as ``StorageQueue`` does (see nvme_map_user_request in
/// drivers/nvme/host/ioctl.c).
@safe
public struct PassthroughQueue: ~Copyable, @unchecked Sendable {
    private var ring: Ring
    private let file: OwnedDescriptor
    private let namespace: UInt32
    /// The device, kept open as long as the queue lives.
    public let device: BlockDevice
    /// The only part of the device that this queue touches.
    public let range: BlockRange
    /// The most bytes of one read or write.
    public let commandLimit: Int
    /// The status of the last command that the drive itself failed, code and type, as the NVM Express Base
    /// Specification has it; nil while there is none.
    public private(set) var lastStatus: UInt16?
    /// Commands prepared or started whose completion has not been taken.
    public var inFlight: Int { ring.inFlight }

    /// Makes a queue.
    ///
    /// - Parameters:
    ///   - device: a whole namespace of an NVMe drive, no partition; the queue becomes its owner.
    ///   - range: from ``BlockDevice/range(at:count:)``.
    ///   - depth: commands in flight at once.
    ///   - root: where sysfs is; tests put another there.
    /// - Throws: `invalidArgument` for what is no namespace of an NVMe drive; `notFound` or `notPermitted` where its
    ///   character device cannot be opened; `notSupported` before Linux 5.19, and where it is formatted with metadata.
    ///   The corresponding C functions are `io_uring_queue_init` with `IORING_SETUP_SQE128`, and `ioctl` with
    ///   `NVME_IOCTL_ID` and `NVME_IOCTL_ADMIN_CMD`.
    public init(
        _ device: consuming BlockDevice, range: BlockRange, depth: Int, root: SystemRoot = .live
    ) throws(PeerMRError) {
        guard let node = Self.characterDevice(of: device.name) else { throw .noNamespace(device.path) }
        let file: OwnedDescriptor
        do {
            file = try OwnedDescriptor(opening: node, flags: O_RDWR)
        } catch { throw .openNamespace(error, node) }
        let namespace = peermr_nvme_namespace(file.rawValue)
        guard namespace > 0 else { throw .openNamespace(currentErrno(), node) }
        try Self.checkFormat(file, UInt32(namespace), device)
        var made: OpaquePointer?
        let result = unsafe peermr_uring_open_commands(UInt32(clamping: max(1, depth)), &made)
        guard result == 0, let made = unsafe made else { throw .openCommandRing(Errno(rawValue: -result)) }
        unsafe ring = Ring(adopting: made)
        self.file = file
        self.namespace = UInt32(namespace)
        commandLimit = Self.commandLimit(of: device.name, root)
        self.range = range
        self.device = device
    }

    /// A command carries no metadata: only a namespace that has none is used.
    private static func checkFormat(
        _ file: borrowing OwnedDescriptor, _ namespace: UInt32, _ device: borrowing BlockDevice
    ) throws(PeerMRError) {
        let format: NamespaceFormat
        do { format = try NamespaceFormat(of: namespace, on: file) } catch {
            throw .unknownFormat(error, device.path)
        }
        try check(format, device)
    }

    static func check(_ format: NamespaceFormat, _ device: borrowing BlockDevice) throws(PeerMRError) {
        guard format.metadataBytes == 0 else { throw .metadataFormat(device.path, format.metadataBytes) }
        guard format.blockBytes == device.blockBytes else {
            throw .otherBlocks(device.path, format.blockBytes, device.blockBytes)
        }
    }

    /// Readable when there are completions to take.
    public var descriptor: Int32 { ring.descriptor }

    /// `/dev/ng0n1` for `nvme0n1`; nil for any other name, such as a partition's.
    static func characterDevice(of name: String) -> FilePath? {
        guard name.hasPrefix("nvme") else { return nil }
        let parts = name.dropFirst(4).split(separator: "n", omittingEmptySubsequences: false)
        let isNumber = { (part: Substring) in !part.isEmpty && part.utf8.allSatisfy { (48...57).contains($0) } }
        guard parts.count == 2, parts.allSatisfy(isNumber) else { return nil }
        return FilePath("/dev/ng\(parts[0])n\(parts[1])")
    }

    /// What one command can move: the drive's own limit, and the segments that a request has. Peer memory has one
    /// segment for each page.
    static func commandLimit(of name: String, _ root: SystemRoot) -> Int {
        let read = { (file: String) in Int(root.attribute("sys/block/\(name)/queue/\(file)") ?? "") }
        let kilobytes = read("max_hw_sectors_kb") ?? 4
        let segments = read("max_segments") ?? 1
        return min(kilobytes << 10, max(1, segments - 1) * pageBytes)
    }
}

// MARK: - The data path

extension PassthroughQueue {
    /// Prepares a write of memory to the drive; ``submit()`` starts it.
    ///
    /// - Parameters:
    ///   - slice: what is written; it must stay registered and unchanged until the completion has been taken.
    ///   - offset: where in the range, in bytes; a multiple of the drive's block, as the slice's length is.
    ///   - tag: what its completion carries.
    /// - Throws: EINVAL outside the range, off the blocks or above ``commandLimit``, EBUSY when the queue is full.
    public mutating func write(_ slice: IOVector, at offset: UInt64, tag: UInt64) throws(Errno) {
        let blocks = try check(slice, at: offset)
        try ring.took(
            unsafe peermr_uring_nvme_write(
                ring.raw, file.rawValue, namespace, slice.address, UInt32(slice.byteCount),
                (range.offset + offset) / UInt64(device.blockBytes), blocks, tag))
    }

    /// Prepares a read of the drive into memory; ``submit()`` starts it.
    ///
    /// Parameters and errors are those of ``write(_:at:tag:)``.
    public mutating func read(_ slice: IOVector, at offset: UInt64, tag: UInt64) throws(Errno) {
        let blocks = try check(slice, at: offset)
        try ring.took(
            unsafe peermr_uring_nvme_read(
                ring.raw, file.rawValue, namespace, slice.address, UInt32(slice.byteCount),
                (range.offset + offset) / UInt64(device.blockBytes), blocks, tag))
    }

    /// Prepares a flush: when it completes, all writes that had completed before are on stable storage.
    ///
    /// - Throws: EBUSY when the queue is full.
    public mutating func flush(tag: UInt64) throws(Errno) {
        try ring.took(unsafe peermr_uring_nvme_flush(ring.raw, file.rawValue, namespace, tag))
    }

    private borrowing func check(_ slice: IOVector, at offset: UInt64) throws(Errno) -> UInt32 {
        let count = UInt64(slice.byteCount)
        let block = UInt64(device.blockBytes)
        guard offset <= range.byteCount, count <= range.byteCount - offset, count > 0,
            slice.byteCount <= commandLimit, offset % block == 0, count % block == 0
        else { throw .invalidArgument }
        return UInt32(count / block)
    }

    /// Starts what has been prepared.
    ///
    /// - Throws: the errno of io_uring_enter(2).
    public mutating func submit() throws(Errno) {
        try ring.submit()
    }

    /// Takes one completion; never waits.
    public mutating func next() -> PassthroughCompletion? {
        guard let (tag, result) = ring.next() else { return nil }
        let completion = PassthroughCompletion(tag: tag, result: result)
        if let status = completion.status { lastStatus = status }
        return completion
    }
}

/// The end of an NVMe command.
public struct PassthroughCompletion: BitwiseCopyable, Hashable, Sendable {
    /// What the submitter gave.
    public let tag: UInt64
    /// 0, a negative errno where the kernel refused the command, or the drive's own status.
    public let result: Int32

    /// Why the kernel refused it, or EIO for what the drive said; nil where it succeeded.
    public var errno: Errno? {
        if result < 0 { return Errno(rawValue: -result) }
        return result > 0 ? .ioError : nil
    }

    /// The status of the drive, code and type, as the NVM Express Base Specification has it; nil where it gave none.
    public var status: UInt16? { result > 0 ? UInt16(truncatingIfNeeded: result & 0x7ff) : nil }
}
