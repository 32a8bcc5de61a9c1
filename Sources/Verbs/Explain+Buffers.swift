// SPDX-License-Identifier: Apache-2.0

internal import SystemPackage
internal import PeerMRCore

/// What is known about a dma-buf registration that the kernel refused.
struct BufferRefusal {
    let call: String
    let device: Device
    let part: DMABufRange
    let access: Access
    /// Who hands the buffer out; nil where the descriptor is no dma-buf.
    let exporter: String?
    /// Whether the device imports dma-bufs at all; nil where that is not known.
    let imports: Bool?

    /// The exporter's name as the kernel has it; nil where the descriptor is no dma-buf.
    static func exporter(of descriptor: Int32) -> String? {
        guard descriptor >= 0, let text = SystemRoot.live.attribute("proc/self/fdinfo/\(descriptor)") else {
            return nil
        }
        for line in text.split(separator: "\n") where line.hasPrefix("exp_name:") {
            return line.dropFirst(9).drop { $0 == " " || $0 == "\t" }.description
        }
        return nil
    }
}

// What registering a dma-buf can say, in words.
extension PeerMRError {
    static let otherImporters =
        "use a device whose driver imports them (mlx5, irdma, efa, bnxt_re, mana); with this one, p2pmem on demand "
        + "where it can page, or host memory"

    static var onDemandBuffer: PeerMRError {
        PeerMRError(
            .invalidArgument, reason: "a dma-buf cannot be registered on demand: its exporter decides where it lies",
            remedy: "leave on-demand access out")
    }

    static var emptyBufferPart: PeerMRError {
        PeerMRError(
            .invalidArgument, reason: "0 bytes of a dma-buf cannot be registered",
            remedy: "name a part of one byte or more")
    }

    static func outsideBuffer(_ part: DMABufRange, _ size: UInt64) -> PeerMRError {
        PeerMRError(
            .invalidArgument,
            reason: "\(part.byteCount) bytes from \(part.offset) on do not lie inside a dma-buf of \(size) bytes",
            remedy: "name a part that does; nothing is ever shortened silently")
    }

    static func incongruent(_ part: DMABufRange, _ address: UInt64) -> PeerMRError {
        let inner = part.offset % UInt64(pageBytes)
        return PeerMRError(
            .invalidArgument,
            reason:
                "the I/O address 0x\(String(address, radix: 16)) does not fit the offset \(part.offset): devices map "
                + "pages of \(pageBytes) bytes, so both must lie equally far behind a page boundary",
            remedy: "choose an I/O address that is a multiple of \(pageBytes), plus \(inner), or leave it out")
    }

    static func ioAddressOverflow(_ part: DMABufRange, _ address: UInt64) -> PeerMRError {
        PeerMRError(
            .invalidArgument,
            reason: "\(part.byteCount) bytes from the I/O address 0x\(String(address, radix: 16)) on end beyond 2^64",
            remedy: "choose a lower I/O address, or leave it out")
    }

    static func readOnlyBuffer(_ descriptor: Int32) -> PeerMRError {
        PeerMRError(
            .invalidArgument,
            reason:
                "descriptor \(descriptor) is a dma-buf handed out for reading only, and the access lets a NIC write",
            remedy: "export it for reading and writing (O_RDWR, DRM_RDWR), or register it without write access")
    }

    /// See: man 2 lseek
    static func bufferSize(_ errno: Errno, _ descriptor: Int32) -> PeerMRError {
        switch errno {
        case .badFileDescriptor:
            PeerMRError(
                .invalidArgument, call: "lseek", errno: errno,
                reason: "descriptor \(descriptor) is not open: it has been closed, or was never a descriptor",
                remedy: "keep the dma-buf open until it is registered")
        default:
            PeerMRError(
                .invalidArgument, call: "lseek", errno: errno, reason: "descriptor \(descriptor) is no dma-buf",
                remedy: "pass what an exporter returned")
        }
    }

