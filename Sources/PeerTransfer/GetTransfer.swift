// SPDX-License-Identifier: Apache-2.0

import PeerMR
import PeerStorage

/// `get` on the server: the drive reads chunks into the slots, the NIC writes them into the client's memory.
///
/// A drive finishes its reads in any order, the client expects chunks in theirs: a chunk waits for those before it.
/// A slot is used again when both are through with it: the NIC has sent it, and the client has emptied its own.
final class GetTransfer: Transfer {
    let context: TransferContext
    /// That of the context: what is reached by two steps is counted each time.
    private let link: Link
    private(set) var isComplete = false
    let wantsReadBack = false
    /// Chunks that the client has, and has not emptied.
    var awaitsClient: Bool { next > emptied }

    private var slots: [GetSlot]
    /// The next chunk to send.
    private var next: UInt64 = 0
    private var emptied: UInt64 = 0
    private(set) var clientBytes: UInt64 = 0

    init(_ context: TransferContext) {
        self.context = context
        link = context.link
        slots = Array(repeating: GetSlot(), count: context.chunks.slotCount)
    }

    func begin() throws(PeerMRError) {
        let first = min(UInt64(context.chunks.slotCount), context.chunks.count)
        for chunk in 0..<first { try read(chunk) }
    }

    private func read(_ chunk: UInt64) throws(PeerMRError) {
        let slot = context.chunks.slot(of: chunk)
        slots[slot] = GetSlot(chunk: chunk)
        try context.storage(
            .read, slot: slot, byteCount: context.chunks.blocks(of: chunk),
            at: context.chunks.offset(of: chunk), tag: StorageTag.make(StorageTag.data, slot: slot))
    }

    func handle(_ completion: StorageCompletion) throws(PeerMRError) {
        if let errno = completion.errno { throw context.failure(errno, "read") }
        let slot = StorageTag.slot(completion.tag)
        guard let chunk = slots[slot].chunk, Int(completion.result) == context.chunks.blocks(of: chunk) else {
            throw context.failure(.ioError, "read")
        }
        slots[slot].isRead = true
        try sendInOrder()
    }

    private func sendInOrder() throws(PeerMRError) {
        while next < context.chunks.count {
            let slot = context.chunks.slot(of: next)
            guard slots[slot].chunk == next, slots[slot].isRead else { return }
            let target = RemoteAddress(
                address: context.hello.buffer.address &+ UInt64(slot) * context.chunks.slotBytes,
                key: context.hello.buffer.key)
            try link.write(
                context.entry(of: next), to: target, slot: slot,
                immediate: context.digest(of: next) ?? UInt32(truncatingIfNeeded: next))
            next += 1
        }
    }

    func handle(_ tag: Tag, _ completion: Completion) throws(PeerMRError) {
        switch tag.kind {
        case .chunk:
            arrived(slots[tag.slot].send(), in: tag.slot)
            try reuse(tag.slot)
        case .receive:
            let message = completion.immediate.flatMap(Message.init(immediate:))
            guard case .credit(let number)? = message, Int(number) < slots.count,
                slots[Int(number)].isOut(before: next)
            else { throw .outOfTurn("an immediate that returns no slot") }
            arrived(slots[Int(number)].empty(), in: Int(number))
            emptied += 1
            clientBytes += context.chunks.bytes(of: emptied - 1)
            if emptied == context.chunks.count { isComplete = true }
            try reuse(Int(number))
        default: break
        }
    }

    private func arrived(_ isNews: Bool, in slot: Int) {
        guard isNews, let chunk = slots[slot].chunk else { return }
        context.count.add(context.chunks.bytes(of: chunk), through: context.region)
    }

    private func reuse(_ slot: Int) throws(PeerMRError) {
        guard slots[slot].isFree, let chunk = slots[slot].chunk else { return }
        let following = chunk + UInt64(context.chunks.slotCount)
        if following < context.chunks.count { try read(following) }
    }
}

/// What a slot of `get` has been through.
///
/// That its chunk has arrived is known from the device's acknowledgement or from the client's credit, whichever is
/// first. The last acknowledgement may never come: a client that has all it wanted takes its queue pair down, and
/// Soft-RoCE hands the client its last completion before it acknowledges (rxe_resp.c, `RESPST_COMPLETE` comes before
/// `RESPST_ACKNOWLEDGE`).
struct GetSlot {
    /// The chunk that it carries; nil where it was never used.
    let chunk: UInt64?
    var isRead = false
    private(set) var isSent = false
    private(set) var isEmptied = false

    init(chunk: UInt64? = nil) { self.chunk = chunk }

    /// Whether the client has it: its chunk has been sent, which all before `next` have, and it was not given back.
    func isOut(before next: UInt64) -> Bool {
        guard let chunk else { return false }
        return chunk < next && !isEmptied
    }

    /// Whether both are through with it: the device may send again what has not been acknowledged.
    var isFree: Bool { isSent && isEmptied }

    /// The device has the client's acknowledgement.
    ///
    /// - Returns: whether it is news that the chunk has arrived.
    mutating func send() -> Bool {
        defer { isSent = true }
        return !isSent && !isEmptied
    }

    /// The client has given the slot back.
    ///
    /// - Returns: whether it is news that the chunk has arrived.
    mutating func empty() -> Bool {
        defer { isEmptied = true }
        return !isSent && !isEmptied
    }
}
