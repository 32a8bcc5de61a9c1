// SPDX-License-Identifier: Apache-2.0

internal import CVerbs
internal import SystemPackage
public import PeerMRCore

/// How large the queues of a queue pair are.
public struct QueuePairCapacity: Hashable, Sendable {
    /// Sends, writes and reads outstanding at once.
    public var sends: Int
    /// Receives outstanding at once.
    public var receives: Int
    /// The pieces of memory that one request may gather from or scatter to.
    public var entriesPerRequest: Int

    /// Sizes of your own.
    public init(sends: Int, receives: Int, entriesPerRequest: Int = 1) {
        self.sends = sends
        self.receives = receives
        self.entriesPerRequest = entriesPerRequest
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
    /// How it is destroyed where that is not for verbs alone; nil where it is. No type of another file, so that
    /// programs without connections are linked without the connection manager.
    private let destroy: (() -> Void)?
    let domain: ProtectionDomain
    private let sendQueue: CompletionQueue
    private let receiveQueue: CompletionQueue

    /// Wraps a queue pair.
    init(
        raw: UnsafeMutablePointer<ibv_qp>, domain: ProtectionDomain, sendQueue: CompletionQueue,
        receiveQueue: CompletionQueue, destroy: (() -> Void)?
    ) {
        unsafe self.raw = raw
        self.destroy = destroy
        self.domain = domain
        self.sendQueue = sendQueue
        self.receiveQueue = receiveQueue
    }

    /// Makes a queue pair that is not connected, for ``connectLoopback(port:access:)``.
    ///
    /// - Throws: EINVAL or ENOMEM above the device's limits. The corresponding C function is `ibv_create_qp`.
    public init(
        domain: ProtectionDomain, sendQueue: CompletionQueue, receiveQueue: CompletionQueue,
        capacity: QueuePairCapacity
    ) throws(PeerMRError) {
        var attributes = unsafe Self.attributes(sendQueue, receiveQueue, capacity)
        guard let made = unsafe ibv_create_qp(domain.raw, &attributes) else {
            throw .createQueue("ibv_create_qp", currentErrno(), Self.describe(capacity), domain.context.device)
        }
        unsafe self.init(raw: made, domain: domain, sendQueue: sendQueue, receiveQueue: receiveQueue, destroy: nil)
    }

    deinit {
        if let destroy {
            destroy()
        } else {
            _ = unsafe ibv_destroy_qp(raw)
        }
    }

    static func describe(_ capacity: QueuePairCapacity) -> String {
        "a queue pair for \(capacity.sends) sends and \(capacity.receives) receives"
            + (capacity.entriesPerRequest == 1 ? "" : " of \(capacity.entriesPerRequest) pieces each")
    }

    static func attributes(
        _ sendQueue: CompletionQueue, _ receiveQueue: CompletionQueue, _ capacity: QueuePairCapacity
    ) -> ibv_qp_init_attr {
        var attributes = unsafe ibv_qp_init_attr()
        unsafe attributes.send_cq = unsafe sendQueue.raw
        unsafe attributes.recv_cq = unsafe receiveQueue.raw
        unsafe attributes.cap.max_send_wr = UInt32(clamping: capacity.sends)
        unsafe attributes.cap.max_recv_wr = UInt32(clamping: capacity.receives)
        unsafe attributes.cap.max_send_sge = UInt32(clamping: capacity.entriesPerRequest)
        unsafe attributes.cap.max_recv_sge = UInt32(clamping: capacity.entriesPerRequest)
        unsafe attributes.qp_type = IBV_QPT_RC
        unsafe attributes.sq_sig_all = 0
        return unsafe attributes
    }
}

extension QueuePair {
    /// Whether this connected queue pair moves data in the packets that a region needs.
    ///
    /// - Throws: `unsafeConfiguration` when the path MTU is another than the region's ``TransferConstraint`` wants.
    public borrowing func check(_ constraint: TransferConstraint) throws(PeerMRError) {
        guard constraint.pathMTUBytes != 0 else { return }
        let found = try pathMTU().bytes
        guard found != constraint.pathMTUBytes else { return }
        throw .pathMTU(found, constraint.pathMTUBytes, constraint.pathMTUBytes + 104)
    }

    /// The path MTU that the connection has settled on.
    ///
    /// - Throws: the errno of the query. The corresponding C function is `ibv_query_qp`.
    public borrowing func pathMTU() throws(PeerMRError) -> PathMTU {
        PathMTU(rawValue: try query(IBV_QP_PATH_MTU).path_mtu.rawValue)
    }

    borrowing func query(_ mask: ibv_qp_attr_mask) throws(PeerMRError) -> ibv_qp_attr {
        var attributes = ibv_qp_attr()
        var initial = unsafe ibv_qp_init_attr()
        let result = unsafe ibv_query_qp(raw, &attributes, Int32(mask.rawValue), &initial)
        guard result == 0 else { throw .queuePair("ibv_query_qp", Errno(rawValue: result), "queried") }
        return attributes
    }
}
