// SPDX-License-Identifier: Apache-2.0

import PeerMR
import PeerTransfer

extension Endpoint {
    /// Why a client may not use the drive, with its address; nil where it may.
    ///
    /// The queue pair will be led to the GID that the client tells, which must be that of the host that the TCP
    /// connection comes from.
    func objection(
        to caller: borrowing Caller, _ list: AllowList, port: UInt8
    ) throws(PeerMRError) -> String? {
        let there = caller.socket.peerAddressBytes().flatMap { HostAddress(networkOrder: $0) }
        let here = caller.socket.localAddressBytes().flatMap { HostAddress(networkOrder: $0) }
        let own = try context.gids(port: port).map(\.gid)
        let told = caller.told.endpoint.gid
        let local = own.first { $0 == told } ?? caller.gid?.gid
        var path: ConnectionPath?
        if let local, let told { path = ConnectionPath(local: local, remote: told) }
        let ownPort = try context.port(port)
        let applicant = Applicant(
            claim: there, path: path, isInfiniBand: ownPort.isInfiniBand,
            isFromHere: there.map { $0.isLoopback || $0 == here } ?? false,
            leadsBack: told == nil && ownPort.localIdentifier != 0
                && caller.told.endpoint.localIdentifier == ownPort.localIdentifier)
        do throws(AllowList.Objection) {
            _ = try list.admit(applicant)
            return nil
        } catch {
            return "\(there.map { "\($0)" } ?? "a client"): \(error)"
        }
    }
}
