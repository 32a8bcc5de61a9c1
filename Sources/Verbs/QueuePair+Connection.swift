// SPDX-License-Identifier: Apache-2.0

internal import CVerbs
internal import SystemPackage
public import PeerMRCore

extension QueuePair {
    /// Makes the queue pair of a connection, whose state the connection manager then drives. It keeps the connection.
    ///
    /// - Throws: EINVAL or ENOMEM above the device's limits. The corresponding C function is `rdma_create_qp`.
    public init(
        for connection: Connection, domain: ProtectionDomain, sendQueue: CompletionQueue,
        receiveQueue: CompletionQueue, capacity: QueuePairCapacity
    ) throws(PeerMRError) {
        var attributes = unsafe Self.attributes(sendQueue, receiveQueue, capacity)
        guard unsafe rdma_create_qp(connection.id, domain.raw, &attributes) == 0,
            let made = unsafe connection.id.pointee.qp
        else {
            throw .createQueue("rdma_create_qp", currentErrno(), Self.describe(capacity), domain.context.device)
        }
        unsafe self.init(
            raw: made, domain: domain, sendQueue: sendQueue, receiveQueue: receiveQueue,
            destroy: { unsafe rdma_destroy_qp(connection.id) })
    }
}
