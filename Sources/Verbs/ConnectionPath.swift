// SPDX-License-Identifier: Apache-2.0

internal import CVerbs
public import PeerMRCore

/// The two ends of the path that the packets of a queue pair take, as its device sends them.
public struct ConnectionPath: Hashable, Sendable {
    /// The GID of the own port that packets come from.
    public let local: GID
    /// The GID that packets go to.
    public let remote: GID

    /// A path of your own.
    public init(local: GID, remote: GID) {
        self.local = local
        self.remote = remote
    }
}

extension QueuePair {
    /// Where this connected queue pair sends to; nil where no GID leads there (by LID, or over iWARP).
    ///
    /// - Throws: the errno of the query. The corresponding C function is `ibv_query_qp` with `IBV_QP_AV`.
    public borrowing func path() throws(PeerMRError) -> ConnectionPath? {
        try domain.context.path(of: try query(IBV_QP_AV).ah_attr)
    }
}

extension Context {
    /// The GIDs of an address handle; nil where it has none.
    func path(of handle: ibv_ah_attr) throws(PeerMRError) -> ConnectionPath? {
        guard handle.is_global != 0 else { return nil }
        let local = try gid(port: handle.port_num, index: Int(handle.grh.sgid_index))
        let remote = unsafe withUnsafeBytes(of: handle.grh.dgid) { GID(bytes: unsafe Array($0)) }
        return ConnectionPath(local: local, remote: remote)
    }
}
