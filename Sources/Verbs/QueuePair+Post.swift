// SPDX-License-Identifier: Apache-2.0

internal import CVerbs
public import SystemPackage

/// Posting: never waits, never allocates, and throws the provider's errno, 4 bytes.
///
/// ENOMEM means that the queue is full. Memory named by an entry is the device's until the completion with the same
/// `requestID` has been polled; a request posted without `signaled` ends silently when it succeeds.
extension QueuePair {
    /// Posts a receive without memory, for a peer's message that is only an immediate.
    ///
    /// The corresponding C function is `ibv_post_recv`.
    public mutating func postReceive(requestID: UInt64) throws(Errno) {
        var request = unsafe ibv_recv_wr()
        unsafe request.wr_id = requestID
        var bad: UnsafeMutablePointer<ibv_recv_wr>?
        let result = unsafe ibv_post_recv(raw, &request, &bad)
        guard result == 0 else { throw Errno(rawValue: result) }
    }

    /// Sends a message that is only an immediate: 32 bits for the peer's completion.
    ///
    /// The corresponding C function is `ibv_post_send` with `IBV_WR_SEND_WITH_IMM`.
    public mutating func postSend(
        immediate: UInt32, requestID: UInt64, signaled: Bool = true
    ) throws(Errno) {
        var request = unsafe ibv_send_wr()
        unsafe request.wr_id = requestID
        unsafe request.opcode = IBV_WR_SEND_WITH_IMM
        unsafe request.send_flags = signaled ? IBV_SEND_SIGNALED.rawValue : 0
        unsafe peermr_wr_set_immediate(&request, immediate)
        unsafe try post(&request)
    }

    /// Writes local memory into the peer's, and tells it with an immediate when `immediate` is given.
    ///
    /// The corresponding C function is `ibv_post_send` with `IBV_WR_RDMA_WRITE` or `IBV_WR_RDMA_WRITE_WITH_IMM`.
    public mutating func postWrite(
        _ entry: ScatterGatherElement, to remote: RemoteAddress, immediate: UInt32? = nil, requestID: UInt64,
        signaled: Bool = true
    ) throws(Errno) {
        var request = unsafe ibv_send_wr()
        unsafe request.wr_id = requestID
        unsafe request.opcode = immediate == nil ? IBV_WR_RDMA_WRITE : IBV_WR_RDMA_WRITE_WITH_IMM
        unsafe request.send_flags = signaled ? IBV_SEND_SIGNALED.rawValue : 0
        unsafe request.wr.rdma.remote_addr = remote.address
        unsafe request.wr.rdma.rkey = remote.key
        if let immediate { unsafe peermr_wr_set_immediate(&request, immediate) }
        unsafe try post(&request, with: entry)
    }

    /// Writes nothing to the peer: completes when its device has answered, and fails when it does not.
    ///
    /// No key is looked at for a transfer of length 0 (InfiniBand specification, volume 1, section 9.7.4.1.4).
    public mutating func postProbe(requestID: UInt64) throws(Errno) {
        var request = unsafe ibv_send_wr()
        unsafe request.wr_id = requestID
        unsafe request.opcode = IBV_WR_RDMA_WRITE
        unsafe request.send_flags = IBV_SEND_SIGNALED.rawValue
        unsafe try post(&request)
    }

    /// Reads the peer's memory into local memory.
    ///
    /// The corresponding C function is `ibv_post_send` with `IBV_WR_RDMA_READ`.
    public mutating func postRead(
        _ entry: ScatterGatherElement, from remote: RemoteAddress, requestID: UInt64, signaled: Bool = true
    ) throws(Errno) {
        var request = unsafe ibv_send_wr()
        unsafe request.wr_id = requestID
        unsafe request.opcode = IBV_WR_RDMA_READ
        unsafe request.send_flags = signaled ? IBV_SEND_SIGNALED.rawValue : 0
        unsafe request.wr.rdma.remote_addr = remote.address
        unsafe request.wr.rdma.rkey = remote.key
        unsafe try post(&request, with: entry)
    }

    mutating func post(
        _ request: inout ibv_send_wr, with entry: ScatterGatherElement
    ) throws(Errno) {
        var element = ibv_sge(addr: entry.address, length: entry.count, lkey: entry.key)
        let result = unsafe withUnsafeMutablePointer(to: &element) { list in
            unsafe request.sg_list = unsafe list
            unsafe request.num_sge = 1
            var bad: UnsafeMutablePointer<ibv_send_wr>?
            return unsafe ibv_post_send(raw, &request, &bad)
        }
        guard result == 0 else { throw Errno(rawValue: result) }
    }

    mutating func post(_ request: inout ibv_send_wr) throws(Errno) {
        var bad: UnsafeMutablePointer<ibv_send_wr>?
        let result = unsafe ibv_post_send(raw, &request, &bad)
        guard result == 0 else { throw Errno(rawValue: result) }
    }
}
