// SPDX-License-Identifier: Apache-2.0

import CLinux
import Crypto
import PeerMR
import SystemPackage

/// What the client was told on its command line.
struct ClientOptions {
    var server: SocketAddress
    var source: SocketAddress?
    var slotBytes: UInt32
    var slotCount: UInt16
    var showsProgress: Bool
}

/// The client's end of one transfer: slots in host memory, and the connection.
final class Client {
    let welcome: Welcome
    let slots: PeerRegion
    let link: Link
    let chunks: Chunks
    private let events: EventChannel
    private let connection: Connection
    private let server: String
    private let signals: OwnedDescriptor

    /// Connects, and says what is wanted.
    init(
        _ options: ClientOptions, _ operation: Operation, offset: UInt64, byteCount: UInt64
    ) throws(CallError) {
        let server = options.server.description
        let signals = OwnedDescriptor(adopting: peermr_termination_descriptor())
        let events = try EventChannel()
        let connection = try Connection(events)
        try connection.resolve(options.server, from: options.source)
        guard let context = connection.context else {
            throw CallError(.notFound, reason: "no RDMA device leads to \(server)")
        }
        let domain = try ProtectionDomain(context)
        let slots = try PeerRegion.allocate(
            Int(options.slotBytes) * Int(options.slotCount), of: .host, on: domain,
            access: operation == .get ? [.localWrite, .remoteWrite] : [.localWrite])
        connection.setAcknowledgeTimeout(exponent: acknowledgeExponent)
        let link = try Link(connection, domain: domain, window: Int(options.slotCount))
        let hello = Hello(
            operation: operation, offset: offset, byteCount: byteCount,
            buffer: operation == .get
                ? RemoteSlice(address: slots.window.address, key: slots.window.remoteKey)
                : RemoteSlice(address: 0, key: 0),
            slotBytes: options.slotBytes, slotCount: options.slotCount)
        try connection.connect(privateData: hello.bytes)
        welcome = try Self.awaitWelcome(events, signals.rawValue, server)
        guard welcome.slotCount <= options.slotCount, welcome.slotBytes <= options.slotBytes else {
            throw .outOfTurn("more or larger slots than this client has")
        }
        chunks = Chunks(
            byteCount: byteCount, slotBytes: UInt64(welcome.slotBytes),
            slotCount: Int(welcome.slotCount), blockBytes: UInt64(welcome.blockBytes))
        self.slots = slots
        self.link = link
        self.events = events
        self.connection = connection
        self.server = server
        self.signals = signals
    }

    private static func awaitWelcome(
        _ events: EventChannel, _ signals: Int32, _ server: String
    ) throws(CallError) -> Welcome {
        let deadline = monotonicNanoseconds() + 30_000_000_000
        while monotonicNanoseconds() < deadline {
            guard let event = try events.next() else {
                let ready = (try? waitReadable([signals, events.descriptor, -1, -1], milliseconds: 500)) ?? 0
                if ready & 1 != 0 { throw .stopped }
                continue
            }
            switch event.kind {
            case .established:
                guard let welcome = Welcome(parsing: event.privateData) else {
                    throw .outOfTurn("\(server) is no nic-to-nvme of this version")
                }
                return welcome
            case .rejected:
                if let refusal = Refusal(parsing: event.privateData) {
                    throw refusal.explained(by: server)
                }
                // Reason 8 of the specification: no listener on that port (rdma/ib_cm.h, IB_CM_REJ_INVALID_SERVICE_ID).
                throw CallError(
                    .refused,
                    reason: event.status == 8
                        ? "nothing listens on \(server)" : "\(server) refuses the connection (reason \(event.status))",
                    remedy: "start nic-to-nvme serve there, or name its --port")
            default:
                throw CallError(
                    .peerLost, reason: "\(server) does not answer (\(event.kind), status \(event.status))",
                    remedy: "see whether it runs and the link is up (rdma link show)")
            }
        }
        throw CallError(
            .peerLost, reason: "\(server) does not answer", remedy: "see whether it runs and the link is up")
    }

    /// Ends the connection. Not needed after an error: letting go of the client does it too.
    func close() { connection.disconnect() }

