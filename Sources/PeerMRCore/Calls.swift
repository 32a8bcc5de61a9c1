// SPDX-License-Identifier: Apache-2.0

public import Glibc
public import SystemPackage

/// `errno` of this thread, read before anything else can change it.
///
/// Call it directly after a failed C call: a release of an object in between may run code that overwrites it.
@inline(__always)
public func currentErrno() -> Errno {
    Errno(rawValue: Glibc.errno)
}

/// Waits until one of the descriptors is readable, or the time has passed.
///
/// - Parameters:
///   - descriptors: what to wait for, eight at most; negative numbers are passed over.
///   - milliseconds: the longest wait; negative for ever.
/// - Returns: a bit per entry of `descriptors`, set where it is readable or hung up; 0 after the time-out or a signal.
/// - Throws: ENOMEM, EINVAL (see poll(2)).
@inlinable  // for each count without a look at types when it runs
public func waitReadable<let entryCount: Int>(
    _ descriptors: [entryCount of Int32], milliseconds: Int32
) throws(Errno) -> UInt8 {
    var entries: [entryCount of pollfd] = .init { index in
        pollfd(fd: descriptors[index], events: Int16(POLLIN), revents: 0)
    }
    var span = entries.mutableSpan
    let count = unsafe span.withUnsafeMutableBufferPointer { buffer in
        unsafe poll(buffer.baseAddress, nfds_t(buffer.count), milliseconds)
    }
    if count < 0 {
        let error = currentErrno()
        if error == .interrupted { return 0 }
        throw error
    }
    var ready: UInt8 = 0
    for index in 0..<entryCount where span[index].revents != 0 { ready |= 1 << UInt8(index) }
    return ready
}

/// Whether there is something to read, without waiting for it. False where that cannot be told.
public func isReadable(_ descriptor: Int32) -> Bool {
    (try? waitReadable([descriptor], milliseconds: 0)) ?? 0 != 0
}

/// Takes what made a descriptor readable, so that it is readable again only for news: a signal of a signalfd(2), the
/// count of an eventfd(2), some bytes of a pipe.
///
/// - Returns: false where there is nothing to come any more: the other end is closed, or reading fails.
package func takeSignal(from descriptor: Int32) -> Bool {
    // One struct signalfd_siginfo has 128 bytes, and read(2) wants room for one.
    var bytes: [128 of UInt8] = .init(repeating: 0)
    var span = bytes.mutableSpan
    let count = unsafe span.withUnsafeMutableBufferPointer { buffer in
        unsafe read(descriptor, buffer.baseAddress, buffer.count)
    }
    return count > 0 || count < 0 && (errno == EAGAIN || errno == EINTR)
}

/// The monotonic clock, in nanoseconds: for time-outs and rates, never goes back.
public func monotonicNanoseconds() -> UInt64 {
    var time = timespec()
    unsafe clock_gettime(CLOCK_MONOTONIC, &time)
    return UInt64(time.tv_sec) * 1_000_000_000 + UInt64(time.tv_nsec)
}

/// The size of a page of this machine, in bytes.
public let pageBytes = Int(sysconf(Int32(_SC_PAGESIZE)))

/// The numbers that the kernel knows a block device by, from the node in `/dev`; nil where it is no block device.
///
/// Nothing is opened, so that no rights on the device are needed.
public func blockNumber(of path: FilePath) -> (major: UInt64, minor: UInt64)? {
    var status = stat()
    guard unsafe stat(path.string, &status) == 0, status.st_mode & S_IFMT == S_IFBLK else {
        return nil
    }
    let number = UInt64(status.st_rdev)
    // As in gnu_dev_major and gnu_dev_minor, which are macros.
    return (number >> 8 & 0xfff | number >> 32 & ~0xfff, number & 0xff | number >> 12 & ~0xff)
}

/// The monotonic clock as of the last tick, in nanoseconds: some milliseconds behind, and cheaper than the exact one.
public func coarseMonotonicNanoseconds() -> UInt64 {
    var time = timespec()
    unsafe clock_gettime(CLOCK_MONOTONIC_COARSE, &time)
    return UInt64(time.tv_sec) * 1_000_000_000 + UInt64(time.tv_nsec)
}
