// SPDX-License-Identifier: Apache-2.0

import CFakeVerbs
import PeerMR
import Testing

@testable import PeerTransfer

/// A client that says what a test wants, when it wants it.
final class ScriptedClient {
    let events: EventChannel
    let connection: Connection
    let slots: PeerRegion
    let link: Link
    private(set) var challenge: Challenge?
    private(set) var welcome: Welcome?
    private(set) var refusal: Refusal?
    private(set) var isOver = false
    private(set) var messages: [Message] = []
    /// The slots whose chunks the own device has sent, in order.
    private(set) var sent: [Int] = []
    /// The immediates of the chunks that have come.
    private(set) var chunks: [UInt32] = []
    /// What the device said, where it was no success.
    private(set) var failure: PeerMRError?
    /// Changes the hello with its proof before it is sent.
    var spoil: ((inout ProvenMessage) -> Void)?
    private let preface = Preface()
    private var hello: Hello?
    private var key: SharedKey?

    init(_ bed: SessionBed, slotCount: Int = 4) throws {
        events = try EventChannel()
        connection = try Connection(events)
        try connection.resolve(SessionBed.address)
        let domain = try ProtectionDomain(try #require(connection.context))
        slots = try PeerRegion.allocate(
            4096 * slotCount, of: .host, on: domain, access: [.localWrite, .remoteWrite])
        link = try Link(connection, domain: domain, window: slotCount)
    }

    func hello(
        _ operation: PeerTransfer.Operation, _ byteCount: UInt64, at offset: UInt64 = 0, waits: UInt32 = 0
    ) -> Hello {
        Hello(
            operation: operation, offset: offset, byteCount: byteCount,
            buffer: RemoteAddress(address: slots.keys.address, key: slots.keys.remoteKey), slotBytes: 4096,
            slotCount: 4, queueSeconds: waits)
    }

    /// Asks for a connection; when it is accepted, ``listen()`` says the hello.
    func connect(_ hello: Hello?, key: SharedKey? = nil) throws(PeerMRError) {
        self.hello = hello
        self.key = key
        try connection.connect(privateData: preface.bytes)
    }

    private func answer(_ challenge: Challenge) throws {
        self.challenge = challenge
        guard let hello, let ends = try link.ends() else { return }
        let transcript = Transcript(preface: preface, challenge: challenge, client: ends.local, server: ends.remote)
        var message = try transcript.seal(hello, key)
        spoil?(&message)
        try link.send(message.bytes)
    }

    /// Takes what has come.
    func listen() throws {
        while let event = try events.next() {
            switch event.kind {
            case .established: try answer(#require(Challenge(parsing: event.privateData)))
            case .rejected:
                refusal = Refusal(parsing: event.privateData)
                isOver = true
            case .disconnected: isOver = true
            default: break
            }
        }
        guard failure == nil else { return }
        do throws(PeerMRError) {
            _ = try link.take { tag, completion in
                if tag.kind == .chunk { sent.append(tag.slot) }
                guard tag.kind == .receive else { return }
                if completion.immediate == nil {
                    refusal = Refusal(parsing: link.message)
                    welcome = ProvenMessage(link.message).flatMap { Welcome(parsing: $0.body) }
                }
                if completion.operation == .receiveWriteWithImmediate {
                    chunks.append(completion.immediate ?? 0)
                } else if let message = completion.immediate.flatMap(Message.init(immediate:)) {
                    messages.append(message)
                }
            }
        } catch { failure = error }
    }

    /// Writes bytes of its slot into the server's, and says so.
    func write(slot: Int, sequence: UInt64, byteCount: UInt64 = 4096, digest: UInt32? = nil) throws {
        let welcome = try #require(welcome)
        try link.write(
            slots.keys.element(at: UInt64(slot) * 4096, count: byteCount),
            to: RemoteAddress(address: welcome.buffer.address + UInt64(slot) * 4096, key: welcome.buffer.key),
            slot: slot, immediate: digest ?? UInt32(truncatingIfNeeded: sequence))
    }
}