    /// Handles completions until `isDone` says so.
    func run(
        until isDone: () -> Bool, _ body: (Tag, Completion) throws(CallError) -> Void
    ) throws(CallError) {
        var quietSince = monotonicNanoseconds()
        while !isDone() {
            if try link.take(body) {
                quietSince = monotonicNanoseconds()
                continue
            }
            try wait()
            try link.probe(afterSeconds: 2)
            if monotonicNanoseconds() - quietSince > 120_000_000_000 {
                throw CallError(
                    .peerLost, reason: "\(server) made no headway for two minutes",
                    remedy: "see what it printed")
            }
        }
    }

    private func wait() throws(CallError) {
        let ready: UInt8
        do {
            ready = try waitReadable(
                [signals.rawValue, events.descriptor, link.channel.descriptor, -1],
                milliseconds: 500)
        } catch {
            throw CallError(.system, call: "poll", errno: error, reason: "the client cannot wait")
        }
        if ready & 1 != 0 { throw .stopped }
        // Messages that came before the end of the connection are still in the queue: they say why.
        guard ready & 2 != 0, ready & 4 == 0, let event = try events.next() else { return }
        if event.kind == .disconnected || event.kind == .deviceRemoval {
            throw CallError(
                .peerLost, reason: "\(server) ended the connection in the middle of the transfer",
                remedy: "see what it printed, and repeat the transfer")
        }
    }

    /// Waits until the server's device has confirmed the last messages: ending the connection would lose them.
    func drainMessages() throws(CallError) {
        let link = link
        try run(until: { link.messagesInFlight == 0 }) { _, _ throws(CallError) in }
    }

    /// Reads a chunk of a file into a slot, and starts its way to the server.
    func load(_ file: FileDescriptor, chunk: UInt64, slot: Int) throws(CallError) {
        let count = Int(chunks.bytes(of: chunk))
        guard let bytes = unsafe slots.hostBytes(at: slot * Int(chunks.slotBytes), count: count) else {
            throw .outOfTurn("slot \(slot) does not exist")
        }
        var done = 0
        while done < count {
            let position = Int64(chunks.offset(of: chunk)) + Int64(done)
            let read: Int
            do {
                read = try unsafe file.read(
                    fromAbsoluteOffset: position,
                    into: UnsafeMutableRawBufferPointer(rebasing: bytes[done...]))
            } catch { throw .file((error as? Errno) ?? .ioError, "read") }
            guard read > 0 else {
                throw CallError(
                    .invalidArgument, reason: "the file became shorter while it was sent",
                    remedy: "send it again when nobody writes to it")
            }
            done += read
        }
        do {
            let entry = try slots.window.entry(
                at: UInt64(slot) * chunks.slotBytes, count: UInt64(count))
            try link.write(
                entry,
                to: RemoteSlice(
                    address: welcome.buffer.address &+ UInt64(slot) * chunks.slotBytes,
                    key: welcome.buffer.key), slot: slot, sequence: chunk)
        } catch let error as CallError {
            throw error
        } catch { throw .outOfTurn("slot \(slot) lies outside the slots") }
    }

    /// Hands a received chunk on: to the digest, and to a file where there is one.
    func unload(
        chunk: UInt64, slot: Int, to file: borrowing OutputFile?, _ digest: inout SHA256
    ) throws(CallError) {
        let count = Int(chunks.bytes(of: chunk))
        guard let bytes = unsafe slots.hostBytes(at: slot * Int(chunks.slotBytes), count: count) else {
            throw .outOfTurn("slot \(slot) does not exist")
        }
        unsafe digest.update(bufferPointer: UnsafeRawBufferPointer(bytes))
        switch file {
        case .some(let file): unsafe try file.append(UnsafeRawBufferPointer(bytes))
        case .none: break
        }
    }

    /// What a message from the server means for a transfer that goes on.
    func unexpected(_ message: Message?) -> CallError {
        if case .failed(let code, let errno)? = message {
            return Refusal(code, detail: UInt64(errno)).explained(by: server)
        }
        return .outOfTurn("an immediate that does not fit here")
    }
}

extension CallError {
    static let stopped = CallError(.refused, reason: "stopped before the transfer was whole")
}
