// SPDX-License-Identifier: Apache-2.0

internal import SystemPackage
package import PeerMRCore

extension PeerMRError {
    package static let hostDMABufsErrors = ErrorSection(
        "dma-bufs of udmabuf, dma-heap and DRM",
        [
            impossibleBuffer, bufferBeyondMemory, openUDMABuffer, sealedMemory, udmabufLimit, createBuffer, heapName,
            openHeap, otherHeaps, heapAllocation, drm,
        ])
}

extension PeerMRError {
    static let impossibleBuffer = ErrorTable(facts: "byte count") { size in
        ErrorRow(.invalidArgument, "a dma-buf of \(size) bytes cannot be made")
            .with(remedy: "ask for at least one byte, and for less than 8 EiB")
    }
    static let bufferBeyondMemory = ErrorTable(facts: .bytes("byte count"), .bytes("available")) { size, available in
        ErrorRow(.resourceLimit, "\(size) of host memory were asked for, and \(available) are available")
            .with(remedy: "ask for less: the kernel would end processes to make room")
    }

    /// See: man 2 open
    static let openUDMABuffer = ErrorTable("open") {
        ErrorRow(
            [.noSuchFileOrDirectory, .noSuchAddressOrDevice, .operationNotSupportedByDevice], .notFound,
            "this machine has no /dev/udmabuf",
            "load the driver (modprobe udmabuf), or use a kernel with CONFIG_UDMABUF")
        ErrorRow([.permissionDenied, .notPermitted], .notPermitted, "this user may not open /dev/udmabuf")
            .with(remedy: "run as root, or as a member of the group that owns it (ls -l /dev/udmabuf; often kvm)")
        ErrorRow(.system, "/dev/udmabuf cannot be opened", "see ls -l /dev/udmabuf and the kernel log (dmesg)")
    }

    static let sealedMemory = ErrorTable("memfd_create", facts: .bytes("byte count")) { size in
        ErrorRow(.resourceLimit, "\(size) of memory that cannot shrink cannot be created")
            .with(remedy: "ask for less, or raise the limit on file sizes (ulimit -f)")
    }
    static let udmabufLimit = ErrorTable(
        "UDMABUF_CREATE", facts: .bytes("byte count"), "limit", "needed MiB"
    ) { asked, limit, needed in
        ErrorRow([.invalidArgument], .resourceLimit, "\(asked) were asked for, and udmabuf allows \(limit) MiB apiece")
            .with(remedy: "ask for less, or as root: echo \(needed) > /sys/module/udmabuf/parameters/size_limit_mb")
    }

    /// See: drivers/dma-buf/udmabuf.c, udmabuf_create
    static let createBuffer = ErrorTable("UDMABUF_CREATE", facts: .bytes("byte count")) { asked in
        ErrorRow([.noMemory], .resourceLimit, "udmabuf cannot create a buffer of \(asked)")
            .with(remedy: "ask for less: it locks all of the pages down at once")
        ErrorRow(.system, "udmabuf cannot create a buffer of \(asked)")
            .with(remedy: "ask for less: it locks all of the pages down at once")
    }

    static func createUDMABuffer(_ errno: Errno, _ byteCount: UInt64, limitMiB: UInt64?) -> PeerMRError {
        if errno == .invalidArgument, let limitMiB, byteCount >> 20 >= limitMiB {
            return udmabufLimit(errno, byteCount, limitMiB, (byteCount >> 20) + 1)
        }
        return createBuffer(errno, byteCount)
    }

    static let heapName = ErrorTable {
        ErrorRow(.invalidArgument, "a heap has the name of a file, without slashes")
            .with(remedy: "see ls /dev/dma_heap for those that there are")
    }

    /// See: man 2 open
    static let openHeap = ErrorTable("open", facts: "name") { name in
        ErrorRow(
            [.noSuchFileOrDirectory, .noSuchAddressOrDevice, .operationNotSupportedByDevice], .notFound,
            "this machine has no dma-heap \(name)",
            "use a kernel with CONFIG_DMABUF_HEAPS and CONFIG_DMABUF_HEAPS_SYSTEM")
        ErrorRow([.permissionDenied, .notPermitted], .notPermitted, "this user may not open /dev/dma_heap/\(name)")
            .with(remedy: "run as root, or give this user rights on it (chmod, or a udev rule)")
        ErrorRow(
            .system, "/dev/dma_heap/\(name) cannot be opened", "see ls -l /dev/dma_heap and the kernel log (dmesg)")
    }

    static let otherHeaps = ErrorTable("open", facts: "name", .list("others")) { name, others in
        ErrorRow(
            [.noSuchFileOrDirectory, .noSuchAddressOrDevice, .operationNotSupportedByDevice], .notFound,
            "this machine has no dma-heap \(name)", "name one that it has: \(others)")
    }

    static func openHeap(_ errno: Errno, _ heap: DMAHeap, others: [String]) -> PeerMRError {
        let missing: [Errno] = [.noSuchFileOrDirectory, .noSuchAddressOrDevice, .operationNotSupportedByDevice]
        return missing.contains(errno) && !others.isEmpty
            ? otherHeaps(errno, heap.name, others) : openHeap(errno, heap.name)
    }

    /// See: drivers/dma-buf/dma-heap.c, dma_heap_ioctl_allocate
    static let heapAllocation = ErrorTable(
        "DMA_HEAP_IOCTL_ALLOC", facts: "name", .bytes("byte count")
    ) { name, asked in
        ErrorRow([.inappropriateIOCTLForDevice], .invalidArgument, "/dev/dma_heap/\(name) is no dma-heap")
            .with(remedy: "see ls -l /dev/dma_heap")
        ErrorRow(
            [.noMemory], .resourceLimit, "the dma-heap \(name) has no \(asked) left", "ask for less, or free memory")
        ErrorRow(.system, "the dma-heap \(name) cannot allocate \(asked)", "see the kernel log (dmesg)")
    }

    static func allocateFromHeap(_ errno: Errno, _ heap: DMAHeap, _ byteCount: UInt64) -> PeerMRError {
        heapAllocation(errno, heap.name, byteCount)
    }
}
