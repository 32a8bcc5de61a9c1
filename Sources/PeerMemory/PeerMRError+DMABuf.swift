// SPDX-License-Identifier: Apache-2.0

internal import SystemPackage
package import PeerMRCore

extension PeerMRError {
    package static let dmaBufsErrors = ErrorSection(
        "dma-bufs",
        [
            noDescriptor, otherFile, sizeUnknown, duplicate, emptyPart, partOutside, readOnlyBuffer, mapBuffer,
            syncBuffer, copyBuffer, ownerBytes,
        ])
}

// By descriptor.
extension PeerMRError {
    static let noDescriptor = ErrorTable("fstat", facts: "descriptor") { descriptor in
        ErrorRow(
            .invalidArgument, "descriptor \(descriptor) is not open",
            "pass the number of a dma-buf that this process has open, 0 or more; one of another process is to be sent "
                + "over a socket (SCM_RIGHTS) or taken with pidfd_getfd")
    }
    static let otherFile = ErrorTable(facts: "descriptor", .optional(" but ", "target")) { descriptor, target in
        ErrorRow(.invalidArgument, "descriptor \(descriptor) is no dma-buf\(target)")
            .with(remedy: "pass one that a driver exported, such as a BAR of vfio-pci, /dev/udmabuf or /dev/dma_heap")
    }

    static func noDMABuffer(_ descriptor: Int32, _ target: FilePath?) -> PeerMRError { otherFile(descriptor, target) }

    static let sizeUnknown = ErrorTable("lseek", facts: "descriptor") { descriptor in
        ErrorRow(.notSupported, "the kernel does not report the size of the dma-buf of descriptor \(descriptor)")
            .with(remedy: "use a descriptor that its exporter made as a dma-buf, on Linux 3.12 or newer")
    }

    /// See: man 2 fcntl
    static let duplicate = ErrorTable("fcntl", facts: "descriptor") { descriptor in
        ErrorRow(
            [.tooManyOpenFiles, .tooManyOpenFilesInSystem], .resourceLimit,
            "descriptor \(descriptor) cannot be duplicated", "close descriptors, or raise the limit (ulimit -n)")
        ErrorRow(.system, "descriptor \(descriptor) cannot be duplicated", "see that it stays open meanwhile")
    }

    static let emptyPart = ErrorTable(facts: "size") { whole in
        ErrorRow(.invalidArgument, "a part of 0 bytes was asked for, of a dma-buf of \(whole) bytes")
            .with(remedy: "name a part of at least one byte")
    }
    static let partOutside = ErrorTable(facts: "offset", "byte count", "size") { offset, count, whole in
        ErrorRow(.invalidArgument, "\(count) bytes at offset \(offset) are not inside a dma-buf of \(whole) bytes")
            .with(remedy: "name a part that is; nothing is ever shortened silently")
    }
    static let readOnlyBuffer = ErrorTable(facts: "exporter") { exporter in
        ErrorRow(.notPermitted, "the descriptor of this dma-buf of \(exporter) is open for reading only")
            .with(remedy: "have it exported for reading and writing (O_RDWR)")
    }
}

// Its bytes.
extension PeerMRError {
    /// See: drivers/dma-buf/dma-buf.c, dma_buf_mmap_internal
    static let mapBuffer = ErrorTable("mmap", facts: "exporter") { exporter in
        ErrorRow(
            [.invalidArgument, .operationNotSupportedByDevice, .notSupported], .notSupported,
            "\(exporter) does not let the CPU map its dma-bufs",
            "access the bytes by the exporter's own calls: let the program that owns the device do it")
        ErrorRow(
            [.permissionDenied, .notPermitted], .notPermitted,
            "this dma-buf of \(exporter) may not be mapped for reading and writing",
            "have it exported for reading and writing (O_RDWR)")
        ErrorRow([.noMemory], .resourceLimit, "this dma-buf of \(exporter) cannot be mapped")
            .with(remedy: "free memory or address space (ulimit -v)")
        ErrorRow(.system, "this dma-buf of \(exporter) cannot be mapped", "see the kernel log (dmesg)")
    }

    static let syncBuffer = ErrorTable("DMA_BUF_IOCTL_SYNC", facts: "exporter") { exporter in
        ErrorRow(.system, "\(exporter) could not make the CPU and devices see the same bytes")
            .with(remedy: "see the kernel log (dmesg); a device that works on the buffer may hang")
    }

    static let copyBuffer = ErrorTable("copy", facts: "exporter") { exporter in
        ErrorRow([.badAddress], .memoryRevoked, "\(exporter) has revoked the memory of this dma-buf")
            .with(remedy: "export it anew: its device was reset, unbound or removed")
        ErrorRow(.system, "the bytes of this dma-buf of \(exporter) cannot be copied")
            .with(remedy: "free memory: the copy goes through a file in memory")
    }

    static let ownerBytes = ErrorTable("pread", "pwrite", facts: "memory") { memory in
        ErrorRow(.system, "\(memory) cannot be accessed", "see the kernel log (dmesg)")
    }
}
