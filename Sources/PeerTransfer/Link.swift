// SPDX-License-Identifier: Apache-2.0

import PeerMR
import SystemPackage

/// What a work request was for: the kind and the slot, in the low 40 bits of its request ID. Above them stands whose it
/// is, where several connections share a completion queue (``Seat``).
struct Tag: Equatable {
    enum Kind: UInt8 {
        case receive, message, chunk, arrival, probe
    }

    var kind: Kind
    var slot: Int

    var requestID: UInt64 { UInt64(kind.rawValue) << 32 | UInt64(UInt32(slot)) }

    init(_ kind: Kind, slot: Int = 0) {
        self.kind = kind
        self.slot = slot
    }

    init?(requestID: UInt64) {
        guard let kind = Kind(rawValue: UInt8(truncatingIfNeeded: requestID >> 32)) else { return nil }
        self.init(kind, slot: Int(UInt32(truncatingIfNeeded: requestID)))
    }
}

extension CompletionQueue {
    /// Takes what is there, up to a full queue's worth: what `body` posts may complete at once, and after that the
    /// caller looks elsewhere.
    ///
    /// - Parameter body: is given each completion, and when its batch was taken.
    /// - Returns: whether there was anything.
    /// - Throws: the errno of the queue, which is of no use any more.
    func take(
        into batch: inout CompletionBatch, _ body: (Completion, UInt64) throws(PeerMRError) -> Void
    ) throws(PeerMRError) -> Bool {
        var left = capacity
        while left > 0 {
            let count: Int
            do { count = try poll(into: &batch) } catch { throw .post("ibv_poll_cq", error) }
            if count == 0 { break }
            left -= count
            let now = monotonicNanoseconds()
            for index in 0..<count { try body(batch[index], now) }
        }
        return left < capacity
    }
}

/// One connection with its queues, the same on both sides: messages out, completions in, and a probe for silence.
final class Link {
    let connection: Connection
    let domain: ProtectionDomain
    let queue: CompletionQueue
    let channel: CompletionChannel
    var queuePair: QueuePair
    private var batch = CompletionBatch(capacity: 32)
    private var lastSign = monotonicNanoseconds()
    private var isProbing = false
    /// What its request IDs have besides the tag.
    let seat: Seat
    /// Where messages with bytes arrive, one place for each receive, and behind them the place that one is sent from.
    private let places: PeerRegion
    private let receives: Int
    /// The last message with bytes that has come.
    private(set) var message: [UInt8] = []
    /// Messages whose arrival the peer's device has not yet confirmed.
    private(set) var messagesInFlight = 0
    /// The request that has failed, or the first that was flushed where none is known: the queue pair carries nothing
    /// any more, and what has come is still in the queue.
    private(set) var broken: Completion?
    var isBroken: Bool { broken != nil }

    /// Makes the queues for `window` chunks in flight, and posts the receives for the peer's messages.
    ///
    /// - Parameters:
    ///   - shared: the queue that all connections of a server share. Receives are then posted for what a client may say
    ///     before it is served, and the others by ``open()``.
    ///   - seat: what tells them apart there.
    init(
        _ connection: Connection, domain: ProtectionDomain, window: Int, shared: SharedQueue? = nil,
        seat: Seat = .only
    ) throws(PeerMRError) {
        receives = Self.requests(window)
        self.connection = connection
        self.domain = domain
        self.seat = seat
        if let shared {
            (channel, queue) = (shared.channel, shared.queue)
        } else {
            channel = try CompletionChannel(domain.context)
            queue = try CompletionQueue(domain.context, capacity: Self.completions(window: window), channel: channel)
        }
        places = try PeerRegion.allocate(
            (receives + 1) * Self.messageBytes, of: .host, on: domain, access: [.localWrite])
        queuePair = try QueuePair(
            for: connection, domain: domain, sendQueue: queue, receiveQueue: queue,
            capacity: QueuePairCapacity(sends: receives, receives: receives))
        try openReceives(0..<(shared == nil ? receives : Self.earlyReceives))
        if shared == nil { try request() }
    }

    /// Sends, and receives, that can be outstanding with so many chunks in flight.
    private static func requests(_ window: Int) -> Int { 2 * window + 8 }

    /// The completions that there can be at once: of sends, of receives, and of the reads that make sure of arrivals.
    static func completions(window: Int) -> Int { 2 * requests(window) + window }

    /// Receives, and completions, of a client that is not served yet.
    static let earlyReceives = 4
    static let earlyCompletions = 16

    /// Posts the receives that a transfer needs.
    func open() throws(PeerMRError) { try openReceives(Self.earlyReceives..<receives) }

    private func openReceives(_ indexes: Range<Int>) throws(PeerMRError) {
        for index in indexes { try postReceive(index) }
    }

    /// The longest message, in bytes.
    static let messageBytes = 128

    private func place(_ index: Int, count: Int = messageBytes) throws(PeerMRError) -> ScatterGatherElement {
        do {
            return try places.keys.element(at: UInt64(index * Self.messageBytes), count: UInt64(count))
        } catch { throw .chunkOutsideRegion(UInt64(index), "\(error)") }
    }

