// SPDX-License-Identifier: Apache-2.0

public import PeerMR
import SystemPackage

/// A client's place in the queue of a server.
public struct QueuePlace: Hashable, Sendable {
    /// 1 for the next to be served.
    public let position: Int
    /// How long the client still waits, in seconds.
    public let secondsLeft: Int
}

/// A client of a ``DriveServer``: one transfer each, from or into memory of the host.
///
/// ``put(_:at:_:read:progress:)`` and ``get(_:at:_:receive:progress:)`` are all that an application needs.
public final class DriveClient {
    /// How a client finds its server, and what it brings along.
    public struct Options: Sendable {
        /// The server.
        public var server: SocketAddress
        /// The own address to connect from; nil to let the routing table choose.
        public var source: SocketAddress?
        /// The size of a slot, in bytes: whole pages. The server may choose a smaller one.
        public var slotBytes: UInt32
        /// How many slots: how many chunks are in flight. The server may choose fewer.
        public var slotCount: UInt16
        /// What the server must have, too: both prove it; nil for servers without a key.
        public var key: SharedKey?
        /// How long to wait for a turn where the server serves as many others as it can, in seconds; 0 not to wait.
        public var queueSeconds: UInt32
        /// How long the server may wait for this client in the middle of a transfer, in seconds; 0 for the server's own
        /// limit, which counts where it is shorter.
        public var idleSeconds: UInt32
        /// Is told how many are served before this client, each time that the server says so.
        public var queued: @Sendable (QueuePlace) -> Void
        /// A descriptor that becomes readable when the transfer is to stop; negative for none. Not closed.
        public var stop: Int32

        /// Options given one by one.
        public init(
            server: SocketAddress, source: SocketAddress? = nil, slotBytes: UInt32 = 256 << 10,
            slotCount: UInt16 = 8, key: SharedKey? = nil, queueSeconds: UInt32 = 300, idleSeconds: UInt32 = 0,
            stop: Int32 = -1, queued: @escaping @Sendable (QueuePlace) -> Void = { _ in }
        ) {
            self.server = server
            self.source = source
            self.slotBytes = slotBytes
            self.slotCount = slotCount
            self.key = key
            self.queueSeconds = queueSeconds
            self.idleSeconds = idleSeconds
            self.queued = queued
            self.stop = stop
        }
    }

    let welcome: Welcome
    let slots: PeerRegion
    let link: Link
    let chunks: Chunks
    let isReadBack: Bool
    private let offset: UInt64
    private let events: EventChannel
    private let connection: Connection
    private let server: String
    private let stop: Int32
    /// What came together with the welcome.
    private var early: [(Tag, Completion)]

    /// Connects, and says what is wanted.
    init(
        _ options: Options, _ operation: Operation, offset: UInt64, byteCount: UInt64, isReadBack: Bool = false
    ) throws(PeerMRError) {
        let isWritten = operation == .get || isReadBack
        let server = options.server.description
        let events = try EventChannel()
        let connection = try Connection(events)
        do throws(PeerMRError) {
            try connection.resolve(options.server, from: options.source, stop: options.stop)
        } catch {
            throw isReadable(options.stop) ? .stopped : error
        }
        guard let context = connection.context else {
            throw .unreachableServer(server)
        }
        let domain = try ProtectionDomain(context)
        connection.setAcknowledgeTimeout(exponent: acknowledgeExponent)
        let link = try Link(connection, domain: domain, window: Int(options.slotCount))
        let slots = try PeerRegion.allocate(
            Int(options.slotBytes) * Int(options.slotCount), of: .host, on: domain,
            access: isWritten ? [.localWrite, .remoteWrite] : [.localWrite])
        let hello = Hello(
            operation: operation, offset: offset, byteCount: byteCount,
            buffer: isWritten
                ? RemoteAddress(address: slots.keys.address, key: slots.keys.remoteKey)
                : RemoteAddress(address: 0, key: 0),
            slotBytes: options.slotBytes, slotCount: options.slotCount, isReadBack: isReadBack,
            queueSeconds: options.queueSeconds, idleSeconds: options.idleSeconds)
        let caller = Caller(
            link: link, events: events, stop: options.stop, server: server, queued: options.queued)
        welcome = try caller.greet(hello, options.key)
        early = caller.early
        guard welcome.slotCount <= options.slotCount, welcome.slotBytes <= options.slotBytes else {
            throw .outOfTurn("more or larger slots than this client has")
        }
        chunks = Chunks(
            byteCount: byteCount, slotBytes: UInt64(welcome.slotBytes),
            slotCount: Int(welcome.slotCount), blockBytes: UInt64(welcome.blockBytes))
        self.offset = offset
        self.isReadBack = isReadBack
        self.slots = slots
        self.link = link
        self.events = events
        self.connection = connection
        self.server = server
        stop = options.stop
    }

