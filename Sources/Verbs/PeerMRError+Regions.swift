// SPDX-License-Identifier: Apache-2.0

internal import SystemPackage
package import PeerMRCore

extension PeerMRError {
    package static let regionsErrors = ErrorSection(
        "Regions",
        [
            addressWithoutDMABuf, hintsOnDemand, hintsForDeviceMemory, lockLimit, registerPinned, registerOnDemand,
            deregister,
        ])
}

// Before any call.
extension PeerMRError {
    static let addressWithoutDMABuf = ErrorTable {
        ErrorRow(.invalidArgument, "an I/O address can be chosen for a dma-buf only")
            .with(remedy: "leave it out: mapped memory keeps the address of its mapping")
    }
    static let hintsOnDemand = ErrorTable {
        ErrorRow(.notSupported, "memory that is paged on demand takes no hints", "register without a DMA handle")
    }
    static let hintsForDeviceMemory = ErrorTable {
        ErrorRow(.notSupported, "memory of the RDMA device itself takes no hints", "register without a DMA handle")
    }
}

/// See: man 3 ibv_reg_mr, and drivers/infiniband/core/umem.c, umem_odp.c
extension PeerMRError {
    /// Where the limit is less than what is pinned and the new bytes, and CAP_IPC_LOCK does not lift it.
    static let lockLimit = ErrorTable(
        "ibv_reg_mr", facts: .bytes("byte count"), "device", "limit"
    ) { size, device, limit in
        ErrorRow(
            [.noMemory, .notPermitted], .resourceLimit,
            "\(size) cannot be registered on \(device): pinning needs that much locked memory, and RLIMIT_MEMLOCK is "
                + "\(limit)",
            "raise it (ulimit -l unlimited, or LimitMEMLOCK= of the service), or grant CAP_IPC_LOCK")
    }

    static let registerPinned = ErrorTable(
        "ibv_reg_mr", facts: .bytes("byte count"), "device", .hexadecimal("access"), "limit"
    ) { size, device, access, limit in
        ErrorRow(
            [.noMemory], .resourceLimit,
            "\(size) cannot be registered on \(device): there is no room for it in the IOMMU, in the device's tables "
                + "or in the memory cgroup; the memory lock limit is not the cause (\(limit))",
            "register less, or in smaller parts; see dmesg, the device's limits (ibv_devinfo -v: max_mr, max_mr_size) "
                + "and memory.events of the cgroup")
        ErrorRow(
            [.notPermitted], .notPermitted,
            "\(size) cannot be registered on \(device): the driver or a security policy refuses it; the memory lock "
                + "limit is not the cause (\(limit))",
            "see dmesg and the audit log, and the container's seccomp profile")
        // EREMOTEIO is what a region without write access gets for the same pages.
        ErrorRow(
            [.badAddress, .remoteIO], .notSupported,
            "\(size) cannot be registered on \(device): the kernel cannot pin that memory for long, as with peer "
                + "memory and device mappings",
            "register p2pmem on demand, or a dma-buf of it")
        ErrorRow(
            [.notSupported, .notSupportedOnSocket, .kernelNotSupported], .notSupported,
            "\(size) cannot be registered on \(device): its driver does not support this")
        ErrorRow(
            [.invalidArgument], .invalidArgument,
            "\(size) cannot be registered on \(device) with access \(access): the length or the access is not allowed",
            "remote write needs local write too")
        ErrorRow(.system, "\(size) cannot be registered on \(device)")
    }

    static let registerOnDemand = ErrorTable(
        "ibv_reg_mr", facts: .bytes("byte count"), "device", .hexadecimal("access")
    ) { size, device, access in
        ErrorRow(
            [.badAddress], .notSupported,
            "\(size) cannot be registered on \(device) on demand: the kernel refuses this device DMA to that memory",
            "put both devices under one PCIe switch; the kernel log says why it refused")
        ErrorRow(
            [.remoteIO], .notSupported,
            "\(size) cannot be registered on \(device): the kernel cannot pin that memory for long, as with peer "
                + "memory and device mappings",
            "register p2pmem on demand, or a dma-buf of it")
        ErrorRow(
            [.noMemory], .resourceLimit,
            "\(size) cannot be registered on \(device) on demand: there is no room for it in the device's tables or in "
                + "the memory cgroup",
            "register less, or in smaller parts; see dmesg and memory.events of the cgroup")
        ErrorRow(
            [.notSupported, .notSupportedOnSocket, .kernelNotSupported], .notSupported,
            "\(size) cannot be registered on \(device): it has no on-demand paging",
            "use a device with on-demand paging (mlx5, or Soft-RoCE on Linux 6.15 or newer)")
        ErrorRow(
            [.invalidArgument], .invalidArgument,
            "\(size) cannot be registered on \(device) with access \(access): the length or the access is not allowed",
            "remote write needs local write too; Soft-RoCE takes less than 2 GiB on demand: register more in chunks")
        ErrorRow(.system, "\(size) cannot be registered on \(device)")
    }

    /// - Parameter lock: what the process may lock; nil for what it may now.
    static func register(
        _ errno: Errno, byteCount: Int, access: Access, device: Device, lock: MemoryLock? = nil
    ) -> PeerMRError {
        if access.contains(.onDemand) { return registerOnDemand(errno, byteCount, device, access.rawValue) }
        let lock = lock ?? .current()
        if [.noMemory, .notPermitted].contains(errno), lock.refuses(byteCount) {
            return lockLimit(errno, byteCount, device, lock.description)
        }
        return registerPinned(errno, byteCount, device, access.rawValue, lock.description)
    }

    static let deregister = ErrorTable("ibv_dereg_mr", facts: "device") { device in
        ErrorRow(
            [.resourceBusy], .busy,
            "a region of \(device) cannot be deregistered: something is bound to it, such as a memory window",
            "deallocate that first")
        ErrorRow(.system, "a region of \(device) cannot be deregistered", "see the kernel log (dmesg)")
    }
}