    /// See: man 3 ibv_reg_dmabuf_mr; drivers/infiniband/core/umem_dmabuf.c; drivers/dma-buf/dma-buf.c
    static func registerBuffer(_ errno: Errno, _ facts: BufferRefusal) -> PeerMRError {
        let device = facts.device
        let exporter = facts.exporter ?? "its exporter"
        let what =
            "\(ByteCount.describe(facts.part.byteCount)) of a dma-buf of \(exporter) cannot be registered on \(device)"
        func error(_ code: Code, _ reason: String, _ remedy: String) -> PeerMRError {
            PeerMRError(code, call: facts.call, errno: errno, reason: reason, remedy: remedy)
        }
        switch errno {
        case .badFileDescriptor:
            return error(
                .invalidArgument, "descriptor \(facts.part.descriptor) is not open",
                "keep the dma-buf open until it is registered")
        case .invalidArgument where facts.exporter == nil:
            return error(
                .invalidArgument, "descriptor \(facts.part.descriptor) is no dma-buf",
                "pass what an exporter returned")
        case .invalidArgument: return refusedBuffer(errno, facts, what)
        case .notSupportedOnSocket, .notSupported, .protocolNotSupported, Errno(rawValue: 25), .noFunction:
            return unsupportedBuffer(errno, facts, what)
        case .operationNotSupportedByDevice:
            return error(
                .memoryRevoked, "\(what): \(exporter) has taken the memory back, or its device is off or gone",
                "bring the device back (memory decoding on, power state D0), and export its memory anew")
        case Errno(rawValue: 121):
            return error(
                .notSupported, "\(what): the kernel allows no DMA between the two devices",
                "put both under one PCIe switch; peermr check tells what stands in the way")
        case Errno(rawValue: 524):
            return error(
                .notSupported, "\(what): a driver cannot map it for this device",
                "export it in a way that fits this NIC (by way of the host bridge, not of another NIC)")
        case .noMemory:
            return error(
                .resourceLimit, "\(what): there is no room for its mapping, in the IOMMU or in the device",
                "register it in smaller parts, or deregister something")
        case .notPermitted:
            return error(
                .notPermitted, "\(what): \(exporter) does not allow this device to reach it",
                "put both devices under one PCIe switch; the kernel log says why it refused")
        default:
            return error(.system, what, "see the kernel log (dmesg)")
        }
    }

    private static func refusedBuffer(_ errno: Errno, _ facts: BufferRefusal, _ what: String) -> PeerMRError {
        let remote: Access = [.remoteWrite, .remoteAtomic]
        if !facts.access.isDisjoint(with: remote), !facts.access.contains(.localWrite) {
            return PeerMRError(
                .invalidArgument, call: facts.call, errno: errno,
                reason: "\(what): a peer that may write needs a device that may write",
                remedy: "add local write access")
        }
        return PeerMRError(
            .notSupported, call: facts.call, errno: errno,
            reason:
                "\(what): the kernel allows no DMA between the two devices, or the device does not take the access "
                + "0x\(String(facts.access.rawValue, radix: 16))",
            remedy: "see the kernel log (dmesg), which says why it refused; peermr check tells what stands in the way")
    }

    private static func unsupportedBuffer(_ errno: Errno, _ facts: BufferRefusal, _ what: String) -> PeerMRError {
        if facts.call == "ibv_reg_mr_ex", errno == .noFunction {
            return .dmaHandle(errno, device: facts.device)
        }
        if facts.imports == true, errno == .notSupportedOnSocket || errno == .notSupported {
            return PeerMRError(
                .notSupported, call: facts.call, errno: errno,
                reason:
                    "\(what): the exporter demands that an importer can give the memory back at any time, and the "
                    + "driver of \(facts.device) holds it for good; or it offers no peer-to-peer at all",
                remedy:
                    "use a NIC whose driver can be revoked (mlx5 with on-demand paging, irdma from Linux 7.2 on), or "
                    + "memory that need not be given back (udmabuf, dma-heap, host memory)")
        }
        let found = DMABufSupport(errno: errno, device: facts.device)
        return PeerMRError(
            .notSupported, call: facts.call, errno: errno,
            reason: found.isSupported == false
                ? found.reason : "\(what): \(facts.device) imports no dma-bufs",
            remedy: otherImporters)
    }

    /// See: man 3 ibv_alloc_dmah
    static func dmaHandle(_ errno: Errno, device: Device) -> PeerMRError {
        switch errno {
        case .noFunction:
            PeerMRError(
                .notSupported, call: "ibv_alloc_dmah", errno: errno,
                reason: "the libibverbs of this system has no DMA handles",
                remedy: "use rdma-core 59 or newer, or register without hints")
        case .notSupported, .notSupportedOnSocket, .protocolNotSupported:
            PeerMRError(
                .notSupported, call: "ibv_alloc_dmah", errno: errno,
                reason: "\(device) has no DMA handles: its driver or this kernel lacks them",
                remedy: "use mlx5 on Linux 6.17 or newer, or register without hints")
        case .invalidArgument:
            PeerMRError(
                .invalidArgument, call: "ibv_alloc_dmah", errno: errno,
                reason: "\(device) does not take these hints", remedy: "name a CPU that is online, or leave it out")
        default:
            PeerMRError(
                .system, call: "ibv_alloc_dmah", errno: errno, reason: "\(device) gives no DMA handle")
        }
    }
}
