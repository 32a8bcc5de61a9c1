// SPDX-License-Identifier: Apache-2.0

internal import SystemPackage
package import PeerMRCore

extension PeerMRError {
    package static let dmaBufRegistrationErrors = ErrorSection(
        "Registering dma-bufs",
        [
            onDemandBuffer, emptyBufferPart, partOutsideBuffer, incongruentAddress, addressOverflow, readOnlyBuffer,
            bufferSize, noDMABuf, noDMABufImport, bufferRefused, noBuffer, remoteWithoutLocalWrite, pinnedImport,
            dmaHandle,
        ])
}

// Before any call.
extension PeerMRError {
    static let onDemandBuffer = ErrorTable {
        ErrorRow(.invalidArgument, "a dma-buf cannot be registered on demand: its exporter decides where its memory is")
            .with(remedy: "leave on-demand access out")
    }
    static let emptyBufferPart = ErrorTable {
        ErrorRow(.invalidArgument, "0 bytes of a dma-buf cannot be registered", "name a part of at least one byte")
    }
    static let partOutsideBuffer = ErrorTable(facts: "byte count", "offset", "size") { count, offset, size in
        ErrorRow(.invalidArgument, "\(count) bytes at offset \(offset) are not inside a dma-buf of \(size) bytes")
            .with(remedy: "name a part that is; nothing is ever shortened silently")
    }

    static func outsideBuffer(_ part: DMABufRange, _ size: UInt64) -> PeerMRError {
        partOutsideBuffer(part.byteCount, part.offset, size)
    }

    static let incongruentAddress = ErrorTable(
        facts: .hexadecimal("address"), "offset", "page size", "remainder"
    ) { address, offset, page, remainder in
        ErrorRow(
            .invalidArgument,
            "the I/O address \(address) does not fit the offset \(offset): they must be congruent modulo the page "
                + "size, \(page) bytes",
            "choose an I/O address that is a multiple of \(page), plus \(remainder), or leave it out")
    }

    static func incongruent(_ part: DMABufRange, _ address: UInt64) -> PeerMRError {
        incongruentAddress(address, part.offset, pageBytes, part.offset % UInt64(pageBytes))
    }

    static let addressOverflow = ErrorTable(facts: "byte count", .hexadecimal("address")) { count, address in
        ErrorRow(.invalidArgument, "\(count) bytes at the I/O address \(address) end beyond 2^64")
            .with(remedy: "choose a lower I/O address, or leave it out")
    }

    static func ioAddressOverflow(_ part: DMABufRange, _ address: UInt64) -> PeerMRError {
        addressOverflow(part.byteCount, address)
    }

    static let readOnlyBuffer = ErrorTable(facts: "descriptor") { descriptor in
        ErrorRow(
            .invalidArgument,
            "descriptor \(descriptor) is a dma-buf exported for reading only, and the access lets a NIC write",
            "export it for reading and writing (O_RDWR, DRM_RDWR), or register it without write access")
    }
}

extension PeerMRError {
    /// See: man 2 fstatfs, lseek
    static let bufferSize = ErrorTable("fstatfs", "lseek", facts: "descriptor") { descriptor in
        ErrorRow(
            [.badFileDescriptor], .invalidArgument,
            "descriptor \(descriptor) is not open: it has been closed, or was never a descriptor",
            "keep the dma-buf open until it is registered")
        ErrorRow(.system, "the size of the dma-buf of descriptor \(descriptor) cannot be read")
            .with(remedy: "keep the dma-buf open until it is registered")
    }
    static let noDMABuf = ErrorTable(facts: "descriptor") { descriptor in
        ErrorRow(.invalidArgument, "descriptor \(descriptor) is not a dma-buf", "pass what an exporter returned")
    }

    static let otherImporters =
        "use a device whose driver imports them (mlx5, irdma, efa, bnxt_re, mana); with this one, p2pmem on demand "
        + "where it can page, or host memory"

    /// What the call with descriptor -1 leaves; see ``DMABufSupport``.
    static let noDMABufImport = ErrorTable(
        "ibv_reg_dmabuf_mr", "ibv_reg_mr_ex", "mlx5dv_reg_dmabuf_mr", facts: "device"
    ) { device in
        ErrorRow(
            [.notSupportedOnSocket, .notSupported], .notSupported,
            "\(device) imports no dma-bufs: its driver, or libibverbs' provider library for it, lacks the call",
            otherImporters)
        ErrorRow(
            [.protocolNotSupported], .notSupported,
            "this kernel registers dma-bufs for no device: Linux 5.12 is the first that can", otherImporters)
        ErrorRow(
            [.inappropriateIOCTLForDevice], .notSupported,
            "the kernel's verbs for \(device) have no ioctl interface, which dma-bufs need", otherImporters)
        ErrorRow(.system, "whether \(device) imports dma-bufs cannot be told from its answer about descriptor -1")
            .with(remedy: otherImporters)
    }

