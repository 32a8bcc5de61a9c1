// SPDX-License-Identifier: Apache-2.0

internal import CVerbs
public import SystemPackage

/// Requests over several pieces of memory, in order: of one region or of many, of the host's memory and of a peer's
/// side by side. A header can lie in the host's memory and its payload in a drive's, and they are one message.
///
/// As with all posting, nothing waits or allocates, and the errno is the provider's. EINVAL means more pieces than the
/// queue pair was made for (``QueuePairCapacity/entriesPerRequest``). The list itself may go when the call returns.
extension QueuePair {
    /// Posts a receive into several pieces: a message fills them one after the other.
    ///
    /// The corresponding C function is `ibv_post_recv`.
    public mutating func postReceive(
        scatteringTo entries: Span<ScatterGatherElement>, requestID: UInt64
    ) throws(Errno) {
        var request = unsafe ibv_recv_wr()
        unsafe request.wr_id = requestID
        let raw = unsafe self.raw
        let result = unsafe Self.withList(entries) { list, count in
            unsafe request.sg_list = unsafe list
            unsafe request.num_sge = count
            var bad: UnsafeMutablePointer<ibv_recv_wr>?
            return unsafe ibv_post_recv(raw, &request, &bad)
        }
        guard result == 0 else { throw Errno(rawValue: result) }
    }

    /// Sends one message out of several pieces.
    ///
    /// The corresponding C function is `ibv_post_send` with `IBV_WR_SEND` or `IBV_WR_SEND_WITH_IMM`.
    public mutating func postSend(
        gathering entries: Span<ScatterGatherElement>, immediate: UInt32? = nil, requestID: UInt64,
        signaled: Bool = true
    ) throws(Errno) {
        var request = unsafe ibv_send_wr()
        unsafe request.wr_id = requestID
        unsafe request.opcode = immediate == nil ? IBV_WR_SEND : IBV_WR_SEND_WITH_IMM
        unsafe request.send_flags = signaled ? IBV_SEND_SIGNALED.rawValue : 0
        if let immediate { unsafe peermr_wr_set_immediate(&request, immediate) }
        unsafe try post(&request, with: entries)
    }

    /// Writes several pieces into a run of the peer's memory, and tells it with an immediate when `immediate` is given.
    ///
    /// The corresponding C function is `ibv_post_send` with `IBV_WR_RDMA_WRITE` or `IBV_WR_RDMA_WRITE_WITH_IMM`.
    public mutating func postWrite(
        gathering entries: Span<ScatterGatherElement>, to remote: RemoteAddress, immediate: UInt32? = nil,
        requestID: UInt64,
        signaled: Bool = true
    ) throws(Errno) {
        var request = unsafe ibv_send_wr()
        unsafe request.wr_id = requestID
        unsafe request.opcode = immediate == nil ? IBV_WR_RDMA_WRITE : IBV_WR_RDMA_WRITE_WITH_IMM
        unsafe request.send_flags = signaled ? IBV_SEND_SIGNALED.rawValue : 0
        unsafe request.wr.rdma.remote_addr = remote.address
        unsafe request.wr.rdma.rkey = remote.key
        if let immediate { unsafe peermr_wr_set_immediate(&request, immediate) }
        unsafe try post(&request, with: entries)
    }

    /// Reads a run of the peer's memory into several pieces.
    ///
    /// The corresponding C function is `ibv_post_send` with `IBV_WR_RDMA_READ`; a device may take fewer pieces for it
    /// than for other requests (``DeviceAttributes/maximumEntriesPerRead``).
    public mutating func postRead(
        scatteringTo entries: Span<ScatterGatherElement>, from remote: RemoteAddress, requestID: UInt64,
        signaled: Bool = true
    ) throws(Errno) {
        var request = unsafe ibv_send_wr()
        unsafe request.wr_id = requestID
        unsafe request.opcode = IBV_WR_RDMA_READ
        unsafe request.send_flags = signaled ? IBV_SEND_SIGNALED.rawValue : 0
        unsafe request.wr.rdma.remote_addr = remote.address
        unsafe request.wr.rdma.rkey = remote.key
        unsafe try post(&request, with: entries)
    }

    private mutating func post(
        _ request: inout ibv_send_wr, with entries: Span<ScatterGatherElement>
    ) throws(Errno) {
        let raw = unsafe self.raw
        let result = unsafe Self.withList(entries) { list, count in
            unsafe request.sg_list = unsafe list
            unsafe request.num_sge = count
            var bad: UnsafeMutablePointer<ibv_send_wr>?
            return unsafe ibv_post_send(raw, &request, &bad)
        }
        guard result == 0 else { throw Errno(rawValue: result) }
    }

    /// Entries as the C library's, whose layout they have.
    private static func withList(
        _ entries: Span<ScatterGatherElement>, _ body: (UnsafeMutablePointer<ibv_sge>?, Int32) -> Int32
    ) -> Int32 {
        unsafe entries.withUnsafeBufferPointer { buffer in
            guard let first = buffer.baseAddress else { return body(nil, 0) }
            return unsafe first.withMemoryRebound(to: ibv_sge.self, capacity: buffer.count) { list in
                // Verbs takes the list as mutable, and only reads it.
                let list = unsafe UnsafeMutablePointer(mutating: list)
                return unsafe body(list, Int32(clamping: buffer.count))
            }
        }
    }
}
