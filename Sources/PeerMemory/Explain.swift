// SPDX-License-Identifier: Apache-2.0

internal import SystemPackage
internal import PeerMRCore

// The one place of this module that turns (call, errno) into words.
extension PeerMRError {
    static func impossibleAllocation(_ byteCount: Int) -> PeerMRError {
        PeerMRError(
            .invalidArgument, reason: "\(byteCount) bytes of memory cannot be allocated",
            remedy: "ask for one byte or more, and for less than the address space holds")
    }

    static func outsideMemory(_ offset: Int, _ count: Int, _ whole: Int) -> PeerMRError {
        PeerMRError(
            .invalidArgument, reason: "\(count) bytes from \(offset) on are not inside memory of \(whole) bytes",
            remedy: "name a range that is")
    }

    static func noPool(_ provider: PCIAddress, _ root: SystemRoot) -> PeerMRError {
        guard root.exists("sys/bus/pci/devices/\(provider)") else {
            return PeerMRError(
                .notFound, reason: "there is no PCI function \(provider)",
                remedy: "see lspci -D for those that there are")
        }
        return PeerMRError(
            .notFound, reason: "\(provider) publishes no p2pmem",
            remedy:
                "use a drive whose controller memory buffer may hold data, on a kernel with CONFIG_PCI_P2PDMA, "
                + "bound to the nvme driver (ls /sys/bus/pci/devices/*/p2pmem), or host memory"
        )
    }

    static func poolNotAllocatable(_ provider: PCIAddress) -> PeerMRError {
        PeerMRError(
            .notSupported, reason: "this kernel keeps the p2pmem of \(provider) to itself",
            remedy: "use Linux 6.2 or newer, where programs may allocate from it")
    }

    /// See: man 2 open
    static func openPool(_ errno: Errno, _ provider: PCIAddress) -> PeerMRError {
        let denied = errno == .permissionDenied || errno == .notPermitted
        return PeerMRError(
            denied ? .notPermitted : .system, call: "open", errno: errno,
            reason: "the p2pmem of \(provider) cannot be opened",
            remedy: denied
                ? "run as root, or give this user rights on /sys/bus/pci/devices/\(provider)/p2pmem/allocate"
                : "mount sysfs writable: containers often have it read-only")
    }

    /// See: drivers/pci/p2pdma.c, p2pmem_alloc_mmap
    static func allocate(_ errno: Errno, _ byteCount: Int, _ pool: P2PPool) -> PeerMRError {
        let asked = ByteCount.describe(byteCount)
        if errno == .noMemory {
            let whole = ByteCount.describe(pool.byteCount)
            let free = ByteCount.describe(pool.availableBytes)
            return PeerMRError(
                .resourceLimit, call: "mmap", errno: errno,
                reason:
                    "\(asked) of p2pmem are not to be had from \(pool.provider): it has \(whole), of which "
                    + "\(free) are free",
                remedy: "ask for less, stop other users of it, or use a drive with a larger controller memory buffer")
        }
        return PeerMRError(
            errno == .operationNotSupportedByDevice ? .memoryRevoked : .system, call: "mmap",
            errno: errno, reason: "\(asked) of p2pmem cannot be mapped from \(pool.provider)",
            remedy: "see the kernel log (dmesg): the drive may have been removed")
    }
}
