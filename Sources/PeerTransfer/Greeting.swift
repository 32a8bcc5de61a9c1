// SPDX-License-Identifier: Apache-2.0

import PeerMR

/// A client between its connection request and its hello. It has a queue pair, and nothing of the drive.
final class Greeting {
    /// How long a hello may take, in seconds, and how many clients may be this far at once: whoever only connects must
    /// not keep others out.
    static let patienceSeconds: UInt32 = 10
    static let limit = 16

    let connection: Connection
    let client: String
    let grant: Grant
    let link: Link
    private let preface: Preface
    private let challenge: Challenge
    private let key: SharedKey?
    private let path: ConnectionPath?
    private let deadline = monotonicNanoseconds() + UInt64(patienceSeconds) * 1_000_000_000
    private var message: ProvenMessage?
    private var transcript: Transcript?
    private(set) var isEstablished = false
    /// When a client that was refused is disconnected: it is told why before.
    private var closeAt: UInt64?

    /// Accepts a connection request, with a challenge and nothing else.
    ///
    /// - Parameter path: where the queue pair is to lead.
    init(
        _ connection: Connection, client: String, grant: Grant, preface: Preface, path: ConnectionPath?,
        key: SharedKey?, domain: ProtectionDomain, window: Int, channel: CompletionChannel
    ) throws(PeerMRError) {
        self.connection = connection
        self.client = client
        self.grant = grant
        self.preface = preface
        self.path = path
        self.key = key
        challenge = Challenge(wantsKey: key != nil, patienceSeconds: Self.patienceSeconds)
        connection.setAcknowledgeTimeout(exponent: acknowledgeExponent)
        link = try Link(connection, domain: domain, window: window, channel: channel)
        try connection.accept(privateData: challenge.bytes, outstandingReads: 0)
    }

    /// The connection stands: what has come on it may be taken.
    func establish() { isEstablished = true }

    /// Whether it was refused, and waits for the client to go.
    var isLeaving: Bool { closeAt != nil }
    /// Whether its client has been told for long enough.
    var isOver: Bool { closeAt.map { monotonicNanoseconds() >= $0 } ?? false }
    private var isLate: Bool { monotonicNanoseconds() >= deadline }

    /// What the client wants, when it has said so and proven that it may.
    ///
    /// - Returns: nil before that.
    /// - Throws: the refusal to answer with; `system` and `disconnected` where it cannot be heard any more.
    func hear() throws(PeerMRError) -> Result<Hello, Refusal>? {
        guard isEstablished else { return isLate ? .failure(Refusal(.silent)) : nil }
        var failure: Refusal?
        let link = link
        _ = try link.take { tag, _ throws(PeerMRError) in
            guard tag.kind == .receive, !self.isLeaving else { return }
            if let message = ProvenMessage(link.message), self.message == nil {
                self.message = message
            } else {
                failure = Refusal(.outOfTurn)
            }
        }
        guard !isLeaving else { return nil }
        if let failure { return .failure(failure) }
        guard let message else { return isLate ? .failure(Refusal(.silent)) : nil }
        do throws(Refusal) { return .success(try check(message)) } catch { return .failure(error) }
    }

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
