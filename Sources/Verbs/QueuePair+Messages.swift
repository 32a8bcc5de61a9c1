// SPDX-License-Identifier: Apache-2.0

internal import CVerbs
public import SystemPackage

/// Messages with memory on both sides: a send of one end fills a receive of the other.
///
/// As with the other posts: never waits, never allocates, and throws the provider's errno, 4 bytes.
extension QueuePair {
    /// Sends local memory as one message.
    ///
    /// - Parameters:
    ///   - entry: the memory that is sent.
    ///   - requestID: what the completion carries.
    ///   - signaled: whether there is a completion where all goes well.
    ///   - isInline: the CPU copies the bytes into the work request now, so that the memory may be changed at once; at
    ///     most ``inlineByteCount()`` bytes, and not for memory that the CPU reaches slowly or not at all.
    /// - Throws: ENOMEM when the queue is full. The corresponding C function is `ibv_post_send` with `IBV_WR_SEND`.
    public mutating func postSend(
        _ entry: ScatterGatherElement, requestID: UInt64, signaled: Bool = true, isInline: Bool = false
    ) throws(Errno) {
        var request = unsafe ibv_send_wr()
        unsafe request.wr_id = requestID
        unsafe request.opcode = IBV_WR_SEND
        unsafe request.send_flags =
            (signaled ? IBV_SEND_SIGNALED.rawValue : 0) | (isInline ? IBV_SEND_INLINE.rawValue : 0)
        unsafe try post(&request, with: entry)
    }

    /// Posts local memory for a peer's message; a message that is longer fails both queue pairs.
    ///
    /// - Throws: ENOMEM when the queue is full. The corresponding C function is `ibv_post_recv`.
    public mutating func postReceive(_ entry: ScatterGatherElement, requestID: UInt64) throws(Errno) {
        var element = ibv_sge(addr: entry.address, length: entry.count, lkey: entry.key)
        let result = unsafe withUnsafeMutablePointer(to: &element) { list in
            var request = unsafe ibv_recv_wr()
            unsafe request.wr_id = requestID
            unsafe request.sg_list = unsafe list
            unsafe request.num_sge = 1
            var bad: UnsafeMutablePointer<ibv_recv_wr>?
            return unsafe ibv_post_recv(raw, &request, &bad)
        }
        guard result == 0 else { throw Errno(rawValue: result) }
    }
}

extension ScatterGatherElement {
    /// Its first bytes: at most as many as it has.
    public func prefix(_ byteCount: UInt32) -> ScatterGatherElement {
        ScatterGatherElement(address: address, count: min(count, byteCount), key: key)
    }
}
