// SPDX-License-Identifier: Apache-2.0

internal import CLinux
internal import Glibc
internal import SystemPackage
public import PeerMRCore
public import Verbs

/// Memory allocated from a function's ``P2PPool``, mapped into this process.
///
/// The pages go back to the pool when the object is gone and no I/O or child process holds them any more.
/// The CPU reaches them over PCIe, uncached: look at a few bytes if you must, and let devices move the rest.
/// When the function is unplugged or its driver unbound, touching the mapping raises SIGBUS: have the kernel copy
/// instead, as a region's `read` and `write` do, and it is an error. Devices that use it get errors in any case.
@safe
public final class P2PMemory: MappingBacked, @unchecked Sendable {
    /// The address of the first byte.
    public let baseAddress: UnsafeMutableRawPointer
    /// The length in bytes.
    public let byteCount: Int
    /// What kind of memory it is.
    public var kind: MemoryKind { .p2pmem }
    /// The PCI function whose memory it is, where that is known.
    public let provider: PCIAddress?
    /// The provider's driver when the memory was opened.
    public let providerDriver: String?

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
        let rounded = try HostAllocation.rounded(byteCount)
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
        providerDriver = root.driver(of: provider)
        wipe()
    }

    deinit {
        _ = unsafe munmap(baseAddress, byteCount)
    }

    /// Writes zeros over all of it, by CPU: about as slow as a device's uncached memory is.
    public func wipe() { wipe(0..<byteCount) }

    /// Writes zeros over a part of it, where all of it would take too long at once.
    ///
    /// - Throws: `memoryRevoked` where the memory was gone before. While it goes, SIGBUS may still come.
    package func wipePart(_ range: Range<Int>) throws(PeerMRError) {
        var byte: [1 of UInt8] = [0]
        var span = byte.mutableSpan
        var raw = unsafe span.mutableBytes
        try read(into: &raw, at: range.lowerBound)
        wipe(range)
    }

    private func wipe(_ range: Range<Int>) {
        unsafe peermr_device_zero(baseAddress + range.lowerBound, range.count)
    }
}