    private func postReceive(_ index: Int) throws(PeerMRError) {
        let place = try place(index)
        do {
            try queuePair.postReceive(place, requestID: seat.bits | Tag(.receive, slot: index).requestID)
        } catch { throw .post("ibv_post_recv", error) }
    }

    /// Sends a message with bytes; the one before it must have been confirmed.
    func send(_ bytes: [UInt8]) throws(PeerMRError) {
        let place = try place(receives, count: bytes.count)
        unsafe places.hostBytes(at: receives * Self.messageBytes, count: bytes.count)?.copyBytes(from: bytes)
        do {
            try queuePair.postSend(place, requestID: seat.bits | Tag(.message).requestID)
            messagesInFlight += 1
        } catch { throw .post(error) }
    }

    /// Copies a message before its place is used again.
    private func keep(_ completion: Completion, _ index: Int) {
        guard completion.immediate == nil, completion.operation == .receive,
            let bytes = unsafe places.hostBytes(
                at: index * Self.messageBytes, count: min(Int(completion.byteCount), Self.messageBytes))
        else {
            if !message.isEmpty { message = [] }
            return
        }
        message = unsafe Array(UnsafeRawBufferPointer(bytes))
    }

    private func request() throws(PeerMRError) {
        do { try queue.requestNotification() } catch { throw .post("ibv_req_notify_cq", error) }
    }

    func send(_ message: Message) throws(PeerMRError) {
        do {
            try queuePair.postSend(
                immediate: message.immediate, requestID: seat.bits | Tag(.message).requestID)
            messagesInFlight += 1
        } catch { throw .post(error) }
    }

    func write(
        _ entry: ScatterGatherElement, to remote: RemoteAddress, slot: Int, immediate: UInt32
    ) throws(PeerMRError) {
        do {
            try queuePair.postWrite(
                entry, to: remote, immediate: immediate,
                requestID: seat.bits | Tag(.chunk, slot: slot).requestID)
        } catch { throw .post(error) }
    }

    /// Takes all completions that are there, and asks to be woken for the next. For a queue of its own.
    ///
    /// - Returns: whether `body` was called for any: what a probe brings is a sign of life, but no headway.
    func take(_ body: (Tag, Completion) throws(PeerMRError) -> Void) throws(PeerMRError) -> Bool {
        channel.drain()
        // What has come counts, whatever else fails.
        var failure: PeerMRError?
        do throws(PeerMRError) { try request() } catch { failure = error }
        var (isHeadway, hasFailed) = (false, false)
        _ = try queue.take(into: &batch) { completion, now throws(PeerMRError) in
            if completion.status != .success { hasFailed = true }
            if try handle(completion, at: now, body) { isHeadway = true }
        }
        if hasFailed, let broken { throw .lost(broken) }
        if let failure { throw failure }
        return isHeadway
    }

    /// Takes one completion of this connection; one that is no success is remembered as ``broken``.
    ///
    /// - Returns: whether `body` was called.
    func handle(
        _ completion: Completion, at now: UInt64, _ body: (Tag, Completion) throws(PeerMRError) -> Void
    ) throws(PeerMRError) -> Bool {
        guard completion.status == .success else {
            // Receives are flushed first; the request that broke the queue pair stands behind them, and says more.
            if broken.map({ $0.status == .flushed }) ?? true { broken = completion }
            return false
        }
        lastSign = now
        guard let tag = Tag(requestID: completion.requestID) else { return false }
        switch tag.kind {
        case .receive:
            guard tag.slot < receives else { return false }
            keep(completion, tag.slot)
            try body(tag, completion)
            if !isBroken { try postReceive(tag.slot) }
            return true
        case .chunk, .arrival:
            try body(tag, completion)
            return true
        case .probe: isProbing = false
        case .message: messagesInFlight -= 1
        }
        return false
    }

    /// Whether the path carries what the slots need, in packets that the own port can send.
    ///
    /// The client's end chooses the path MTU by its own port alone.
    func checkPath(_ constraint: TransferConstraint) throws(PeerMRError) {
        try queuePair.check(constraint)
        let path = try queuePair.pathMTU().bytes
        let own = try domain.context.port(connection.portNumber).mtuBytes
        guard own > 0, path > own else { return }
        throw .smallerMTU(path, own)
    }

    /// The largest packets that both ends can send, in bytes; 0 where unknown.
    var usableMTU: Int {
        let path = (try? queuePair.pathMTU().bytes) ?? 0
        let own = (try? domain.context.port(connection.portNumber).mtuBytes) ?? 0
        return own > 0 ? min(path, own) : path
    }

    /// Asks the peer's device for a sign of life after a silence; a dead one shows as a failed completion.
    func probe(afterSeconds seconds: Int) throws(PeerMRError) {
        let silence = monotonicNanoseconds() - lastSign
        guard !isProbing, silence > UInt64(seconds) * 1_000_000_000 else { return }
        isProbing = true
        do { try queuePair.postProbe(requestID: seat.bits | Tag(.probe).requestID) } catch { throw .post(error) }
    }
}
