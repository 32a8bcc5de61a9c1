// SPDX-License-Identifier: Apache-2.0

internal import SystemPackage
internal import PeerMRCore

// The one place of this module that turns (call, errno) into words.
extension PeerMRError {
    /// See: man 3 ibv_get_device_list
    static func listDevices(_ errno: Errno) -> PeerMRError {
        switch errno {
        case .noFunction:
            PeerMRError(
                .notSupported, call: "ibv_get_device_list", errno: errno,
                reason: "this kernel offers no RDMA to programs",
                remedy: "load it: modprobe ib_uverbs")
        default:
            PeerMRError(
                .system, call: "ibv_get_device_list", errno: errno,
                reason: "the RDMA devices cannot be listed",
                remedy: "see whether /dev/infiniband/uverbs* exist and this user may open them")
        }
    }

    static func noSuchDevice(_ name: String) -> PeerMRError {
        let names = ((try? Device.all()) ?? []).map(\.name)
        let found = names.isEmpty ? "there is none" : "there are \(names.joined(separator: ", "))"
        return PeerMRError(
            .notFound, reason: "there is no RDMA device \(name): \(found)",
            remedy: names.isEmpty ? noDeviceRemedy : "name one of those")
    }

    static let noDeviceRemedy =
        "install the NIC's driver, or add a software one: rdma link add rxe0 type rxe netdev IFNAME"

    /// See: man 3 ibv_open_device
    static func openDevice(_ errno: Errno, name: String) -> PeerMRError {
        let denied = errno == .permissionDenied || errno == .notPermitted
        return PeerMRError(
            denied ? .notPermitted : .system, call: "ibv_open_device", errno: errno,
            reason: "the RDMA device \(name) cannot be opened",
            remedy: denied ? "give this user rights on /dev/infiniband/uverbs*" : nil)
    }

    static func query(_ call: String, _ result: Int32, device: Device) -> PeerMRError {
        PeerMRError(
            .system, call: call, errno: Errno(rawValue: result),
            reason: "the RDMA device \(device) does not answer a query",
            remedy: "see the kernel log (dmesg): it may have been removed or reset")
    }

    /// See: man 3 ibv_create_cq, ibv_alloc_pd, ibv_create_qp
    static func create(
        _ call: String, _ errno: Errno, _ what: String, on device: Device
    ) -> PeerMRError {
        let limit = errno == .noMemory || errno == .invalidArgument
        return PeerMRError(
            limit ? .resourceLimit : .system, call: call, errno: errno,
            reason: "\(device) gives no \(what.replacingArticle)",
            remedy: limit
                ? "ask for less, or see the device's limits: ibv_devinfo -v -d \(device)" : nil)
    }

    /// See: man 3 ibv_reg_mr, and drivers/infiniband/core/umem.c, umem_odp.c
    static func deregister(_ errno: Errno, device: Device) -> PeerMRError {
        guard errno == .resourceBusy else {
            return PeerMRError(
                .system, call: "ibv_dereg_mr", errno: errno, reason: "a region of \(device) cannot be deregistered",
                remedy: "see the kernel log (dmesg)")
        }
        return PeerMRError(
            .busy, call: "ibv_dereg_mr", errno: errno,
            reason: "a region of \(device) cannot be deregistered: something is bound to it, such as a memory window",
            remedy: "deallocate that first")
    }

    static func register(
        _ errno: Errno, byteCount: Int, access: Access, device: Device
    ) -> PeerMRError {
        let onDemand = access.contains(.onDemand)
        let what = "\(ByteCount.describe(byteCount)) cannot be registered on \(device)"
        switch errno {
        case .noMemory where !onDemand, .notPermitted where !onDemand:
            return PeerMRError(
                .resourceLimit, call: "ibv_reg_mr", errno: errno,
                reason: "\(what): pinning needs that much locked memory, and RLIMIT_MEMLOCK is \(memoryLockLimit())",
                remedy: "raise it (ulimit -l unlimited, or LimitMEMLOCK= of the service), or grant CAP_IPC_LOCK")
        case .badAddress where onDemand:
            return PeerMRError(
                .notSupported, call: "ibv_reg_mr", errno: errno,
                reason: "\(what) on demand: the kernel refuses this device DMA to that memory",
                remedy: "put both devices under one PCIe switch; the kernel log says why it refused")
        // EREMOTEIO is what a region without write access gets for the same pages.
        case .badAddress, Errno(rawValue: 121):
            return PeerMRError(
                .notSupported, call: "ibv_reg_mr", errno: errno,
                reason: "\(what): the kernel cannot pin that memory for long, as with peer memory and device mappings",
                remedy: "register p2pmem on demand, or a dma-buf of it")
        case .notSupported, .notSupportedOnSocket, Errno(rawValue: 524):
            return PeerMRError(
                .notSupported, call: "ibv_reg_mr", errno: errno,
                reason: onDemand
                    ? "\(what): it has no on-demand paging" : "\(what): its driver does not support this",
                remedy: onDemand
                    ? "use a device with on-demand paging (mlx5, or Soft-RoCE on Linux 6.15 or newer)" : nil)
        case .invalidArgument:
            return PeerMRError(
                .invalidArgument, call: "ibv_reg_mr", errno: errno,
                reason:
                    "\(what) with access 0x\(String(access.rawValue, radix: 16)): the length or the access is not "
                    + "allowed",
                remedy: "remote write needs local write too; Soft-RoCE takes less than 2 GiB on demand")
        default:
            return PeerMRError(.system, call: "ibv_reg_mr", errno: errno, reason: what)
        }
    }

    /// See: man 3 ibv_modify_qp, ibv_query_qp
    static func queuePair(_ call: String, _ result: Int32, _ doing: String) -> PeerMRError {
        PeerMRError(
            .system, call: call, errno: Errno(rawValue: result),
            reason: "the queue pair cannot be \(doing)",
            remedy: "see the kernel log (dmesg): the device may have been removed or reset")
    }

    static func portDown(_ port: UInt8, _ device: Device) -> PeerMRError {
        PeerMRError(
            .notFound, reason: "port \(port) of \(device) is down", remedy: "bring its link up: ip link set IFNAME up")
    }

    static func portWithoutAddress(_ port: UInt8, _ device: Device) -> PeerMRError {
        PeerMRError(
            .notFound, reason: "port \(port) of \(device) has no address",
            remedy: "give its network interface one: ip address add ADDRESS/BITS dev IFNAME")
    }
}

extension String {
    /// "a completion queue" in "no completion queue".
    fileprivate var replacingArticle: Substring {
        hasPrefix("a ") ? dropFirst(2) : self[...]
    }
}
