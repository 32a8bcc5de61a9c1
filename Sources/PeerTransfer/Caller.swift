// SPDX-License-Identifier: Apache-2.0

import PeerMR

/// A client until it is welcome: it asks for a connection, answers the challenge, and hears what is offered.
final class Caller {
    private let link: Link
    private let events: EventChannel
    private let stop: Int32
    private let server: String
    /// What has come together with the welcome, and belongs to the transfer.
    private(set) var early: [(Tag, Completion)] = []
    private static let patience: UInt64 = 30_000_000_000
    private let queued: (QueuePlace) -> Void

    init(
        link: Link, events: EventChannel, stop: Int32, server: String, queued: @escaping (QueuePlace) -> Void
    ) {
        self.link = link
        self.events = events
        self.stop = stop
        self.server = server
        self.queued = queued
    }

    /// Says what is wanted; with a key it proves that it has it, and believes no server that does not.
    func greet(_ hello: Hello, _ key: SharedKey?) throws(PeerMRError) -> Welcome {
        let preface = Preface()
        try link.connection.connect(privateData: preface.bytes)
        let challenge = try awaitChallenge()
        guard challenge.wantsKey || key == nil else { throw .serverHasNoKey(server) }
        guard !challenge.wantsKey || key != nil else { throw .serverWantsKey(server) }
        guard let ends = try link.ends() else { throw .unreachableServer(server) }
        let transcript = Transcript(preface: preface, challenge: challenge, client: ends.local, server: ends.remote)
        try link.send(transcript.seal(hello, key).bytes)
        let answer = try awaitAnswer()
        if let refusal = Refusal(parsing: answer) { throw refusal.explained(by: server) }
        guard let message = ProvenMessage(answer) else { throw .outOfTurn("a welcome that is none") }
        guard try transcript.isWelcomeProven(message, to: hello, key) else { throw .serverUnproven(server) }
        guard let welcome = Welcome(parsing: message.body) else { throw .outOfTurn("a welcome that is none") }
        return welcome
    }

    private func awaitChallenge() throws(PeerMRError) -> Challenge {
        let deadline = monotonicNanoseconds() + Self.patience
        while monotonicNanoseconds() < deadline {
            guard let event = try events.next() else {
                try wait(-1)
                continue
            }
            switch event.kind {
            case .established:
                guard let challenge = Challenge(parsing: event.privateData) else {
                    throw .outOfTurn("\(server) does not speak this protocol")
                }
                return challenge
            case .rejected:
                if let refusal = Refusal(parsing: event.privateData) {
                    throw refusal.explained(by: server)
                }
                throw .connectionRefused(result: event.status, server, event.status)
            default:
                throw .unansweredConnection(server, event.kind, event.status)
            }
        }
        throw .serverSilent(server)
    }

    /// The server's first message that is not about the queue. What was sent before the end is still there.
    private func awaitAnswer() throws(PeerMRError) -> [UInt8] {
        var deadline = monotonicNanoseconds() + Self.patience
        var answer: [UInt8]?
        while monotonicNanoseconds() < deadline {
            let link = link
            do {
                _ = try link.take { tag, completion throws(PeerMRError) in
                    if answer == nil, tag.kind == .receive {
                        if let place = QueuePlace(completion) {
                            // As long as the client is in the queue, the server says so every 10 s.
                            deadline = monotonicNanoseconds() + 2 * Self.patience
                            self.queued(place)
                            return
                        }
                        answer = link.message
                    } else {
                        self.early.append((tag, completion))
                    }
                }
            } catch {
                // A server that has refused ends the connection.
                guard answer != nil else { throw error }
            }
            if let answer { return answer }
            if let event = try events.next(), event.kind == .disconnected || event.kind == .deviceRemoval {
                throw .serverGone(server)
            }
            try wait(link.channel.descriptor)
        }
        throw .serverSilent(server)
    }

    private func wait(_ descriptor: Int32) throws(PeerMRError) {
        let ready: UInt8
        do {
            ready = try waitReadable([stop, events.descriptor, descriptor], milliseconds: 500)
        } catch { throw .waitFailed(error, "client") }
        if ready & 1 != 0 { throw .stopped }
    }
}

extension QueuePlace {
    /// What a message of the server says; nil for any other.
    fileprivate init?(_ completion: Completion) {
        guard completion.operation == .receive, let immediate = completion.immediate,
            case .queued(let position, let seconds)? = Message(immediate: immediate)
        else { return nil }
        self.init(position: Int(position), secondsLeft: Int(seconds))
    }
}
