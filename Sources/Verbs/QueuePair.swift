// SPDX-License-Identifier: Apache-2.0

internal import CVerbs
internal import SystemPackage
public import SystemSupport

/// How large the queues of a queue pair are.
public struct QueuePairCapacity: Hashable, Sendable {
    /// Sends, writes and reads outstanding at once.
    public var sends: Int
    /// Receives outstanding at once.
    public var receives: Int

    /// Sizes of your own.
    public init(sends: Int, receives: Int) {
        self.sends = sends
        self.receives = receives
    }
}

/// A reliable queue pair. Its owner is its one poster: posting mutates it.
@safe
public struct QueuePair: ~Copyable, @unchecked Sendable {
    /// How often a device tries again when no answer comes, before it gives a peer up.
    ///
    /// One less than the field holds: Soft-RoCE takes 7 as "for ever" (drivers/infiniband/sw/rxe/rxe_comp.c), which the
    /// specification knows of the receiver-not-ready count only.
    public static let retryCount: UInt8 = 6

    let raw: UnsafeMutablePointer<ibv_qp>
    /// The connection that made it, and destroys it; nil where it was made without one.
    private let connection: Connection?
    private let domain: ProtectionDomain
    private let sendQueue: CompletionQueue
    private let receiveQueue: CompletionQueue

    /// Makes the queue pair of a connection, whose state the connection manager then drives.
    ///
    /// - Throws: EINVAL or ENOMEM above the device's limits. The corresponding C function is `rdma_create_qp`.
    public init(
        for connection: Connection, domain: ProtectionDomain, sendQueue: CompletionQueue,
        receiveQueue: CompletionQueue, capacity: QueuePairCapacity
    ) throws(CallError) {
        var attributes = unsafe Self.attributes(sendQueue, receiveQueue, capacity)
        guard unsafe rdma_create_qp(connection.id, domain.raw, &attributes) == 0,
            let made = unsafe connection.id.pointee.qp
        else {
            throw .create(
                "rdma_create_qp", currentErrno(), Self.describe(capacity), on: domain.context.device)
        }
        unsafe raw = made
        self.connection = connection
        self.domain = domain
        self.sendQueue = sendQueue
        self.receiveQueue = receiveQueue
    }

    /// Makes a queue pair that is not connected, for ``connectToItself(like:)``.
    ///
    /// - Throws: EINVAL or ENOMEM above the device's limits. The corresponding C function is `ibv_create_qp`.
    public init(
        domain: ProtectionDomain, sendQueue: CompletionQueue, receiveQueue: CompletionQueue,
        capacity: QueuePairCapacity
    ) throws(CallError) {
        var attributes = unsafe Self.attributes(sendQueue, receiveQueue, capacity)
        guard let made = unsafe ibv_create_qp(domain.raw, &attributes) else {
            throw .create(
                "ibv_create_qp", currentErrno(), Self.describe(capacity), on: domain.context.device)
        }
        unsafe raw = made
        connection = nil
        self.domain = domain
        self.sendQueue = sendQueue
        self.receiveQueue = receiveQueue
    }

    deinit {
        if let connection {
            unsafe rdma_destroy_qp(connection.id)
        } else {
            _ = unsafe ibv_destroy_qp(raw)
        }
    }

    private static func describe(_ capacity: QueuePairCapacity) -> String {
        "a queue pair for \(capacity.sends) sends and \(capacity.receives) receives"
    }

    private static func attributes(
        _ sendQueue: CompletionQueue, _ receiveQueue: CompletionQueue, _ capacity: QueuePairCapacity
    ) -> ibv_qp_init_attr {
        var attributes = unsafe ibv_qp_init_attr()
        unsafe attributes.send_cq = unsafe sendQueue.raw
        unsafe attributes.recv_cq = unsafe receiveQueue.raw
        unsafe attributes.cap.max_send_wr = UInt32(clamping: capacity.sends)
        unsafe attributes.cap.max_recv_wr = UInt32(clamping: capacity.receives)
        unsafe attributes.cap.max_send_sge = 1
        unsafe attributes.cap.max_recv_sge = 1
        unsafe attributes.qp_type = IBV_QPT_RC
        unsafe attributes.sq_sig_all = 0
        return unsafe attributes
    }
}

extension QueuePair {
    /// Whether this connected queue pair moves data in the packets that a region needs.
    ///
    /// - Throws: `unsafeHere` when the path MTU is another than the region's ``TransferShape`` wants.
    public borrowing func check(_ shape: TransferShape) throws(CallError) {
        guard shape.pathMTUBytes != 0 else { return }
        let found = try pathMTU().bytes
        guard found != shape.pathMTUBytes else { return }
        throw CallError(
            .unsafeHere,
            reason:
                "the path MTU is \(found) bytes, and on-demand memory of a software device is moved right only at "
                + "\(shape.pathMTUBytes): the driver would corrupt data and report success",
            remedy:
                "set the MTU of both network interfaces to \(shape.pathMTUBytes + 104) or more (ip link set "
                + "IFNAME mtu 4200), or use host memory"
        )
    }

