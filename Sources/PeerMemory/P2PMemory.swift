// SPDX-License-Identifier: Apache-2.0

internal import CLinux
internal import Glibc
public import PCITopology
internal import SystemPackage
public import PeerMRCore
public import Verbs

/// Memory allocated from a function's ``P2PPool``, mapped into this process.
///
/// The pages go back to the pool when the value dies and no I/O or child process holds them any more.
/// The CPU reaches them over PCIe, uncached: look at a few bytes if you must, and let devices move the rest.
/// When the function is unplugged or its driver unbound, touching the mapping raises SIGBUS: have the kernel copy
/// instead, as a region's `read` and `write` do, and it is an error. Devices that use it get errors in any case.
@safe
public struct P2PMemory: ~Copyable, RegistrableMemory, @unchecked Sendable {
    /// The address of the first byte.
    public let baseAddress: UnsafeMutableRawPointer
    /// The length in bytes.
    public let byteCount: Int
    /// The function whose memory it is.
    public let provider: PCIAddress
    /// The function's driver when it was allocated; without that driver it is gone.
    package let driver: String?
    private let isOwned: Bool

    /// Memory that stays another value's, which lives longer than this one: for measuring registration alone.
    @unsafe
    package init(lending memory: borrowing P2PMemory) {
        unsafe baseAddress = memory.baseAddress
        byteCount = memory.byteCount
        provider = memory.provider
        driver = memory.driver
        isOwned = false
    }

    /// Memory that the application has mapped itself, and keeps mapped longer than this value lives.
    @unsafe
    package init(
        lending baseAddress: UnsafeMutableRawPointer, byteCount: Int, provider: PCIAddress, root: SystemRoot
    ) {
        unsafe self.baseAddress = baseAddress
        self.byteCount = byteCount
        self.provider = provider
        driver = Self.driver(of: provider, root: root)
        isOwned = false
    }

    /// Allocates a contiguous run, and overwrites what its last owner left in it with zeros.
    ///
    /// - Parameters:
    ///   - byteCount: how much; rounded up to pages.
    ///   - provider: whose memory.
    ///   - root: where sysfs is; tests put another there.
    /// - Throws: `notFound` where the function publishes none, `resourceLimit` (ENOMEM) where so much is not free in
    ///   one piece, `notPermitted` (EACCES) without rights on `p2pmem/allocate`, `notSupported` before Linux 6.2.
    ///   See drivers/pci/p2pdma.c, `p2pmem_alloc_mmap`.
    public init(
        allocating byteCount: Int, from provider: PCIAddress, root: SystemRoot = .live
    ) throws(PeerMRError) {
        guard byteCount > 0, byteCount <= Int.max - pageBytes else {
            throw .impossibleAllocation(byteCount)
        }
        let rounded = (byteCount + pageBytes - 1) / pageBytes * pageBytes
        guard let pool = P2PPool(of: provider, root: root) else {
            throw .noPool(provider, root)
        }
        guard pool.isAllocatable else { throw .poolNotAllocatable(provider) }
        let path = root.appending("\(P2PPool.folder(of: provider))/allocate")
        let file: OwnedDescriptor
        do {
            file = try OwnedDescriptor(opening: path, flags: O_RDWR)
        } catch {
            throw .openPool(error, provider)
        }
        let mapped = unsafe mmap(
            nil, rounded, PROT_READ | PROT_WRITE, MAP_SHARED, file.rawValue, 0)
        guard let mapped = unsafe mapped, unsafe mapped != MAP_FAILED else {
            throw .allocate(currentErrno(), rounded, pool)
        }
        unsafe baseAddress = mapped
        self.byteCount = rounded
        self.provider = provider
        driver = Self.driver(of: provider, root: root)
        isOwned = true
        wipe()
    }

    deinit {
        if isOwned { _ = unsafe munmap(baseAddress, byteCount) }
    }

    private static func driver(of provider: PCIAddress, root: SystemRoot) -> String? {
        root.linkTarget("sys/bus/pci/devices/\(provider)/driver")?.lastComponent?.string
    }

    /// Writes zeros over all of it, by CPU: about as slow as a device's uncached memory is.
    public borrowing func wipe() {
        unsafe peermr_device_zero(baseAddress, byteCount)
    }
}
