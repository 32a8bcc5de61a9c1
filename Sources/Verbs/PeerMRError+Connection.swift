// SPDX-License-Identifier: Apache-2.0

internal import SystemPackage
package import PeerMRCore

extension PeerMRError {
    package static let connectionsErrors = ErrorSection(
        "Connections",
        [
            managerWithoutDevice, noConnectionManager, listen, bindAddress, bindWithoutDevice, resolveAddress,
            resolveWithoutDevice, connection, connectQueuePair,
        ])
}

// By rdma_cm.
extension PeerMRError {
    /// What the module rdma_ucm makes when it is loaded.
    private static let managerNode = "sys/class/misc/rdma_cm"

    /// See: man 3 rdma_create_event_channel, rdma_create_id, rdma_get_cm_event
    static let noConnectionManager = ErrorTable("rdma_create_event_channel") {
        ErrorRow(
            [.operationNotSupportedByDevice, .noSuchFileOrDirectory], .notFound,
            "this machine has no RDMA connection manager", "load it: modprobe rdma_ucm; then \(noDeviceRemedy)")
        ErrorRow(
            [.permissionDenied, .notPermitted], .notPermitted, "this user may not use the RDMA connection manager",
            "give this user rights on /dev/infiniband/rdma_cm")
        ErrorRow(.system, "the RDMA connection manager does not answer")
    }

    static let managerWithoutDevice = ErrorTable("rdma_create_event_channel") {
        ErrorRow(
            [.operationNotSupportedByDevice, .noSuchFileOrDirectory], .notFound, "this machine has no RDMA device",
            noDeviceRemedy)
    }

    static func connectionManager(_ errno: Errno) -> PeerMRError {
        switch errno {
        // librdmacm says ENODEV also where the module is there and no device is.
        case .operationNotSupportedByDevice where SystemRoot.live.exists(managerNode),
            .noSuchFileOrDirectory where SystemRoot.live.exists(managerNode):
            managerWithoutDevice(errno)
        default: noConnectionManager(errno)
        }
    }

    /// See: man 3 rdma_listen
    static let listen = ErrorTable("rdma_listen", facts: "port", "host") { port, host in
        ErrorRow([.addressInUse, .addressNotAvailable], .busy, "port \(port) of \(host) is in use")
            .with(remedy: "choose another port, or stop the program that listens there")
    }

    /// See: man 3 rdma_bind_addr
    static let bindAddress = ErrorTable(
        "rdma_bind_addr", facts: "port", "host", .list("devices")
    ) { port, host, devices in
        ErrorRow(
            [.permissionDenied], .notPermitted, "this user may not listen on port \(port)", "choose a port above 1023")
        ErrorRow(
            .notFound,
            "\(host) is no address to listen on for RDMA: none of this machine's RDMA devices (\(devices)) has it",
            "name an address of a network interface of an RDMA device (rdma link show)")
    }

    static let bindWithoutDevice = ErrorTable("rdma_bind_addr", facts: "host") { host in
        ErrorRow(
            .notFound, "\(host) is no address to listen on for RDMA: this machine has no RDMA device", noDeviceRemedy)
    }

    static func bind(_ errno: Errno, _ address: SocketAddress) -> PeerMRError {
        switch errno {
        // Of a wildcard the kernel says "not available" where the port is in use (cma_check_port in core/cma.c).
        case .addressInUse,
            .addressNotAvailable where address.isWildcard:
            return listen(errno, address.port, address.host)
        default:
            let names = deviceNames
            return names.isEmpty && errno != .permissionDenied
                ? bindWithoutDevice(errno, address.host) : bindAddress(errno, address.port, address.host, names)
        }
    }

    /// See: man 3 rdma_resolve_addr, rdma_resolve_route
    static let resolveAddress = ErrorTable("rdma_resolve_addr", facts: "host") { host in
        ErrorRow(
            [.operationNotSupportedByDevice, .noSuchAddressOrDevice, .invalidArgument, .addressNotAvailable], .notFound,
            "no RDMA device of this machine leads to \(host)",
            "see rdma link show and ip route get \(host): they must name the same interface")
        ErrorRow(.disconnected, "\(host) cannot be reached over RDMA", "see whether ping reaches it and the link is up")
    }

    static let resolveWithoutDevice = ErrorTable("rdma_resolve_addr") {
        ErrorRow(
            [.operationNotSupportedByDevice, .noSuchAddressOrDevice, .invalidArgument, .addressNotAvailable], .notFound,
            "this machine has no RDMA device", noDeviceRemedy)
    }

    static func route(_ errno: Errno, _ peer: SocketAddress) -> PeerMRError {
        switch errno {
        case .operationNotSupportedByDevice, .noSuchAddressOrDevice, .invalidArgument, .addressNotAvailable:
            deviceNames.isEmpty ? resolveWithoutDevice(errno) : resolveAddress(errno, peer.host)
        default: resolveAddress(errno, peer.host)
        }
    }

    /// See: man 3 rdma_connect, rdma_accept, rdma_init_qp_attr
    static let connection = ErrorTable(
        "rdma_connect", "rdma_accept", "rdma_init_qp_attr", facts: "be made or accepted"
    ) { action in
        ErrorRow(.system, "the connection cannot \(action)", "see the kernel log (dmesg) and rdma link show")
    }
}

// Without rdma_cm.
extension PeerMRError {
    /// See: man 3 ibv_modify_qp; drivers/infiniband/core/verbs.c (`ib_resolve_eth_dmac`), sw/rxe/rxe_qp.c
    static let connectQueuePair = ErrorTable(
        "ibv_modify_qp", facts: "number", "GID or LID", "GID index", "MTU"
    ) { number, peer, index, mtu in
        ErrorRow(
            [.timedOut, .networkUnreachable, .noRouteToHost, .hostIsDown], .disconnected,
            "the queue pair cannot be connected to number \(number) at \(peer): no route leads there",
            "see whether ping reaches that address, and give both ends GIDs of one network")
        ErrorRow(
            [.invalidArgument], .invalidArgument,
            "the queue pair cannot be connected to number \(number) at \(peer) over GID index \(index) with packets of "
                + "\(mtu) bytes",
            "both ends need a GID of the same kind (IPv4, IPv6 or none at both), and an MTU that the port can send "
                + "(ibv_devinfo, active_mtu)")
        ErrorRow(.system, "the queue pair cannot be connected to number \(number) at \(peer)")
            .with(remedy: "see the kernel log (dmesg): the device may have been removed or reset")
    }

    static func manualPath(_ result: Int32, _ peer: QueuePairEndpoint, _ path: PathAttributes) -> PeerMRError {
        connectQueuePair(
            Errno(rawValue: result), peer.number, peer.gid.map { "\($0)" } ?? "LID \(peer.localIdentifier)",
            path.gidIndex.map { "\($0)" } ?? "none", path.mtu.bytes)
    }
}
