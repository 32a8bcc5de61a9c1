// SPDX-License-Identifier: Apache-2.0

import PeerMR
import PeerStorage

/// `put` on the server: the client's NIC writes chunks into the slots, the drive writes them to its blocks.
///
/// A slot goes round: offered to the client (credit) - filled by the NIC (chunk) - made sure of (arrival) - written by
/// the drive - offered again. The last block, where the client fills only part of it, is first read from the drive
/// into its slot, so that what stands behind the client's last byte stays as it was.
final class PutTransfer: Transfer {
    let context: TransferContext
    /// That of the context: what is reached by two steps is counted each time.
    private let link: Link
    private(set) var isComplete = false
    /// Whether the client has asked for what it has put.
    private(set) var wantsReadBack = false
    /// Slots that have been offered, and not been filled.
    var awaitsClient: Bool { credited > received }
    private(set) var clientBytes: UInt64 = 0
    private var flush: PeerWriteFlush?
    /// The chunk that each slot is offered for; nil while it is not the client's.
    private var offered: [UInt64?]
    private var credited: UInt64 = 0
    private var received: UInt64 = 0
    private var written: UInt64 = 0

    init(_ context: TransferContext, ensureArrival: Bool) throws(PeerMRError) {
        self.context = context
        link = context.link
        offered = Array(repeating: nil, count: context.chunks.slotCount)
        guard ensureArrival else { return }
        do {
            flush = try PeerWriteFlush(
                depth: context.chunks.slotCount, on: link.domain, completions: link.queue,
                like: link.queuePair)
        } catch { throw error.from(.nic) }
    }

    func begin() throws(PeerMRError) {
        let first = min(UInt64(context.chunks.slotCount), context.chunks.count)
        for chunk in 0..<first { try offer(chunk) }
    }

    private func offer(_ chunk: UInt64) throws(PeerMRError) {
        if let (last, place) = context.chunks.partialBlock, last == chunk {
            try context.storage(
                .read, slot: context.chunks.slot(of: chunk), place: place,
                byteCount: Int(context.chunks.blockBytes),
                at: context.chunks.offset(of: chunk) + place, tag: StorageTag.make(StorageTag.tail))
        } else {
            try credit(chunk)
        }
    }

    private func credit(_ chunk: UInt64) throws(PeerMRError) {
        let slot = context.chunks.slot(of: chunk)
        offered[slot] = chunk
        credited += 1
        try link.send(.credit(slot: UInt16(slot)))
    }

    func handle(_ tag: Tag, _ completion: Completion) throws(PeerMRError) {
        switch tag.kind {
        case .receive where isComplete: try hearWish(completion)
        case .receive: try receive(completion)
        case .arrival: try write(slot: tag.slot)
        default: break
        }
    }

    /// After the acknowledgement there is one thing to ask for.
    private func hearWish(_ completion: Completion) throws(PeerMRError) {
        guard context.hello.isReadBack, !wantsReadBack, completion.operation == .receive,
            completion.immediate.flatMap(Message.init(immediate:)) == .readBack
        else { throw .outOfTurn("a message behind a transfer that is complete") }
        wantsReadBack = true
    }

    /// A chunk has come: it must be the next one, whole, and in the slot that was offered for it.
    private func receive(_ completion: Completion) throws(PeerMRError) {
        guard completion.operation == .receiveWriteWithImmediate, let digest = completion.immediate else {
            throw .outOfTurn("an immediate that is no chunk")
        }
        let chunk = received
        let slot = context.chunks.slot(of: chunk)
        guard chunk < context.chunks.count, offered[slot] == chunk,
            UInt64(completion.byteCount) == context.chunks.bytes(of: chunk)
        else { throw .outOfTurn("chunk \(chunk) of \(completion.byteCount) bytes") }
        if let found = context.digest(of: chunk), found != digest { throw .changedOnItsWay(chunk, found, digest) }
        received += 1
        clientBytes += UInt64(completion.byteCount)
        guard flush != nil else { return try write(slot: slot) }
        do {
            try flush?.post(
                reading: UInt64(slot) * context.chunks.slotBytes, of: context.region.keys,
                requestID: link.seat.bits | Tag(.arrival, slot: slot).requestID)
        } catch { throw .post(error) }
    }

    private func write(slot: Int) throws(PeerMRError) {
        guard let chunk = offered[slot] else { return }
        try context.storage(
            .write, slot: slot, byteCount: context.chunks.blocks(of: chunk),
            at: context.chunks.offset(of: chunk), tag: StorageTag.make(StorageTag.data, slot: slot))
    }

    func handle(_ completion: StorageCompletion) throws(PeerMRError) {
        let kind = StorageTag.kind(completion.tag)
        if let errno = completion.errno {
            throw context.failure(errno, Self.verb(kind))
        }
        switch kind {
        case StorageTag.data: try finish(slot: StorageTag.slot(completion.tag), completion.result)
        case StorageTag.tail:
            guard Int(completion.result) == Int(context.chunks.blockBytes) else {
                throw context.failure(.ioError, "read")
            }
            try credit(context.chunks.count - 1)
        default:
            isComplete = true
            try link.send(.done)
        }
    }

    private static func verb(_ kind: UInt64) -> String {
        switch kind {
        case StorageTag.tail: "read"
        case StorageTag.flush: "flush"
        default: "write"
        }
    }

    private func finish(slot: Int, _ result: Int32) throws(PeerMRError) {
        guard let chunk = offered[slot] else { return }
        guard Int(result) == context.chunks.blocks(of: chunk) else {
            throw context.failure(.ioError, "write")
        }
        context.count.add(context.chunks.bytes(of: chunk), through: context.region)
        offered[slot] = nil
        written += 1
        let next = chunk + UInt64(context.chunks.slotCount)
        if next < context.chunks.count { try offer(next) }
        if written == context.chunks.count { try context.flush() }
    }
}
