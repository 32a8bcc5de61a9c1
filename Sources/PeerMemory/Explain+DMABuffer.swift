// SPDX-License-Identifier: Apache-2.0

internal import SystemPackage
internal import PeerMRCore

// dma-bufs by descriptor, and those of host memory: (call, errno) into words.
extension PeerMRError {
    static func noDescriptor(_ errno: Errno, _ descriptor: Int32) -> PeerMRError {
        PeerMRError(
            .invalidArgument, call: "fstat", errno: errno, reason: "descriptor \(descriptor) is not open",
            remedy: "give the number of a dma-buf that this process has open, 0 or more; one of another process is "
                + "to be sent over a socket (SCM_RIGHTS) or taken with pidfd_getfd")
    }

    static func noDMABuffer(_ descriptor: Int32, _ target: FilePath?) -> PeerMRError {
        let what = target.map { " but \($0)" } ?? ""
        return PeerMRError(
            .invalidArgument, reason: "descriptor \(descriptor) is no dma-buf\(what)",
            remedy: "give one that a driver exported, such as a BAR of vfio-pci, /dev/udmabuf or /dev/dma_heap")
    }

    static func sizeUnknown(_ errno: Errno, _ descriptor: Int32) -> PeerMRError {
        PeerMRError(
            .notSupported, call: "lseek", errno: errno,
            reason: "the kernel does not say how large the dma-buf of descriptor \(descriptor) is",
            remedy: "use a descriptor that its exporter made as a dma-buf, on Linux 3.12 or newer")
    }

    /// See: man 2 fcntl
    static func duplicate(_ errno: Errno, _ descriptor: Int32) -> PeerMRError {
        let isFull = errno == .tooManyOpenFiles || errno == .tooManyOpenFilesInSystem
        return PeerMRError(
            isFull ? .resourceLimit : .system, call: "fcntl", errno: errno,
            reason: "descriptor \(descriptor) cannot be duplicated",
            remedy: isFull ? "close descriptors, or raise the limit (ulimit -n)" : "see that it stays open meanwhile")
    }

    static func emptyPart(_ whole: UInt64) -> PeerMRError {
        PeerMRError(
            .invalidArgument, reason: "a part of 0 bytes was asked for, of a dma-buf of \(whole) bytes",
            remedy: "name a part of one byte or more")
    }

    static func partOutside(_ offset: UInt64, _ byteCount: UInt64, _ whole: UInt64) -> PeerMRError {
        PeerMRError(
            .invalidArgument,
            reason: "\(byteCount) bytes from \(offset) on do not lie inside a dma-buf of \(whole) bytes",
            remedy: "name a part that does; nothing is ever shortened silently")
    }

    static func readOnlyBuffer(_ exporter: String) -> PeerMRError {
        PeerMRError(
            .notPermitted, reason: "the descriptor of this dma-buf of \(exporter) is open for reading only",
            remedy: "have it exported for reading and writing (O_RDWR)")
    }

    /// See: drivers/dma-buf/dma-buf.c, dma_buf_mmap_internal
    static func mapBuffer(_ errno: Errno, _ exporter: String) -> PeerMRError {
        switch errno {
        case .invalidArgument, .operationNotSupportedByDevice, .notSupported:
            PeerMRError(
                .notSupported, call: "mmap", errno: errno,
                reason: "\(exporter) does not let the CPU map its dma-bufs",
                remedy: "reach the bytes by the exporter's own calls: let the program that owns the device do it")
        case .permissionDenied, .notPermitted:
            PeerMRError(
                .notPermitted, call: "mmap", errno: errno, reason: "this dma-buf of \(exporter) may not be mapped so",
                remedy: "have it exported for reading and writing (O_RDWR)")
        case .noMemory:
            PeerMRError(
                .resourceLimit, call: "mmap", errno: errno, reason: "this dma-buf of \(exporter) cannot be mapped",
                remedy: "free memory or address space (ulimit -v)")
        default:
            PeerMRError(
                .system, call: "mmap", errno: errno, reason: "this dma-buf of \(exporter) cannot be mapped",
                remedy: "see the kernel log (dmesg)")
        }
    }

    static func syncBuffer(_ errno: Errno, _ exporter: String) -> PeerMRError {
        PeerMRError(
            .system, call: "DMA_BUF_IOCTL_SYNC", errno: errno,
            reason: "\(exporter) could not make the CPU and devices see the same bytes",
            remedy: "see the kernel log (dmesg); a device that works on the buffer may hang")
    }

    static func copyBuffer(_ errno: Errno, _ exporter: String) -> PeerMRError {
        let isGone = errno == .badAddress
        return PeerMRError(
            isGone ? .memoryRevoked : .system, call: "copy", errno: errno,
            reason: isGone
                ? "\(exporter) has taken the memory of this dma-buf back"
                : "the bytes of this dma-buf of \(exporter) cannot be copied",
            remedy: isGone
                ? "export it anew: its device was reset, unbound or removed"
                : "free memory: the copy goes through a file in memory")
    }

    static func ownerBytes(_ call: String, _ errno: Errno, _ what: String) -> PeerMRError {
        PeerMRError(
            .system, call: call, errno: errno, reason: "\(what) cannot be reached", remedy: "see the kernel log (dmesg)"
        )
    }

