// SPDX-License-Identifier: Apache-2.0

import PeerMR

/// A client between its connection request and its first slot. It has a queue pair, and nothing of the drive.
final class Greeting: Guest {
    /// How long a hello may take, in seconds: whoever only connects must not keep others out.
    static let patienceSeconds: UInt32 = 10

    let grant: Grant
    private let preface: Preface
    private let challenge: Challenge
    private let key: SharedKey?
    private let path: ConnectionPath?
    private let attention: Attention
    private let deadline = monotonicNanoseconds() + UInt64(patienceSeconds) * 1_000_000_000
    private var message: ProvenMessage?
    private var transcript: Transcript?
    private(set) var isEstablished = false
    /// Whether it has said something that does not belong here.
    private var isOutOfTurn = false
    /// Why it can be heard no more.
    private var loss: PeerMRError?
    /// When a client that was refused is disconnected: it is told why before.
    private var closeAt: UInt64?

    /// Accepts a connection request, with a challenge and nothing else.
    ///
    /// - Parameter path: where the queue pair is to lead.
    init(
        _ connection: Connection, client: String, grant: Grant, preface: Preface, path: ConnectionPath?,
        key: SharedKey?, domain: ProtectionDomain, window: Int, shared: SharedQueue, seat: Seat, _ attention: Attention
    ) throws(PeerMRError) {
        self.grant = grant
        self.preface = preface
        self.path = path
        self.key = key
        self.attention = attention
        challenge = Challenge(wantsKey: key != nil, patienceSeconds: Self.patienceSeconds)
        connection.setAcknowledgeTimeout(exponent: acknowledgeExponent)
        let link = try Link(connection, domain: domain, window: window, shared: shared, seat: seat)
        super.init(client: client, connection: connection, link: link)
        try connection.accept(privateData: challenge.bytes, outstandingReads: 0)
    }

    override func take(_ tag: Tag, _ completion: Completion) throws(PeerMRError) {
        guard tag.kind == .receive, !isLeaving else { return }
        attention.hasGreeting = true
        if let message = ProvenMessage(link.message), self.message == nil {
            self.message = message
        } else {
            isOutOfTurn = true
        }
    }

    override func fail(_ error: PeerMRError) {
        if loss == nil { loss = error }
        attention.hasGreeting = true
    }

    /// The connection stands: what has come on it counts.
    func establish() {
        isEstablished = true
        attention.hasGreeting = true
    }

    /// Whether it was refused, and waits for the client to go.
    var isLeaving: Bool { closeAt != nil }
    /// Whether its client has been told for long enough.
    func isOver(_ now: UInt64) -> Bool { closeAt.map { now >= $0 } ?? false }

    /// What the client wants, when it has said so and proven that it may.
    ///
    /// - Returns: nil before that.
    /// - Throws: the refusal to answer with; `system` and `disconnected` where it cannot be heard any more.
    func hear(_ now: UInt64) throws(PeerMRError) -> Result<Hello, Refusal>? {
        try checkLoss()
        // Messages that are faster than the news of the connection wait until then.
        guard !isLeaving else { return nil }
        if isEstablished {
            if isOutOfTurn { return .failure(Refusal(.outOfTurn)) }
            if let message {
                do throws(Refusal) { return .success(try check(message)) } catch { return .failure(error) }
            }
        }
        return now >= deadline ? .failure(Refusal(.silent)) : nil
    }

    /// Looks after a client that has said all, and waits for its turn.
    ///
    /// - Throws: the refusal to answer with where it has not just waited; ``checkLoss()`` says whether it is there.
    func checkPatience() throws(Refusal) {
        if isOutOfTurn { throw Refusal(.outOfTurn) }
    }

    /// - Throws: `system` and `disconnected` where the client cannot be heard any more.
    func checkLoss() throws(PeerMRError) { if let loss { throw loss } }

    private func check(_ message: ProvenMessage) throws(Refusal) -> Hello {
        let isProven: Bool
        do {
            guard let ends = try link.ends() else { throw Refusal(.noPath) }
            // What the device has is what the connection manager said it would be.
            guard path == nil || ends == path else { throw Refusal(.otherAddress) }
            let transcript = Transcript(
                preface: preface, challenge: challenge, client: ends.remote, server: ends.local)
            self.transcript = transcript
            isProven = try transcript.isHelloProven(message, key)
        } catch let refusal as Refusal { throw refusal } catch { throw Refusal(.noMemory) }
        guard isProven else { throw Refusal(key == nil ? .malformed : .wrongKey, detail: UInt64(wireVersion)) }
        return try Hello(parsing: message.body)
    }

    /// Offers what the client has asked for.
    func answer(_ hello: Hello, with welcome: Welcome) throws(PeerMRError) {
        guard let transcript else { return }
        try link.send(transcript.seal(welcome, to: hello, key).bytes)
    }

    /// Tells the client why it is not served.
    func refuse(_ refusal: Refusal) {
        closeAt = monotonicNanoseconds() + 1_000_000_000
        // To a connection that is gone nothing can be sent.
        if isEstablished { try? link.send(refusal.bytes) } else { closeAt = 0 }
    }
}