    /// See: man 3 ibv_reg_dmabuf_mr; drivers/infiniband/core/umem_dmabuf.c; drivers/dma-buf/dma-buf.c
    static let bufferRefused = ErrorTable(
        "ibv_reg_dmabuf_mr", "ibv_reg_mr_ex", "mlx5dv_reg_dmabuf_mr",
        facts: .bytes("byte count"), "exporter", "device", "descriptor", .hexadecimal("access")
    ) { size, exporter, device, descriptor, access in
        ErrorRow([.badFileDescriptor], .invalidArgument, "descriptor \(descriptor) is not open")
            .with(remedy: "keep the dma-buf open until it is registered")
        ErrorRow(
            [.invalidArgument], .notSupported,
            "\(size) of a dma-buf of \(exporter) cannot be registered on \(device): the kernel allows no DMA between "
                + "the two devices, or the device does not support the access \(access)",
            "see the kernel log (dmesg), which says why it refused; peermr check says what blocks the route")
        ErrorRow(
            [.noFunction], .notSupported,
            "\(size) of a dma-buf of \(exporter) cannot be registered on \(device): \(device) imports no dma-bufs",
            otherImporters)
        ErrorRow(
            [.operationNotSupportedByDevice], .memoryRevoked,
            "\(size) of a dma-buf of \(exporter) cannot be registered on \(device): \(exporter) has revoked the "
                + "memory, or its device is off or gone",
            "bring the device back (memory decoding on, power state D0), and export its memory anew")
        ErrorRow(
            [.remoteIO], .notSupported,
            "\(size) of a dma-buf of \(exporter) cannot be registered on \(device): the kernel allows no DMA between "
                + "the two devices",
            "put both under one PCIe switch; peermr check says what blocks the route")
        ErrorRow(
            [.kernelNotSupported], .notSupported,
            "\(size) of a dma-buf of \(exporter) cannot be registered on \(device): a driver cannot map it for this "
                + "device",
            "export it in a way that fits this NIC (by way of the host bridge, not of another NIC)")
        ErrorRow(
            [.noMemory], .resourceLimit,
            "\(size) of a dma-buf of \(exporter) cannot be registered on \(device): there is no room for its mapping, "
                + "in the IOMMU or in the device",
            "register it in smaller parts, or deregister something")
        ErrorRow(
            [.notPermitted], .notPermitted,
            "\(size) of a dma-buf of \(exporter) cannot be registered on \(device): \(exporter) does not allow this "
                + "device to access it",
            "put both devices under one PCIe switch; the kernel log says why it refused")
        ErrorRow(.system, "\(size) of a dma-buf of \(exporter) cannot be registered on \(device)")
            .with(remedy: "see the kernel log (dmesg)")
    }

    static let noBuffer = ErrorTable(
        "ibv_reg_dmabuf_mr", "ibv_reg_mr_ex", "mlx5dv_reg_dmabuf_mr", facts: "descriptor"
    ) { descriptor in
        ErrorRow([.invalidArgument], .invalidArgument, "descriptor \(descriptor) is not a dma-buf")
            .with(remedy: "pass what an exporter returned")
    }
    static let remoteWithoutLocalWrite = ErrorTable(
        "ibv_reg_dmabuf_mr", "ibv_reg_mr_ex", "mlx5dv_reg_dmabuf_mr", facts: .bytes("byte count"), "exporter", "device"
    ) { size, exporter, device in
        ErrorRow(
            [.invalidArgument], .invalidArgument,
            "\(size) of a dma-buf of \(exporter) cannot be registered on \(device): remote write access needs local "
                + "write access too",
            "add local write access")
    }
    static let pinnedImport = ErrorTable(
        "ibv_reg_dmabuf_mr", "ibv_reg_mr_ex", "mlx5dv_reg_dmabuf_mr", facts: .bytes("byte count"), "exporter", "device"
    ) { size, exporter, device in
        ErrorRow(
            [.notSupportedOnSocket, .notSupported], .notSupported,
            "\(size) of a dma-buf of \(exporter) cannot be registered on \(device): the exporter may revoke the memory "
                + "at any time, which the driver of \(device) does not support; or it offers no peer-to-peer at all",
            "use a NIC whose driver supports revocation (mlx5 with on-demand paging, irdma from Linux 7.2 on), or "
                + "memory that is never revoked (udmabuf, dma-heap, host memory)")
    }

    static func registerBuffer(_ errno: Errno, _ facts: BufferRefusal) -> PeerMRError {
        let (device, call, part) = (facts.device, facts.call, facts.part)
        let exporter = facts.exporter ?? "its exporter"
        let remote: Access = [.remoteWrite, .remoteAtomic]
        switch errno {
        case .invalidArgument where facts.exporter == nil: return noBuffer(call, errno, part.descriptor)
        case .invalidArgument where !facts.access.isDisjoint(with: remote) && !facts.access.contains(.localWrite):
            return remoteWithoutLocalWrite(call, errno, part.byteCount, exporter, device)
        case .noFunction where call == "ibv_reg_mr_ex": return dmaHandle(errno, device)
        case .notSupportedOnSocket where facts.imports == true, .notSupported where facts.imports == true:
            return pinnedImport(call, errno, part.byteCount, exporter, device)
        case .notSupportedOnSocket, .notSupported, .protocolNotSupported, .inappropriateIOCTLForDevice:
            return noDMABufImport(call, errno, device)
        default:
            return bufferRefused(
                call, errno, part.byteCount, exporter, device, part.descriptor, facts.access.rawValue)
        }
    }

    /// See: man 3 ibv_alloc_dmah
    static let dmaHandle = ErrorTable("ibv_alloc_dmah", facts: "device") { device in
        ErrorRow([.noFunction], .notSupported, "the libibverbs of this system has no DMA handles")
            .with(remedy: "use rdma-core 59 or newer, or register without hints")
        ErrorRow(
            [.notSupported, .notSupportedOnSocket, .protocolNotSupported], .notSupported,
            "\(device) has no DMA handles: its driver or this kernel lacks them",
            "use mlx5 on Linux 6.17 or newer, or register without hints")
        ErrorRow([.invalidArgument], .invalidArgument, "\(device) does not support these hints")
            .with(remedy: "name a CPU that is online, or leave it out")
        ErrorRow(.system, "\(device) cannot create a DMA handle")
    }
}
