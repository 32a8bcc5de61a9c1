// SPDX-License-Identifier: Apache-2.0

internal import SystemPackage
package import PeerMRCore

extension PeerMRError {
    package static let p2pmemErrors = ErrorSection(
        "p2pmem and host memory",
        [
            impossibleAllocation, outsideMemory, hostMemoryExhausted, noPoolFunction, noP2PMem, poolNotAllocatable,
            openPool, poolExhausted, mapPool, memoryOfNoDevice, malformedMemory,
        ])
}

extension PeerMRError {
    static let impossibleAllocation = ErrorTable(facts: "byte count") { size in
        ErrorRow(.invalidArgument, "\(size) bytes of memory cannot be allocated")
            .with(remedy: "ask for at least one byte, and for less than the address space holds")
    }
    static let outsideMemory = ErrorTable(facts: "offset", "count", "size") { offset, count, whole in
        ErrorRow(.invalidArgument, "\(count) bytes at offset \(offset) are not inside memory of \(whole) bytes")
            .with(remedy: "name a range that is")
    }
    static let hostMemoryExhausted = ErrorTable("mmap", facts: .bytes("byte count")) { size in
        ErrorRow(.resourceLimit, "\(size) of host memory cannot be mapped", "ask for less")
    }
    static let memoryOfNoDevice = ErrorTable {
        ErrorRow(.notSupported, "memory of an RDMA device is allocated from the device, once that is open")
            .with(remedy: "name the device as well")
    }
    static let malformedMemory = ErrorTable(facts: "text", "is malformed", "form") { text, fault, form in
        ErrorRow(.invalidArgument, "the memory \(text) \(fault)", "write \(form)")
    }
    static let noPoolFunction = ErrorTable(facts: "provider") { provider in
        ErrorRow(.notFound, "there is no PCI function \(provider)", "see lspci -D for those that there are")
    }
    static let noP2PMem = ErrorTable(facts: "provider") { provider in
        ErrorRow(
            .notFound, "\(provider) publishes no p2pmem",
            "use a drive whose controller memory buffer may hold data, on a kernel with CONFIG_PCI_P2PDMA, bound to "
                + "the nvme driver (ls /sys/bus/pci/devices/*/p2pmem), or host memory")
    }

    static func noPool(_ provider: PCIAddress, _ root: SystemRoot) -> PeerMRError {
        root.exists("sys/bus/pci/devices/\(provider)") ? noP2PMem(provider) : noPoolFunction(provider)
    }

    static let poolNotAllocatable = ErrorTable(facts: "provider") { provider in
        ErrorRow(.notSupported, "this kernel does not let programs allocate from the p2pmem of \(provider)")
            .with(remedy: "use Linux 6.2 or newer")
    }

    /// See: man 2 open
    static let openPool = ErrorTable("open", facts: "provider") { provider in
        ErrorRow([.permissionDenied, .notPermitted], .notPermitted, "the p2pmem of \(provider) cannot be opened")
            .with(remedy: "run as root, or give this user rights on /sys/bus/pci/devices/\(provider)/p2pmem/allocate")
        ErrorRow(.system, "the p2pmem of \(provider) cannot be opened")
            .with(remedy: "mount sysfs writable: containers often have it read-only")
    }

    static let poolExhausted = ErrorTable(
        "mmap", facts: .bytes("byte count"), "provider", .bytes("size"), .bytes("free")
    ) { asked, provider, whole, free in
        ErrorRow(
            [.noMemory], .resourceLimit,
            "\(provider) does not have \(asked) of p2pmem: it has \(whole), of which \(free) are free",
            "ask for less, stop other users of it, or use a drive with a larger controller memory buffer")
    }

    /// See: drivers/pci/p2pdma.c, p2pmem_alloc_mmap
    static let mapPool = ErrorTable("mmap", facts: .bytes("byte count"), "provider") { asked, provider in
        ErrorRow(
            [.operationNotSupportedByDevice], .memoryRevoked, "\(asked) of p2pmem cannot be mapped from \(provider)",
            "see the kernel log (dmesg): the drive may have been removed")
        ErrorRow(.system, "\(asked) of p2pmem cannot be mapped from \(provider)")
            .with(remedy: "see the kernel log (dmesg): the drive may have been removed")
    }

    static func allocate(_ errno: Errno, _ byteCount: Int, _ pool: P2PPool) -> PeerMRError {
        errno == .noMemory
            ? poolExhausted(errno, byteCount, pool.provider, pool.byteCount, pool.availableBytes)
            : mapPool(errno, byteCount, pool.provider)
    }
}
