// SPDX-License-Identifier: Apache-2.0

internal import SystemPackage
package import PeerMRCore

extension PeerMRError {
    package static let devicesErrors = ErrorSection(
        "RDMA devices and queue pairs",
        [
            listDevices, noDevice, otherDevices, openDevice, query, create, createAtLockLimit, queuePair, portDown,
            allPortsDown, portWithoutAddress, pathMTU,
        ])
}

extension PeerMRError {
    static let noDeviceRemedy =
        "install the NIC's driver, or add a software one: rdma link add rxe0 type rxe netdev IFNAME"

    static var deviceNames: [String] { ((try? Device.all()) ?? []).map(\.name) }

    /// See: man 3 ibv_get_device_list
    static let listDevices = ErrorTable("ibv_get_device_list") {
        ErrorRow([.noFunction], .notSupported, "this kernel offers no RDMA to programs")
            .with(remedy: "load the module: modprobe ib_uverbs")
        ErrorRow(.system, "the RDMA devices cannot be listed")
            .with(remedy: "see whether /dev/infiniband/uverbs* exist and this user may open them")
    }

    static let noDevice = ErrorTable(facts: "device") { device in
        ErrorRow(.notFound, "there is no RDMA device \(device): there is none", noDeviceRemedy)
    }
    static let otherDevices = ErrorTable(facts: "device", .list("others")) { device, others in
        ErrorRow(.notFound, "there is no RDMA device \(device): there are \(others)", "name one of those")
    }

    static func noSuchDevice(_ name: String) -> PeerMRError {
        let names = deviceNames
        return names.isEmpty ? noDevice(name) : otherDevices(name, names)
    }

    /// See: man 3 ibv_open_device
    static let openDevice = ErrorTable("ibv_open_device", facts: "device") { device in
        ErrorRow([.permissionDenied, .notPermitted], .notPermitted, "the RDMA device \(device) cannot be opened")
            .with(remedy: "give this user rights on /dev/infiniband/uverbs*")
        ErrorRow(.system, "the RDMA device \(device) cannot be opened")
    }

    static let query = ErrorTable(
        "ibv_query_device_ex", "ibv_query_port", "ibv_query_gid", "ibv_query_gid_table", facts: "device"
    ) { device in
        ErrorRow(.system, "the RDMA device \(device) does not answer a query")
            .with(remedy: "see the kernel log (dmesg): it may have been removed or reset")
    }

    /// See: man 3 ibv_create_cq, ibv_alloc_pd, ibv_create_qp
    static let create = ErrorTable(
        "ibv_alloc_pd", "ibv_create_comp_channel", "fcntl", "ibv_create_cq", "ibv_create_qp", "rdma_create_qp",
        facts: "object", "device"
    ) { object, device in
        ErrorRow([.invalidArgument], .resourceLimit, "\(device) cannot create \(object)")
            .with(remedy: "ask for less, or see the device's limits: ibv_devinfo -v -d \(device)")
        ErrorRow([.noMemory], .resourceLimit, "\(device) cannot create \(object)")
            .with(
                remedy: "ask for less, or see the device's limits (ibv_devinfo -v -d \(device)), dmesg for the IOMMU, "
                    + "and memory.events of the memory cgroup")
        ErrorRow(.system, "\(device) cannot create \(object)")
    }

    /// A queue's buffers are pinned too, by the provider library (mlx5, irdma, bnxt_re and others).
    static let createAtLockLimit = ErrorTable(
        "ibv_create_cq", "ibv_create_qp", "rdma_create_qp", facts: "object", "device", "limit"
    ) { object, device, limit in
        ErrorRow(
            [.noMemory, .notPermitted], .resourceLimit,
            "\(device) cannot create \(object): it is more than the device has, or its buffers are more than this "
                + "process may lock (RLIMIT_MEMLOCK is \(limit))",
            "raise the limit (ulimit -l unlimited, or LimitMEMLOCK= of the service), or ask for less; ibv_devinfo -v "
                + "-d \(device) has the device's limits")
    }

    /// Why there is no queue.
    ///
    /// - Parameter lock: what the process may lock; nil for what it may now.
    static func createQueue(
        _ call: String, _ errno: Errno, _ object: String, _ device: Device, lock: MemoryLock? = nil
    ) -> PeerMRError {
        guard [.noMemory, .notPermitted].contains(errno) else { return create(call, errno, object, device) }
        let lock = lock ?? .current()
        return lock.refuses(nil)
            ? createAtLockLimit(call, errno, object, device, lock.description) : create(call, errno, object, device)
    }

    /// See: man 3 ibv_modify_qp, ibv_query_qp
    static let queuePair = ErrorTable(
        "ibv_modify_qp", "ibv_query_qp", "ibv_query_gid", facts: "connected or queried"
    ) { action in
        ErrorRow(.system, "the queue pair cannot be \(action)")
            .with(remedy: "see the kernel log (dmesg): the device may have been removed or reset")
    }

    static let portDown = ErrorTable(facts: "port", "device") { port, device in
        ErrorRow(.notFound, "port \(port) of \(device) is down", "bring its link up: ip link set IFNAME up")
    }
    static let allPortsDown = ErrorTable(facts: "device") { device in
        ErrorRow(.notFound, "no port of \(device) is up", "bring the link of one up: ip link set IFNAME up")
    }
    static let portWithoutAddress = ErrorTable(facts: "port", "device") { port, device in
        ErrorRow(.notFound, "port \(port) of \(device) has no address")
            .with(remedy: "give its network interface one: ip address add ADDRESS/BITS dev IFNAME")
    }
    static let pathMTU = ErrorTable(facts: "MTU", "needed MTU", "interface MTU") { found, needed, interface in
        ErrorRow(
            .unsafeConfiguration,
            "the path MTU is \(found) bytes, and on-demand memory of a software device is moved right only at "
                + "\(needed): the driver would corrupt data and report success",
            "set the MTU of both network interfaces to \(interface) or more (ip link set IFNAME mtu 4200), or use host "
                + "memory")
    }
}
