// SPDX-License-Identifier: Apache-2.0

internal import Glibc
internal import SystemPackage
public import PeerMRCore
public import Verbs

/// Memory of the host, page-aligned and zero: what peer memory is compared with, and what buffers are made of.
@safe
public final class HostMemory: MappingBacked, @unchecked Sendable {
    /// The address of the first byte.
    public let baseAddress: UnsafeMutableRawPointer
    /// The length in bytes.
    public let byteCount: Int
    /// What kind of memory it is.
    public var kind: MemoryKind { .host }

    /// Maps anonymous memory, which fork(2) does not hand to children.
    ///
    /// - Parameter byteCount: how much; rounded up to pages.
    /// - Throws: ENOMEM. See mmap(2).
    public init(allocating byteCount: Int) throws(PeerMRError) {
        let rounded = try HostAllocation.rounded(byteCount)
        let mapped = unsafe mmap(
            nil, rounded, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0)
        guard let mapped = unsafe mapped, unsafe mapped != MAP_FAILED else {
            throw .hostMemoryExhausted(currentErrno(), rounded)
        }
        // A child's copy-on-write would leave the device with other pages than this process.
        _ = unsafe madvise(mapped, rounded, Int32(MADV_DONTFORK))
        unsafe baseAddress = mapped
        self.byteCount = rounded
    }

    deinit {
        _ = unsafe munmap(baseAddress, byteCount)
    }
}

extension HostMemory {
    /// A view of the bytes, for the CPU. Not while a device writes them.
    public var bytes: UnsafeMutableRawBufferPointer {
        unsafe UnsafeMutableRawBufferPointer(start: baseAddress, count: byteCount)
    }
}
