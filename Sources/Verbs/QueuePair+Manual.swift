// SPDX-License-Identifier: Apache-2.0

internal import CVerbs
internal import SystemPackage
public import PeerMRCore

/// What the other end of a queue pair has to know of it, told by any means but RDMA itself.
public struct QueuePairEndpoint: Hashable, Sendable {
    /// The port's LID; 0 on Ethernet.
    public var localIdentifier: UInt16
    /// The queue pair's number, 24 bits.
    public var number: UInt32
    /// The packet sequence number that its sends begin with, 24 bits.
    public var sequence: UInt32
    /// The port's GID; nil where LIDs alone address it.
    public var gid: GID?

    /// An endpoint as the other end has told it.
    public init(localIdentifier: UInt16, number: UInt32, sequence: UInt32, gid: GID?) {
        self.localIdentifier = localIdentifier
        self.number = number
        self.sequence = sequence
        self.gid = gid
    }
}

/// The own side of a path between two queue pairs.
public struct PathAttributes: Hashable, Sendable {
    /// The device's port, numbered from 1.
    public var port: UInt8
    /// The index of the own GID in the port's table; nil where the peer has none.
    public var gidIndex: Int?
    /// The payload of a full packet; both ends must have the same.
    public var mtu: PathMTU
    /// The service level.
    public var serviceLevel: UInt8
    /// The sequence number that the own sends begin with, 24 bits.
    public var sequence: UInt32

    /// A path of your own.
    public init(port: UInt8, gidIndex: Int?, mtu: PathMTU, serviceLevel: UInt8 = 0, sequence: UInt32) {
        self.port = port
        self.gidIndex = gidIndex
        self.mtu = mtu
        self.serviceLevel = serviceLevel
        self.sequence = sequence
    }
}

/// Connection by hand, without the connection manager: initialize, post receives, tell the peer, connect.
extension QueuePair {
    /// The number that a peer addresses it by.
    public var number: UInt32 { unsafe raw.pointee.qp_num }

    /// Takes it from the state RESET to INIT: from now on receives can be posted.
    ///
    /// - Parameters:
    ///   - port: the device's port, from 1 on.
    ///   - access: what a peer may do over this queue pair, if the region allows it too.
    /// - Throws: EINVAL for a port that the device does not have. The corresponding C function is `ibv_modify_qp`.
    public mutating func initialize(port: UInt8, access: Access) throws(PeerMRError) {
        var attributes = ibv_qp_attr()
        attributes.qp_state = IBV_QPS_INIT
        attributes.port_num = port
        attributes.qp_access_flags = access.rawValue
        let bits =
            IBV_QP_STATE.rawValue | IBV_QP_PKEY_INDEX.rawValue | IBV_QP_PORT.rawValue
            | IBV_QP_ACCESS_FLAGS.rawValue
        let result = unsafe ibv_modify_qp(raw, &attributes, Int32(bits))
        guard result == 0 else {
            throw .queuePair("ibv_modify_qp", Errno(rawValue: result), "initialized on port \(port)")
        }
    }

    /// Takes it from INIT to RTR and RTS: it receives and sends.
    ///
    /// One RDMA READ at a time, either way. A lost packet is sent again after 67 ms, ``retryCount`` times; a peer that
    /// has posted no receive is asked again for ever.
    ///
    /// - Throws: `invalidArgument` (EINVAL) where device or kernel refuse the path: another kind of GID at the other
    ///   end, an MTU above the port's; `disconnected` (ETIMEDOUT, ENETUNREACH) where no route or neighbor is found.
    ///   The corresponding C function is `ibv_modify_qp`.
    public mutating func connect(to peer: QueuePairEndpoint, over path: PathAttributes) throws(PeerMRError) {
        var ready = ibv_qp_attr()
        ready.qp_state = IBV_QPS_RTR
        ready.path_mtu = ibv_mtu(rawValue: path.mtu.rawValue)
        ready.dest_qp_num = peer.number
        ready.rq_psn = peer.sequence
        ready.max_dest_rd_atomic = 1
        ready.min_rnr_timer = 12
        ready.ah_attr.dlid = peer.localIdentifier
        ready.ah_attr.sl = path.serviceLevel
        ready.ah_attr.port_num = path.port
        if let gid = peer.gid {
            ready.ah_attr.is_global = 1
            ready.ah_attr.grh.hop_limit = 64
            ready.ah_attr.grh.sgid_index = UInt8(clamping: path.gidIndex ?? 0)
            unsafe withUnsafeMutableBytes(of: &ready.ah_attr.grh.dgid) {
                unsafe $0.copyBytes(from: gid.bytes.prefix(16))
            }
        }
        let receiving =
            IBV_QP_STATE.rawValue | IBV_QP_AV.rawValue | IBV_QP_PATH_MTU.rawValue | IBV_QP_DEST_QPN.rawValue
            | IBV_QP_RQ_PSN.rawValue | IBV_QP_MAX_DEST_RD_ATOMIC.rawValue | IBV_QP_MIN_RNR_TIMER.rawValue
        var result = unsafe ibv_modify_qp(raw, &ready, Int32(receiving))
        guard result == 0 else { throw .manualPath(result, peer, path) }
        ready.qp_state = IBV_QPS_RTS
        ready.timeout = 14
        ready.retry_cnt = Self.retryCount
        ready.rnr_retry = 7
        ready.sq_psn = path.sequence
        ready.max_rd_atomic = 1
        let sending =
            IBV_QP_STATE.rawValue | IBV_QP_TIMEOUT.rawValue | IBV_QP_RETRY_CNT.rawValue
            | IBV_QP_RNR_RETRY.rawValue | IBV_QP_SQ_PSN.rawValue | IBV_QP_MAX_QP_RD_ATOMIC.rawValue
        result = unsafe ibv_modify_qp(raw, &ready, Int32(sending))
        guard result == 0 else { throw .manualPath(result, peer, path) }
    }

    /// The longest message that can be sent inline, in bytes.
    ///
    /// - Throws: the errno of the query. The corresponding C function is `ibv_query_qp`.
    public borrowing func inlineByteCount() throws(PeerMRError) -> Int {
        var attributes = ibv_qp_attr()
        var initial = unsafe ibv_qp_init_attr()
        let result = unsafe ibv_query_qp(raw, &attributes, Int32(IBV_QP_CAP.rawValue), &initial)
        guard result == 0 else { throw .queuePair("ibv_query_qp", Errno(rawValue: result), "queried") }
        return unsafe Int(initial.cap.max_inline_data)
    }
}
