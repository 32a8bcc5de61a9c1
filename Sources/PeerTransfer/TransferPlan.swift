// SPDX-License-Identifier: Apache-2.0

import PeerMR
import PeerStorage

/// What a client may do of what it wants, before there are slots for it.
struct TransferPlan {
    let hello: Hello
    let chunks: Chunks
    /// The client's part of the server's range.
    let range: Range<UInt64>
    /// How long the client may leave undone what it is waited for, in seconds: the shorter of what both sides want.
    let timeoutSeconds: Int

    /// Where the client's bytes begin in the server's range: its offset is one in the part that it was given.
    var base: UInt64 { range.lowerBound + hello.offset }

    /// The blocks of the server's range that are read or written. A last block that is only partly the client's is read
    /// and written whole.
    var blocks: Range<UInt64> {
        let block = chunks.blockBytes
        return base..<base + (hello.byteCount + block - 1) / block * block
    }

    /// Whether the two must not go on at the same time: one of them writes where the other writes or reads.
    func conflicts(with other: TransferPlan) -> Bool {
        (hello.operation == .put || other.hello.operation == .put) && blocks.overlaps(other.blocks)
    }

    /// Checks what a client wants against what it was granted, and what the server has.
    init(
        _ hello: Hello, _ grant: Grant, _ options: DriveServer.Options, _ drive: any Drive
    ) throws(Refusal) {
        guard hello.operation == .get || !(options.isReadOnly || grant.isReadOnly) else { throw Refusal(.readOnly) }
        let range = grant.range ?? 0..<drive.range.byteCount
        let capacity = range.upperBound - range.lowerBound
        let block = UInt64(drive.blockBytes)
        guard hello.byteCount > 0 else { throw Refusal(.empty) }
        guard hello.offset <= capacity, hello.byteCount <= capacity - hello.offset
        else { throw Refusal(.outOfRange, detail: capacity) }
        guard hello.offset % block == 0 else { throw Refusal(.offBlock, detail: block) }
        let slotBytes = UInt64(min(hello.slotBytes, options.slotBytes))
        // A slot that ended inside a block would let the drive touch the next slot.
        guard slotBytes % block == 0 else { throw Refusal(.badSlots, detail: block) }
        self.hello = hello
        self.range = range
        chunks = Chunks(
            byteCount: hello.byteCount, slotBytes: slotBytes,
            slotCount: Int(min(hello.slotCount, options.slotCount)), blockBytes: block)
        let own = options.timeoutSeconds
        timeoutSeconds = hello.idleSeconds == 0 ? own : min(own, Int(hello.idleSeconds))
    }
}