    /// Ends the connection. Not needed after an error: letting go of the client does it too.
    func close() { connection.disconnect() }

    /// Handles completions until `isDone` says so.
    func run(
        until isDone: () -> Bool, _ body: (Tag, Completion) throws(PeerMRError) -> Void
    ) throws(PeerMRError) {
        do throws(PeerMRError) { try loop(until: isDone, body) } catch { throw cause(of: error) }
    }

    /// How long the server's last word is waited for when the connection has failed.
    private static let lastWordNanoseconds: UInt64 = 1_000_000_000

    /// What is behind an error: a device that is gone fails in many ways, and the server may know why a request has
    /// failed. Its last word comes on another way than the device's, and may come after it.
    private func cause(of error: PeerMRError) -> PeerMRError {
        let deadline = monotonicNanoseconds() + Self.lastWordNanoseconds
        var isOver = !link.isBroken
        while true {
            while let event = try? events.next() {
                if event.kind == .deviceRemoval { return .deviceRemoved(link.domain.context.device) }
                isOver = isOver || event.kind == .disconnected
            }
            var word: PeerMRError?
            if link.isBroken {
                _ = try? link.take { tag, completion throws(PeerMRError) in
                    guard tag.kind == .receive, case .failed? = completion.immediate.flatMap(Message.init(immediate:))
                    else { return }
                    word = unexpected(completion.immediate.flatMap(Message.init(immediate:)))
                }
            }
            if let word { return word }
            if isOver || monotonicNanoseconds() >= deadline { return error }
            _ = try? waitReadable([events.descriptor, link.channel.descriptor], milliseconds: 100)
        }
    }

    private func loop(
        until isDone: () -> Bool, _ body: (Tag, Completion) throws(PeerMRError) -> Void
    ) throws(PeerMRError) {
        var quietSince = monotonicNanoseconds()
        while !early.isEmpty {
            let (tag, completion) = early.removeFirst()
            try body(tag, completion)
        }
        while !isDone() {
            let isHeadway = try link.take(body)
            if isHeadway { quietSince = monotonicNanoseconds() }
            // Once all is there, the server may end the connection.
            if isDone() { return }
            // A busy client looks too whether it is to stop.
            try wait(isHeadway ? 0 : 500)
            if isHeadway { continue }
            try link.probe(afterSeconds: 2)
            if monotonicNanoseconds() - quietSince > 120_000_000_000 {
                throw .serverStuck(server)
            }
        }
    }

    private func wait(_ milliseconds: Int32) throws(PeerMRError) {
        let ready: UInt8
        do {
            ready = try waitReadable(
                [stop, events.descriptor, link.channel.descriptor],
                milliseconds: milliseconds)
        } catch {
            throw .waitFailed(error, "client")
        }
        if ready & 1 != 0 { throw .stopped }
        // Messages that came before the end of the connection are still in the queue: they say why.
        guard ready & 2 != 0, ready & 4 == 0, let event = try events.next() else { return }
        if event.kind == .deviceRemoval { throw .deviceRemoved(link.domain.context.device) }
        if event.kind == .disconnected { throw .serverGone(server) }
    }

