// SPDX-License-Identifier: Apache-2.0

internal import CVerbs
public import PeerMRCore

extension Connection {
    /// Where the queue pair of this connection is led to, known as soon as a peer asks for the connection; nil where no
    /// GID leads there (by LID, or over iWARP).
    ///
    /// ``peerAddress`` is what the peer has written into the private data of its request (struct cma_hdr in
    /// drivers/infiniband/core/cma.c), and can be any address; what is sent goes where this path leads.
    ///
    /// - Throws: EINVAL before there is a request or an answer. The corresponding C function is `rdma_init_qp_attr`.
    public func path() throws(PeerMRError) -> ConnectionPath? {
        var attributes = ibv_qp_attr()
        attributes.qp_state = IBV_QPS_RTR
        var mask: Int32 = 0
        guard unsafe rdma_init_qp_attr(id, &attributes, &mask) == 0 else {
            throw .connection("rdma_init_qp_attr", currentErrno(), "be asked for its path")
        }
        return try context?.path(of: attributes.ah_attr)
    }
}
