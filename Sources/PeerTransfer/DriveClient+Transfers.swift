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
    ///   - offset: where in the client's range; a multiple of the drive's block.
    ///   - options: the server's address, and how much is under way at once.
    ///   - read: fills a span with the bytes from an offset in `0..<byteCount` on; called in order, once for each.
    ///   - progress: is told how many bytes the server's memory has taken.
    /// - Throws: `refused`, `busy` or `invalidArgument` where the server says no, `disconnected`, `dataMismatch` where
    ///   the server has seen that bytes were changed on their way, and what `read` throws.
    public static func put(
        _ byteCount: UInt64, at offset: UInt64, _ options: Options,
        read: (inout MutableRawSpan, UInt64) throws(PeerMRError) -> Void, progress: (UInt64) -> Void
    ) throws(PeerMRError) -> TransferOutcome {
        let client = try DriveClient(options, .put, offset: offset, byteCount: byteCount)
        let seconds = try client.sendAll(read, progress: progress) { _ in }
        client.close()
        return TransferOutcome(client, byteCount: byteCount, seconds: seconds)
    }

    /// Writes bytes to the server's drive, and reads them back in the same session: no other client comes in between.
    ///
    /// Every chunk that comes back must have the CRC32C that it had when it was sent.
    ///
    /// - Parameters:
    ///   - byteCount: how many; need not be a multiple of a block.
    ///   - offset: where in the client's range; a multiple of the drive's block.
    ///   - options: the server's address, and how much is under way at once.
    ///   - read: fills a span with the bytes from an offset in `0..<byteCount` on; called in order, once for each.
    ///   - progress: is told how many bytes the server's memory has taken.
    ///   - receive: takes the bytes that came back, in order; the span is gone when it returns.
    ///   - receiveProgress: is told how many bytes have come back.
    /// - Returns: the outcome of the put alone; the time of reading back is not in it.
    /// - Throws: what ``put(_:at:_:read:progress:)`` throws, `dataMismatch` where other bytes come back, and what
    ///   `receive` throws.
    public static func putAndReadBack(
        _ byteCount: UInt64, at offset: UInt64, _ options: Options,
        read: (inout MutableRawSpan, UInt64) throws(PeerMRError) -> Void, progress: (UInt64) -> Void,
        receive: (RawSpan) throws(PeerMRError) -> Void, receiveProgress: (UInt64) -> Void
    ) throws(PeerMRError) -> TransferOutcome {
        let client = try DriveClient(options, .put, offset: offset, byteCount: byteCount, isReadBack: true)
        var digests: [UInt32] = []
        let seconds = try client.sendAll(read, progress: progress) { digests.append($0) }
        try client.link.send(.readBack)
        try client.receiveAll(digests, receive, progress: receiveProgress)
        try client.drainMessages()
        client.close()
        return TransferOutcome(client, byteCount: byteCount, seconds: seconds)
    }

    /// Sends all chunks, and waits for the acknowledgement and until the own device is through with the slots.
    ///
    /// - Returns: the time until the acknowledgement, in seconds.
    private func sendAll(
        _ read: (inout MutableRawSpan, UInt64) throws(PeerMRError) -> Void, progress: (UInt64) -> Void,
        digest: (UInt32) -> Void
    ) throws(PeerMRError) -> Double {
        let began = monotonicNanoseconds()
        var next: UInt64 = 0
        var sent: UInt64 = 0
        var isOffered = [Bool](repeating: false, count: chunks.slotCount)
        var isLoaded = [Bool](repeating: false, count: chunks.slotCount)
        var seconds: Double?

        let isThrough = { seconds != nil && (sent == self.chunks.count || !self.isReadBack) }
        try run(until: isThrough) { tag, completion throws(PeerMRError) in
            if tag.kind == .chunk {
                isLoaded[tag.slot] = false
                sent += 1
                progress(min(chunks.byteCount, sent * chunks.slotBytes))
            } else {
                let message = completion.immediate.flatMap(Message.init(immediate:))
                switch message {
                case .credit(let slot) where Int(slot) < chunks.slotCount: isOffered[Int(slot)] = true
                case .done where next == chunks.count && seconds == nil:
                    seconds = Double(monotonicNanoseconds() - began) / 1e9
                case .waiting: break
                default: throw unexpected(message)
                }
            }
            while next < chunks.count, isOffered[chunks.slot(of: next)], !isLoaded[chunks.slot(of: next)] {
                let slot = chunks.slot(of: next)
                isOffered[slot] = false
                isLoaded[slot] = true
                digest(try load(chunk: next, slot: slot, read))
                next += 1
            }
        }
        return seconds ?? 0
    }

    /// Reads bytes from the server's drive.
    ///
    /// - Parameters:
    ///   - byteCount: how many; need not be a multiple of a block.
    ///   - offset: where in the client's range; a multiple of the drive's block.
    ///   - options: the server's address, and how much is under way at once.
    ///   - receive: takes the bytes, in order; the span is gone when it returns.
    ///   - progress: is told how many bytes have come.
    /// - Throws: `refused`, `busy` or `invalidArgument` where the server says no, `disconnected`, `dataMismatch` where
    ///   the server knows the chunks' digests and other bytes come, and what `receive` throws.
    public static func get(
        _ byteCount: UInt64, at offset: UInt64, _ options: Options,
        receive: (RawSpan) throws(PeerMRError) -> Void, progress: (UInt64) -> Void
    ) throws(PeerMRError) -> TransferOutcome {
        let client = try DriveClient(options, .get, offset: offset, byteCount: byteCount)
        let began = monotonicNanoseconds()
        try client.receiveAll(nil, receive, progress: progress)
        let seconds = Double(monotonicNanoseconds() - began) / 1e9
        try client.drainMessages()
        client.close()
        return TransferOutcome(client, byteCount: byteCount, seconds: seconds)
    }
}
