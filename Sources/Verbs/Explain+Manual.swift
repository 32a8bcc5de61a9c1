// SPDX-License-Identifier: Apache-2.0

internal import SystemPackage
internal import PeerMRCore

extension PeerMRError {
    /// See: man 3 ibv_modify_qp; drivers/infiniband/core/verbs.c (`ib_resolve_eth_dmac`), sw/rxe/rxe_qp.c
    static func manualPath(_ result: Int32, _ peer: QueuePairEndpoint, _ path: PathAttributes) -> PeerMRError {
        let gid = peer.gid.map { "\($0)" } ?? "LID \(peer.localIdentifier)"
        let what = "the queue pair cannot be connected to number \(peer.number) at \(gid)"
        let errno = Errno(rawValue: result)
        switch errno {
        case .timedOut, .networkUnreachable, .noRouteToHost, .hostIsDown:
            return PeerMRError(
                .disconnected, call: "ibv_modify_qp", errno: errno, reason: "\(what): no route leads there",
                remedy: "see whether ping reaches that address, and give both ends GIDs of one network")
        case .invalidArgument:
            return PeerMRError(
                .invalidArgument, call: "ibv_modify_qp", errno: errno,
                reason: "\(what) over GID index \(path.gidIndex.map(String.init) ?? "none") with packets of "
                    + "\(path.mtu.bytes) bytes",
                remedy: "both ends need a GID of the same kind (IPv4, IPv6 or none at both), and an MTU "
                    + "that the port can send (ibv_devinfo, active_mtu)")
        default:
            return PeerMRError(
                .system, call: "ibv_modify_qp", errno: errno, reason: what,
                remedy: "see the kernel log (dmesg): the device may have been removed or reset")
        }
    }
}
