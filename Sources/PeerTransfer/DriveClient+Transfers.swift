// SPDX-License-Identifier: Apache-2.0

public import PeerMR

/// What a finished transfer has to say.
public struct TransferOutcome: Sendable {
    /// How many bytes went.
    public let byteCount: UInt64
    /// From the first credit to the acknowledgement after the drive's flush (put), or to the last byte received (get).
    public let seconds: Double
    /// What the server's slots are made of.
    public let memory: MemoryKind
    /// How the server's slots were registered.
    public let method: Method
    /// What moves the bytes of the server's RDMA device: hardware or software.
    public let nic: NICKind
    /// Whether the server took host memory although it was asked for peer memory.
    public let isBounce: Bool

    init(_ client: DriveClient, byteCount: UInt64, seconds: Double) {
        self.byteCount = byteCount
        self.seconds = seconds
        memory = client.welcome.memory
        method = client.welcome.method
        nic = client.welcome.nic
        isBounce = client.welcome.isBounce
    }
}

extension DriveClient {
    /// Writes bytes to the server's drive; returns when the server says that they are on stable storage.
    ///
    /// - Parameters:
    ///   - byteCount: how many; need not be a multiple of a block.
    ///   - offset: where in the server's range; a multiple of the drive's block.
    ///   - options: the server's address, and how much is under way at once.
    ///   - read: fills a span with the bytes from an offset in `0..<byteCount` on; called in order, once for each.
    ///   - progress: is told how many bytes the server's memory has taken.
    /// - Throws: `refused`, `busy` or `invalidArgument` where the server says no, `disconnected`, and what `read`
    ///   throws.
    public static func put(
        _ byteCount: UInt64, at offset: UInt64, _ options: Options,
        read: (inout MutableRawSpan, UInt64) throws(PeerMRError) -> Void, progress: (UInt64) -> Void
    ) throws(PeerMRError) -> TransferOutcome {
        let client = try DriveClient(options, .put, offset: offset, byteCount: byteCount)
        let chunks = client.chunks
        let began = monotonicNanoseconds()
        var next: UInt64 = 0
        var sent: UInt64 = 0
        var isOffered = [Bool](repeating: false, count: chunks.slotCount)
        var isLoaded = [Bool](repeating: false, count: chunks.slotCount)
        var isDone = false

        try client.run(until: { isDone }) { tag, completion throws(PeerMRError) in
            if tag.kind == .chunk {
                isLoaded[tag.slot] = false
                sent += 1
                progress(min(byteCount, sent * chunks.slotBytes))
            } else {
                let message = completion.immediate.flatMap(Message.init(immediate:))
                switch message {
                case .credit(let slot) where Int(slot) < chunks.slotCount: isOffered[Int(slot)] = true
                case .done where next == chunks.count: isDone = true
                case .waiting: break
                default: throw client.unexpected(message)
                }
            }
            while next < chunks.count, isOffered[chunks.slot(of: next)], !isLoaded[chunks.slot(of: next)] {
                let slot = chunks.slot(of: next)
                isOffered[slot] = false
                isLoaded[slot] = true
                try client.load(chunk: next, slot: slot, read)
                next += 1
            }
        }
        client.close()
        return TransferOutcome(
            client, byteCount: byteCount, seconds: Double(monotonicNanoseconds() - began) / 1e9)
    }

    /// Reads bytes from the server's drive.
    ///
    /// - Parameters:
    ///   - byteCount: how many; need not be a multiple of a block.
    ///   - offset: where in the server's range; a multiple of the drive's block.
    ///   - options: the server's address, and how much is under way at once.
    ///   - receive: takes the bytes, in order; the span is gone when it returns.
    ///   - progress: is told how many bytes have come.
    /// - Throws: `refused`, `busy` or `invalidArgument` where the server says no, `disconnected`, and what `receive`
    ///   throws.
    public static func get(
        _ byteCount: UInt64, at offset: UInt64, _ options: Options,
        receive: (RawSpan) throws(PeerMRError) -> Void, progress: (UInt64) -> Void
    ) throws(PeerMRError) -> TransferOutcome {
        let client = try DriveClient(options, .get, offset: offset, byteCount: byteCount)
        let chunks = client.chunks
        let began = monotonicNanoseconds()
        var received: UInt64 = 0
        var seconds = 0.0

        try client.run(until: { received == chunks.count }) { tag, completion throws(PeerMRError) in
            guard tag.kind == .receive else { return }
            let message = completion.immediate.flatMap(Message.init(immediate:))
            if case .waiting? = message { return }
            guard case .chunk(let slot, let sequence)? = message else { throw client.unexpected(message) }
            guard Int(slot) == chunks.slot(of: received), received < chunks.count,
                sequence == UInt16(truncatingIfNeeded: received),
                UInt64(completion.byteCount) == chunks.bytes(of: received)
            else { throw .outOfTurn("chunk \(sequence) of \(completion.byteCount) bytes in slot \(slot)") }
            try client.unload(chunk: received, slot: Int(slot), receive)
            received += 1
            if received == chunks.count { seconds = Double(monotonicNanoseconds() - began) / 1e9 }
            progress(min(byteCount, received * chunks.slotBytes))
            try client.link.send(.credit(slot: slot))
        }
        try client.drainMessages()
        client.close()
        return TransferOutcome(client, byteCount: byteCount, seconds: seconds)
    }
}