    /// Waits until the server's device has confirmed the last messages: ending the connection would lose them.
    func drainMessages() throws(PeerMRError) {
        let link = link
        try run(until: { link.messagesInFlight == 0 }) { _, _ throws(PeerMRError) in }
    }

    /// Lets the application fill a slot, and starts its way to the server.
    ///
    /// - Returns: the chunk's digest.
    func load(
        chunk: UInt64, slot: Int, _ read: (inout MutableRawSpan, UInt64) throws(PeerMRError) -> Void
    ) throws(PeerMRError) -> UInt32 {
        let count = Int(chunks.bytes(of: chunk))
        guard let bytes = unsafe slots.hostBytes(at: slot * Int(chunks.slotBytes), count: count) else {
            throw .outOfTurn("slot \(slot) does not exist")
        }
        var span = unsafe bytes.mutableBytes
        try read(&span, chunks.offset(of: chunk))
        let entry: ScatterGatherElement
        do {
            entry = try slots.keys.element(at: UInt64(slot) * chunks.slotBytes, count: UInt64(count))
        } catch { throw .outOfTurn("slot \(slot) lies outside the slots") }
        let target = RemoteAddress(
            address: welcome.buffer.address &+ UInt64(slot) * chunks.slotBytes, key: welcome.buffer.key)
        let digest = ChunkDigest.of(span.bytes, at: offset &+ chunks.offset(of: chunk))
        try link.write(entry, to: target, slot: slot, immediate: digest)
        return digest
    }

    /// Compares a received chunk with its digest, where that is known, and hands it to the application.
    func unload(
        chunk: UInt64, expected: UInt32?, _ receive: (RawSpan) throws(PeerMRError) -> Void
    ) throws(PeerMRError) {
        let count = Int(chunks.bytes(of: chunk))
        let slot = chunks.slot(of: chunk)
        guard let bytes = unsafe slots.hostBytes(at: slot * Int(chunks.slotBytes), count: count) else {
            throw .outOfTurn("slot \(slot) does not exist")
        }
        let span = unsafe UnsafeRawBufferPointer(bytes).bytes
        if let expected {
            let place = offset &+ chunks.offset(of: chunk)
            let digest = ChunkDigest.of(span, at: place)
            guard digest == expected else { throw .otherBytesCame(place, digest, expected) }
        }
        try receive(span)
    }

    /// Takes all chunks in order, and gives their slots back.
    ///
    /// - Parameter digests: what the chunks must have; nil for what the server says, if it knows.
    func receiveAll(
        _ digests: [UInt32]?, _ receive: (RawSpan) throws(PeerMRError) -> Void, progress: (UInt64) -> Void
    ) throws(PeerMRError) {
        var received: UInt64 = 0
        try run(until: { received == chunks.count }) { tag, completion throws(PeerMRError) in
            guard tag.kind == .receive else { return }
            guard completion.operation == .receiveWriteWithImmediate, let immediate = completion.immediate else {
                let message = completion.immediate.flatMap(Message.init(immediate:))
                if case .waiting? = message { return }
                throw unexpected(message)
            }
            guard received < chunks.count, UInt64(completion.byteCount) == chunks.bytes(of: received),
                welcome.hasDigests || immediate == UInt32(truncatingIfNeeded: received)
            else { throw .outOfTurn("chunk \(immediate) of \(completion.byteCount) bytes") }
            let expected = digests?[Int(received)] ?? (welcome.hasDigests ? immediate : nil)
            try unload(chunk: received, expected: expected, receive)
            let slot = chunks.slot(of: received)
            received += 1
            progress(min(chunks.byteCount, received * chunks.slotBytes))
            try link.send(.credit(slot: UInt16(slot)))
        }
    }

    /// What a message from the server means for a transfer that goes on.
    func unexpected(_ message: Message?) -> PeerMRError {
        if case .failed(let code, let errno)? = message {
            return Refusal(code, detail: UInt64(errno)).explained(by: server)
        }
        return .outOfTurn("an immediate that does not fit here")
    }
}