    static func impossibleBuffer(_ byteCount: UInt64) -> PeerMRError {
        PeerMRError(
            .invalidArgument, reason: "a dma-buf of \(byteCount) bytes cannot be made",
            remedy: "ask for one byte or more, and for less than 8 EiB")
    }

    static func bufferBeyondMemory(_ byteCount: UInt64, available: UInt64) -> PeerMRError {
        PeerMRError(
            .resourceLimit,
            reason:
                "\(ByteCount.describe(byteCount)) of host memory were asked for, and "
                + "\(ByteCount.describe(available)) are to be had",
            remedy: "ask for less: the kernel would end processes to make room")
    }

    /// See: man 2 open
    static func openUDMABuffer(_ errno: Errno) -> PeerMRError {
        switch errno {
        case .noSuchFileOrDirectory, .noSuchAddressOrDevice, .operationNotSupportedByDevice:
            PeerMRError(
                .notFound, call: "open", errno: errno, reason: "this machine has no /dev/udmabuf",
                remedy: "load the driver (modprobe udmabuf), or use a kernel with CONFIG_UDMABUF")
        case .permissionDenied, .notPermitted:
            PeerMRError(
                .notPermitted, call: "open", errno: errno, reason: "this user may not open /dev/udmabuf",
                remedy: "run as root, or as a member of the group that owns it (ls -l /dev/udmabuf; often kvm)")
        default:
            PeerMRError(
                .system, call: "open", errno: errno, reason: "/dev/udmabuf cannot be opened",
                remedy: "see ls -l /dev/udmabuf and the kernel log (dmesg)")
        }
    }

    static func sealedMemory(_ errno: Errno, _ byteCount: UInt64) -> PeerMRError {
        PeerMRError(
            .resourceLimit, call: "memfd_create", errno: errno,
            reason: "\(ByteCount.describe(byteCount)) of memory that cannot shrink are not to be had",
            remedy: "ask for less, or raise the limit on file sizes (ulimit -f)")
    }

    /// See: drivers/dma-buf/udmabuf.c, udmabuf_create
    static func createUDMABuffer(_ errno: Errno, _ byteCount: UInt64, limitMiB: UInt64?) -> PeerMRError {
        let asked = ByteCount.describe(byteCount)
        if errno == .invalidArgument, let limitMiB, byteCount >> 20 >= limitMiB {
            return PeerMRError(
                .resourceLimit, call: "UDMABUF_CREATE", errno: errno,
                reason: "\(asked) were asked for, and udmabuf allows \(limitMiB) MiB apiece",
                remedy: "ask for less, or as root: echo \((byteCount >> 20) + 1) "
                    + "> /sys/module/udmabuf/parameters/size_limit_mb")
        }
        return PeerMRError(
            errno == .noMemory ? .resourceLimit : .system, call: "UDMABUF_CREATE", errno: errno,
            reason: "udmabuf makes no buffer of \(asked)",
            remedy: "ask for less: it locks all of the pages down at once")
    }

    static var heapName: PeerMRError {
        PeerMRError(
            .invalidArgument, reason: "a heap has the name of a file, without slashes",
            remedy: "see ls /dev/dma_heap for those that there are")
    }

    /// See: man 2 open
    static func openHeap(_ errno: Errno, _ heap: DMAHeap, others: [String]) -> PeerMRError {
        switch errno {
        case .noSuchFileOrDirectory, .noSuchAddressOrDevice, .operationNotSupportedByDevice:
            PeerMRError(
                .notFound, call: "open", errno: errno, reason: "this machine has no dma-heap \(heap.name)",
                remedy: others.isEmpty
                    ? "use a kernel with CONFIG_DMABUF_HEAPS and CONFIG_DMABUF_HEAPS_SYSTEM"
                    : "name one that it has: \(others.joined(separator: ", "))")
        case .permissionDenied, .notPermitted:
            PeerMRError(
                .notPermitted, call: "open", errno: errno, reason: "this user may not open /dev/dma_heap/\(heap.name)",
                remedy: "run as root, or give this user rights on it (chmod, or a udev rule)")
        default:
            PeerMRError(
                .system, call: "open", errno: errno, reason: "/dev/dma_heap/\(heap.name) cannot be opened",
                remedy: "see ls -l /dev/dma_heap and the kernel log (dmesg)")
        }
    }

    /// See: drivers/dma-buf/dma-heap.c, dma_heap_ioctl_allocate
    static func allocateFromHeap(_ errno: Errno, _ heap: DMAHeap, _ byteCount: UInt64) -> PeerMRError {
        let asked = ByteCount.describe(byteCount)
        return switch errno {
        case .inappropriateIOCTLForDevice:
            PeerMRError(
                .invalidArgument, call: "DMA_HEAP_IOCTL_ALLOC", errno: errno,
                reason: "/dev/dma_heap/\(heap.name) is no dma-heap", remedy: "see ls -l /dev/dma_heap")
        case .noMemory:
            PeerMRError(
                .resourceLimit, call: "DMA_HEAP_IOCTL_ALLOC", errno: errno,
                reason: "the dma-heap \(heap.name) has no \(asked) to give", remedy: "ask for less, or free memory")
        default:
            PeerMRError(
                .system, call: "DMA_HEAP_IOCTL_ALLOC", errno: errno,
                reason: "the dma-heap \(heap.name) gives no \(asked)", remedy: "see the kernel log (dmesg)")
        }
    }
}
