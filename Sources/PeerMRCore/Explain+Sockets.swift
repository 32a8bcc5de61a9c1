// SPDX-License-Identifier: Apache-2.0

internal import SystemPackage

// The one place of this module that turns (call, errno) into words.
extension PeerMRError {
    /// See: man 3 getaddrinfo
    static func resolveHost(_ host: String, _ said: String) -> PeerMRError {
        PeerMRError(
            .notFound, call: "getaddrinfo", reason: "there is no host \(host): \(said)",
            remedy: "name a host that getent ahosts \(host) finds, or give its address")
    }

    /// See: man 2 connect
    static func connectSocket(_ errno: Errno, _ host: String, _ port: UInt16) -> PeerMRError {
        errno == .connectionRefused
            ? PeerMRError(
                .refused, call: "connect", errno: errno, reason: "nothing listens on port \(port) of \(host)",
                remedy: "start the server there first, on the same port")
            : PeerMRError(
                .disconnected, call: "connect", errno: errno, reason: "port \(port) of \(host) does not answer",
                remedy: "see whether ping reaches it, and no firewall stands in between")
    }

    /// See: man 2 bind, listen
    static func listenSocket(_ errno: Errno, _ port: UInt16, _ address: String?) -> PeerMRError {
        switch errno {
        case .addressInUse:
            PeerMRError(
                .busy, call: "bind", errno: errno, reason: "port \(port) is taken",
                remedy: "choose another at both ends, or stop the program that listens there (ss -ltnp)")
        case .permissionDenied:
            PeerMRError(
                .notPermitted, call: "bind", errno: errno, reason: "this user may not listen on port \(port)",
                remedy: "choose a port above 1023")
        default:
            PeerMRError(
                .notFound, call: "bind", errno: errno,
                reason: "port \(port) of \(address ?? "this host") cannot be listened on",
                remedy: "name an address that this host has (ip addr)")
        }
    }

    /// See: man 2 send, recv, accept
    static func lostSocket(_ call: String, _ errno: Errno, _ peer: String) -> PeerMRError {
        let isLate = errno == .timedOut
        return PeerMRError(
            .disconnected, call: call, errno: errno,
            reason: isLate ? "\(peer) says nothing" : "the TCP connection to \(peer) broke",
            remedy: isLate
                ? "see whether it is a ping-pong program that listens there"
                : "see whether the program there still runs")
    }
}
