// SPDX-License-Identifier: Apache-2.0

import PeerMR
import PeerStorage

/// `put` on the server: the client's NIC writes chunks into the slots, the drive writes them to its blocks.
///
/// A slot goes round: offered to the client (credit) - filled by the NIC (chunk) - made sure of (arrival) - written by
/// the drive - offered again. The last block, where the client fills only part of it, is first read from the drive
/// into its slot, so that what stands behind the client's last byte stays as it was.
final class PutTransfer: Transfer {
    let stage: Stage
    private(set) var isComplete = false
    private var flush: PeerWriteFlush?
    /// The chunk that each slot is offered for; nil while it is not the client's.
    private var offered: [UInt64?]
    private var received: UInt64 = 0
    private var written: UInt64 = 0

    init(_ stage: Stage, ensureArrival: Bool) throws(PeerMRError) {
        self.stage = stage
        offered = Array(repeating: nil, count: stage.chunks.slotCount)
        guard ensureArrival else { return }
        flush = try PeerWriteFlush(
            depth: stage.chunks.slotCount, on: stage.link.domain, completions: stage.link.queue,
            like: stage.link.queuePair)
    }

    func begin() throws(PeerMRError) {
        let first = min(UInt64(stage.chunks.slotCount), stage.chunks.count)
        for chunk in 0..<first { try offer(chunk) }
    }

    private func offer(_ chunk: UInt64) throws(PeerMRError) {
        if let (last, place) = stage.chunks.partialBlock, last == chunk {
            try stage.storage(
                .read, slot: stage.chunks.slot(of: chunk), place: place,
                byteCount: Int(stage.chunks.blockBytes),
                at: stage.chunks.offset(of: chunk) + place, tag: StorageTag.make(StorageTag.tail))
        } else {
            try credit(chunk)
        }
    }

    private func credit(_ chunk: UInt64) throws(PeerMRError) {
        let slot = stage.chunks.slot(of: chunk)
        offered[slot] = chunk
        try stage.link.send(.credit(slot: UInt16(slot)))
    }

    func handle(_ tag: Tag, _ completion: Completion) throws(PeerMRError) {
        switch tag.kind {
        case .receive: try receive(completion)
        case .arrival: try write(slot: tag.slot)
        default: break
        }
    }

    /// A chunk has come: it must be the next one, whole, and in the slot that was offered for it.
    private func receive(_ completion: Completion) throws(PeerMRError) {
        guard completion.operation == .receiveWriteWithImmediate,
            let message = completion.immediate.flatMap(Message.init(immediate:)),
            case .chunk(let slot, let sequence) = message
        else { throw .outOfTurn("an immediate that is no chunk") }
        let chunk = received
        guard chunk < stage.chunks.count, Int(slot) == stage.chunks.slot(of: chunk),
            sequence == UInt16(truncatingIfNeeded: chunk), offered[Int(slot)] == chunk,
            UInt64(completion.byteCount) == stage.chunks.bytes(of: chunk)
        else { throw .outOfTurn("chunk \(sequence) of \(completion.byteCount) bytes in slot \(slot)") }
        received += 1
        guard flush != nil else { return try write(slot: Int(slot)) }
        do {
            try flush?.post(
                reading: UInt64(slot) * stage.chunks.slotBytes, of: stage.region.keys,
                requestID: Tag(.arrival, slot: Int(slot)).requestID)
        } catch { throw .post(error) }
    }

    private func write(slot: Int) throws(PeerMRError) {
        guard let chunk = offered[slot] else { return }
        try stage.storage(
            .write, slot: slot, byteCount: stage.chunks.blocks(of: chunk),
            at: stage.chunks.offset(of: chunk), tag: StorageTag.make(StorageTag.data, slot: slot))
    }

    func handle(_ completion: StorageCompletion) throws(PeerMRError) {
        let kind = StorageTag.kind(completion.tag)
        if let errno = completion.errno {
            throw stage.failure(errno, kind == StorageTag.tail ? "read" : "write")
        }
        switch kind {
        case StorageTag.data: try finish(slot: StorageTag.slot(completion.tag), completion.result)
        case StorageTag.tail: try credit(stage.chunks.count - 1)
        default:
            isComplete = true
            try stage.link.send(.done)
        }
    }

    private func finish(slot: Int, _ result: Int32) throws(PeerMRError) {
        guard let chunk = offered[slot] else { return }
        guard Int(result) == stage.chunks.blocks(of: chunk) else {
            throw stage.failure(.ioError, "write")
        }
        stage.count.add(stage.chunks.bytes(of: chunk), through: stage.region)
        offered[slot] = nil
        written += 1
        let next = chunk + UInt64(stage.chunks.slotCount)
        if next < stage.chunks.count { try offer(next) }
        if written == stage.chunks.count { try stage.flush() }
    }
}
