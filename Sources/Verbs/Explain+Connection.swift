// SPDX-License-Identifier: Apache-2.0

internal import SystemPackage
internal import PeerMRCore

extension PeerMRError {
    /// What the module rdma_ucm makes when it is loaded.
    private static let managerNode = "sys/class/misc/rdma_cm"

    /// See: man 3 rdma_create_event_channel, rdma_create_id, rdma_get_cm_event
    static func connectionManager(_ errno: Errno) -> PeerMRError {
        switch errno {
        // librdmacm says ENODEV also where the module is there and no device is.
        case .operationNotSupportedByDevice where SystemRoot.live.exists(managerNode),
            .noSuchFileOrDirectory where SystemRoot.live.exists(managerNode):
            PeerMRError(
                .notFound, call: "rdma_create_event_channel", errno: errno,
                reason: "this machine has no RDMA device", remedy: noDeviceRemedy)
        case .operationNotSupportedByDevice, .noSuchFileOrDirectory:
            PeerMRError(
                .notFound, call: "rdma_create_event_channel", errno: errno,
                reason: "this machine has no RDMA connection manager",
                remedy: "load it: modprobe rdma_ucm; then \(noDeviceRemedy)")
        case .permissionDenied, .notPermitted:
            PeerMRError(
                .notPermitted, call: "rdma_create_event_channel", errno: errno,
                reason: "the RDMA connection manager refuses this user",
                remedy: "give it rights on /dev/infiniband/rdma_cm")
        default:
            PeerMRError(
                .system, call: "rdma_create_event_channel", errno: errno,
                reason: "the RDMA connection manager does not answer")
        }
    }

    /// See: man 3 rdma_bind_addr, rdma_listen
    static func bind(_ errno: Errno, _ address: SocketAddress) -> PeerMRError {
        switch errno {
        // Of a wildcard the kernel says "not available" where the port is in use (cma_check_port in core/cma.c).
        case .addressInUse,
            .addressNotAvailable where address.isWildcard:
            return PeerMRError(
                .busy, call: "rdma_listen", errno: errno,
                reason: "port \(address.port) of \(address.host) is taken",
                remedy: "choose another port, or stop the program that listens there")
        case .permissionDenied:
            return PeerMRError(
                .notPermitted, call: "rdma_bind_addr", errno: errno,
                reason: "this user may not listen on port \(address.port)",
                remedy: "choose a port above 1023")
        default:
            let names = ((try? Device.all()) ?? []).map(\.name)
            let which =
                names.isEmpty
                ? "this machine has no RDMA device"
                : "none of this machine's RDMA devices (\(names.joined(separator: ", "))) has it"
            return PeerMRError(
                .notFound, call: "rdma_bind_addr", errno: errno,
                reason: "\(address.host) is no address to listen on for RDMA: \(which)",
                remedy: names.isEmpty
                    ? noDeviceRemedy : "name an address of an interface that an RDMA device stands on (rdma link show)")
        }
    }

    /// See: man 3 rdma_resolve_addr, rdma_resolve_route
    static func route(_ errno: Errno, _ peer: SocketAddress) -> PeerMRError {
        switch errno {
        case .operationNotSupportedByDevice, .noSuchAddressOrDevice, .invalidArgument,
            .addressNotAvailable:
            let names = ((try? Device.all()) ?? []).map(\.name)
            return PeerMRError(
                .notFound, call: "rdma_resolve_addr", errno: errno,
                reason: names.isEmpty
                    ? "this machine has no RDMA device" : "no RDMA device of this machine leads to \(peer.host)",
                remedy: names.isEmpty
                    ? noDeviceRemedy
                    : "see rdma link show and ip route get \(peer.host): they must name the same interface")
        default:
            return PeerMRError(
                .disconnected, call: "rdma_resolve_addr", errno: errno,
                reason: "\(peer.host) is not to be reached over RDMA",
                remedy: "see whether ping reaches it and the link is up")
        }
    }

    /// See: man 3 rdma_connect, rdma_accept
    static func connection(_ call: String, _ errno: Errno, _ what: String) -> PeerMRError {
        PeerMRError(
            .system, call: call, errno: errno, reason: "the connection cannot \(what)",
            remedy: "see the kernel log (dmesg) and rdma link show")
    }
}
