// SPDX-License-Identifier: Apache-2.0

import PeerMR
import PeerStorage

/// `get` on the server: the drive reads chunks into the slots, the NIC writes them into the client's memory.
///
/// A drive finishes its reads in any order, the client expects chunks in theirs: a chunk waits for those before it.
/// A slot is used again when both are through with it: the NIC has sent it, and the client has emptied its own.
final class GetTransfer: Transfer {
    let stage: Stage
    private(set) var isComplete = false

    private struct Slot {
        /// The chunk that it carries.
        var chunk: UInt64 = 0
        var isRead = false
        var isSent = false
        var isEmptied = false
    }

    private var slots: [Slot]
    /// The next chunk to send.
    private var next: UInt64 = 0
    private var emptied: UInt64 = 0

    init(_ stage: Stage) {
        self.stage = stage
        slots = Array(repeating: Slot(), count: stage.chunks.slotCount)
    }

    func begin() throws(CallError) {
        let first = min(UInt64(stage.chunks.slotCount), stage.chunks.count)
        for chunk in 0..<first { try read(chunk) }
    }

    private func read(_ chunk: UInt64) throws(CallError) {
        let slot = stage.chunks.slot(of: chunk)
        slots[slot] = Slot(chunk: chunk)
        try stage.storage(
            .read, slot: slot, byteCount: stage.chunks.blocks(of: chunk),
            at: stage.chunks.offset(of: chunk), tag: StorageTag.make(StorageTag.data, slot: slot))
    }

    func handle(_ completion: StorageCompletion) throws(CallError) {
        if let errno = completion.errno { throw stage.failure(errno, "read") }
        let slot = StorageTag.slot(completion.tag)
        guard Int(completion.result) == stage.chunks.blocks(of: slots[slot].chunk) else {
            throw stage.failure(.ioError, "read")
        }
        slots[slot].isRead = true
        try sendInOrder()
    }

    private func sendInOrder() throws(CallError) {
        while next < stage.chunks.count {
            let slot = stage.chunks.slot(of: next)
            guard slots[slot].chunk == next, slots[slot].isRead else { return }
            let target = RemoteSlice(
                address: stage.hello.buffer.address &+ UInt64(slot) * stage.chunks.slotBytes,
                key: stage.hello.buffer.key)
            try stage.link.write(stage.entry(of: next), to: target, slot: slot, sequence: next)
            next += 1
        }
    }

    func handle(_ tag: Tag, _ completion: Completion) throws(CallError) {
        switch tag.kind {
        case .chunk:
            stage.count.add(
                stage.chunks.bytes(of: slots[tag.slot].chunk), through: stage.region)
            slots[tag.slot].isSent = true
            try reuse(tag.slot)
        case .receive:
            let message = completion.immediate.flatMap(Message.init(immediate:))
            guard case .credit(let number)? = message, Int(number) < slots.count,
                slots[Int(number)].chunk < next, !slots[Int(number)].isEmptied
            else { throw .outOfTurn("an immediate that returns no slot") }
            slots[Int(number)].isEmptied = true
            emptied += 1
            try reuse(Int(number))
        default: break
        }
    }

    private func reuse(_ slot: Int) throws(CallError) {
        guard slots[slot].isSent, slots[slot].isEmptied else { return }
        let following = slots[slot].chunk + UInt64(stage.chunks.slotCount)
        if following < stage.chunks.count { try read(following) }
        isComplete = emptied == stage.chunks.count
    }
}
