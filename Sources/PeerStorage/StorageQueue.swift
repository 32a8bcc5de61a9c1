// SPDX-License-Identifier: Apache-2.0

internal import CUring
public import Verbs
public import SystemPackage
public import PeerMRCore

/// Reads, writes and flushes of one range of a block device, many in flight, through io_uring.
///
/// The device reads and writes the memory by DMA: with a slice of peer memory, from device to device.
/// The kernel refuses peer memory that the drive cannot reach (EINVAL, before Linux 6.17 EREMOTEIO); buffers are not
/// registered with io_uring, because that pins for the long term, which peer memory does not allow (EFAULT).
@safe
public struct StorageQueue: ~Copyable, @unchecked Sendable {
    private var ring: Ring
    /// The device, kept open as long as the queue lives.
    public let device: BlockDevice
    /// The only part of the device that this queue touches.
    public let range: BlockRange
    /// Operations prepared or started whose completion has not been taken.
    public var inFlight: Int { ring.inFlight }
    /// How many operations may be in flight at once.
    public let depth: Int

    /// Makes a queue.
    ///
    /// - Parameters:
    ///   - device: the queue becomes its owner.
    ///   - range: from ``BlockDevice/range(at:count:)``.
    ///   - depth: operations in flight at once.
    /// - Throws: ENOSYS or EPERM where io_uring is absent or switched off (sysctl kernel.io_uring_disabled), ENOMEM.
    ///   The corresponding C function is `io_uring_queue_init`.
    public init(
        _ device: consuming BlockDevice, range: BlockRange, depth: Int
    ) throws(PeerMRError) {
        self.depth = max(1, depth)
        var made: OpaquePointer?
        let result = unsafe peermr_uring_open(UInt32(clamping: self.depth), &made)
        guard result == 0, let made = unsafe made else { throw .openRing(Errno(rawValue: -result)) }
        unsafe ring = Ring(adopting: made)
        self.device = device
        self.range = range
    }

    /// Readable when there are completions to take.
    public var descriptor: Int32 { ring.descriptor }
}

// MARK: - The data path

extension StorageQueue {
    /// Prepares a write of memory to the device; ``submit()`` starts it.
    ///
    /// - Parameters:
    ///   - slice: what is written; it must stay registered and unchanged until the completion has been taken.
    ///   - offset: where in the range, in bytes; a multiple of the device's block, as the slice's length is.
    ///   - tag: what its completion carries.
    /// - Throws: EINVAL outside the range or off the blocks, EBUSY when the queue is full.
    ///   The corresponding C function is `io_uring_prep_write`.
    public mutating func write(_ slice: IOVector, at offset: UInt64, tag: UInt64) throws(Errno) {
        try check(slice, at: offset)
        try ring.took(
            unsafe peermr_uring_write(
                ring.raw, device.descriptor.rawValue, slice.address, UInt32(slice.byteCount),
                range.offset + offset, tag))
    }

    /// Prepares a read of the device into memory; ``submit()`` starts it.
    ///
    /// Parameters and errors are those of ``write(_:at:tag:)``. The corresponding C function is `io_uring_prep_read`.
    public mutating func read(_ slice: IOVector, at offset: UInt64, tag: UInt64) throws(Errno) {
        try check(slice, at: offset)
        try ring.took(
            unsafe peermr_uring_read(
                ring.raw, device.descriptor.rawValue, slice.address, UInt32(slice.byteCount),
                range.offset + offset, tag))
    }

    /// Prepares a flush: when it completes, all writes that had completed before are on stable storage.
    ///
    /// - Throws: EBUSY when the queue is full. The corresponding C function is `io_uring_prep_fsync`.
    public mutating func flush(tag: UInt64) throws(Errno) {
        try ring.took(unsafe peermr_uring_flush(ring.raw, device.descriptor.rawValue, tag))
    }

    private borrowing func check(_ slice: IOVector, at offset: UInt64) throws(Errno) {
        let count = UInt64(slice.byteCount)
        let block = UInt64(device.blockBytes)
        guard offset <= range.byteCount, count <= range.byteCount - offset,
            count <= UInt64(Int32.max), offset % block == 0, count % block == 0
        else { throw .invalidArgument }
    }

    /// Starts what has been prepared.
    ///
    /// - Throws: the errno of io_uring_enter(2).
    public mutating func submit() throws(Errno) {
        try ring.submit()
    }

    /// Takes one completion; never waits.
    public mutating func next() -> StorageCompletion? {
        guard let (tag, result) = ring.next() else { return nil }
        return StorageCompletion(tag: tag, result: result)
    }
}

/// The end of a storage operation.
public struct StorageCompletion: BitwiseCopyable, Hashable, Sendable {
    /// What the submitter gave.
    public let tag: UInt64
    /// Bytes moved, or a negative errno.
    public let result: Int32

    package init(tag: UInt64, result: Int32) {
        self.tag = tag
        self.result = result
    }

    /// Why it failed; nil where it did not.
    public var errno: Errno? { result < 0 ? Errno(rawValue: -result) : nil }
}