    /// The path MTU that the connection has settled on.
    ///
    /// - Throws: the errno of the query. The corresponding C function is `ibv_query_qp`.
    public borrowing func pathMTU() throws(CallError) -> PathMTU {
        PathMTU(rawValue: try query(IBV_QP_PATH_MTU).path_mtu.rawValue)
    }

    private borrowing func query(_ mask: ibv_qp_attr_mask) throws(CallError) -> ibv_qp_attr {
        var attributes = ibv_qp_attr()
        var initial = unsafe ibv_qp_init_attr()
        let result = unsafe ibv_query_qp(raw, &attributes, Int32(mask.rawValue), &initial)
        guard result == 0 else { throw .queuePair("ibv_query_qp", result, "queried") }
        return attributes
    }

    /// Connects this queue pair to itself, over the port, GID and path MTU of a connected one of the same device.
    ///
    /// What is posted on it leaves the device's send side and enters its own receive side: the way to make the
    /// device read memory that it has just written.
    ///
    /// - Throws: the errno of the state change. The corresponding C function is `ibv_modify_qp`.
    public mutating func connectToItself(like other: borrowing QueuePair) throws(CallError) {
        let path = try other.query(
            ibv_qp_attr_mask(
                rawValue: IBV_QP_AV.rawValue | IBV_QP_PORT.rawValue | IBV_QP_PATH_MTU.rawValue
                    | IBV_QP_PKEY_INDEX.rawValue))
        let port = path.ah_attr.port_num
        let index = path.ah_attr.grh.sgid_index
        var gid = ibv_gid()
        guard unsafe ibv_query_gid(raw.pointee.context, port, Int32(index), &gid) == 0 else {
            throw .queuePair("ibv_query_gid", currentErrno().rawValue, "connected to itself")
        }
        try initialise(port: port, keyIndex: path.pkey_index)
        var ready = ibv_qp_attr()
        ready.qp_state = IBV_QPS_RTR
        ready.path_mtu = path.path_mtu
        ready.dest_qp_num = unsafe raw.pointee.qp_num
        ready.max_dest_rd_atomic = 1
        ready.min_rnr_timer = 12
        ready.ah_attr.is_global = 1
        ready.ah_attr.grh.dgid = gid
        ready.ah_attr.grh.sgid_index = index
        ready.ah_attr.grh.hop_limit = 64
        ready.ah_attr.dlid = try domain.context.port(port).localIdentifier
        ready.ah_attr.port_num = port
        try modify(
            &ready,
            [
                IBV_QP_STATE, IBV_QP_AV, IBV_QP_PATH_MTU, IBV_QP_DEST_QPN, IBV_QP_RQ_PSN,
                IBV_QP_MAX_DEST_RD_ATOMIC, IBV_QP_MIN_RNR_TIMER,
            ])
        ready.qp_state = IBV_QPS_RTS
        ready.timeout = 14
        ready.retry_cnt = Self.retryCount
        ready.rnr_retry = 7
        ready.max_rd_atomic = 1
        try modify(
            &ready,
            [
                IBV_QP_STATE, IBV_QP_TIMEOUT, IBV_QP_RETRY_CNT, IBV_QP_RNR_RETRY, IBV_QP_SQ_PSN,
                IBV_QP_MAX_QP_RD_ATOMIC,
            ])
    }

    private mutating func initialise(port: UInt8, keyIndex: UInt16) throws(CallError) {
        var attributes = ibv_qp_attr()
        attributes.qp_state = IBV_QPS_INIT
        attributes.port_num = port
        attributes.pkey_index = keyIndex
        attributes.qp_access_flags =
            IBV_ACCESS_LOCAL_WRITE.rawValue | IBV_ACCESS_REMOTE_READ.rawValue
        try modify(
            &attributes,
            [
                IBV_QP_STATE, IBV_QP_PKEY_INDEX, IBV_QP_PORT, IBV_QP_ACCESS_FLAGS,
            ])
    }

    private mutating func modify(
        _ attributes: inout ibv_qp_attr, _ mask: [ibv_qp_attr_mask]
    ) throws(CallError) {
        let bits = mask.reduce(0) { $0 | $1.rawValue }
        let result = unsafe ibv_modify_qp(raw, &attributes, Int32(bits))
        guard result == 0 else { throw .queuePair("ibv_modify_qp", result, "made ready") }
    }
}
