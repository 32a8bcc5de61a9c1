// SPDX-License-Identifier: Apache-2.0

import PeerMR

/// The private data of a connection request, all of the 56 bytes that it may carry: version, and a nonce of the client.
///
/// What is wanted comes later, in a message: a request has no room for a proof, and anybody can send one.
package struct Preface: Equatable {
    var nonce: [UInt8]

    package init(nonce: [UInt8] = drawNonce()) { self.nonce = nonce }

    var bytes: [UInt8] {
        var writer = ByteWriter()
        writer.put(magic)
        writer.put(wireVersion)
        writer.put(UInt16(0))
        writer.put(nonce)
        writer.pad(to: 56)
        return writer.bytes
    }

    /// Reads what a client has sent.
    ///
    /// - Throws: the refusal that answers it; a client of version 1 understands that.
    package init(parsing bytes: [UInt8]) throws(Refusal) {
        var reader = ByteReader(bytes)
        guard reader.take(UInt32.self) == magic, let version = reader.take(UInt16.self) else {
            throw Refusal(.malformed, detail: UInt64(wireVersion))
        }
        guard version == wireVersion else { throw Refusal(.otherVersion, detail: UInt64(wireVersion)) }
        // A request that is too short comes padded with zeros: they are no nonce.
        guard reader.take(UInt16.self) == 0, let nonce = reader.take(count: 32), nonce.contains(where: { $0 != 0 }),
            reader.isZero(to: 56)
        else {
            throw Refusal(.malformed, detail: UInt64(wireVersion))
        }
        self.nonce = nonce
    }
}

/// The private data of an accepted connection, 64 of the 196 bytes that it may carry: a nonce of the server, which
/// offers nothing yet.
struct Challenge: Equatable {
    /// Whether the client's hello must come with a proof; the welcome then comes with one, too.
    var wantsKey: Bool
    var nonce = drawNonce()
    /// How long the server waits for the hello, in seconds.
    var patienceSeconds: UInt32

    var bytes: [UInt8] {
        var writer = ByteWriter()
        writer.put(magic)
        writer.put(wireVersion)
        writer.put(UInt16(wantsKey ? 1 : 0))
        writer.put(nonce)
        writer.put(patienceSeconds)
        writer.pad(to: 64)
        return writer.bytes
    }
}

extension Challenge {
    /// Reads what a server has answered; nil where it is not this protocol.
    init?(parsing bytes: [UInt8]) {
        var reader = ByteReader(bytes)
        guard reader.take(UInt32.self) == magic, reader.take(UInt16.self) == wireVersion,
            let flags = reader.take(UInt16.self), flags <= 1, let nonce = reader.take(count: 32),
            let patience = reader.take(UInt32.self), reader.isZero(to: 64)
        else { return nil }
        self.init(wantsKey: flags == 1, nonce: nonce, patienceSeconds: patience)
    }
}

/// A message of the handshake: a body, and the proof that its sender has the key.
struct ProvenMessage: Equatable {
    static let bodyBytes = 96
    var body: [UInt8]
    /// Zeros where there is no key.
    var proof: [UInt8]

    var bytes: [UInt8] { body + proof }

    init(body: [UInt8], proof: [UInt8]) {
        self.body = body
        self.proof = proof
    }

    /// Cuts a message in two; nil for any other length.
    init?(_ bytes: [UInt8]) {
        guard bytes.count == Self.bodyBytes + SharedKey.codeBytes else { return nil }
        self.init(body: Array(bytes[..<Self.bodyBytes]), proof: Array(bytes[Self.bodyBytes...]))
    }
}

/// What both ends have said and know of each other before the server offers anything: what a proof is over.
///
/// Both GIDs are those of the own queue pair's path: who stands between two ends and repeats what they say has others.
struct Transcript {
    let preface: Preface
    let challenge: Challenge
    let client: GID
    let server: GID

    private func message(_ side: String, _ bodies: [UInt8]) -> [UInt8] {
        Array("PeerMR transfer \(wireVersion) \(side)\0".utf8) + preface.bytes + challenge.bytes + client.bytes
            + server.bytes + bodies
    }

    /// The client's message with its proof.
    func seal(_ hello: Hello, _ key: SharedKey?) throws(PeerMRError) -> ProvenMessage {
        try seal(hello.bytes, message("client", hello.bytes), key)
    }

    /// The server's message with its proof, which is over the client's, too.
    func seal(_ welcome: Welcome, to hello: Hello, _ key: SharedKey?) throws(PeerMRError) -> ProvenMessage {
        try seal(welcome.bytes, message("server", hello.bytes + welcome.bytes), key)
    }

    private func seal(_ body: [UInt8], _ message: [UInt8], _ key: SharedKey?) throws(PeerMRError) -> ProvenMessage {
        ProvenMessage(body: body, proof: try key?.code(message) ?? [UInt8](repeating: 0, count: SharedKey.codeBytes))
    }

    func isHelloProven(_ hello: ProvenMessage, _ key: SharedKey?) throws(PeerMRError) -> Bool {
        try isProven(hello.proof, message("client", hello.body), key)
    }

    func isWelcomeProven(_ welcome: ProvenMessage, to hello: Hello, _ key: SharedKey?) throws(PeerMRError) -> Bool {
        try isProven(welcome.proof, message("server", hello.bytes + welcome.body), key)
    }

    private func isProven(_ proof: [UInt8], _ message: [UInt8], _ key: SharedKey?) throws(PeerMRError) -> Bool {
        guard let key else { return proof.allSatisfy { $0 == 0 } }
        return try key.isCode(proof, of: message)
    }
}

extension Link {
    /// The GIDs of both ends; of a device without GIDs (iWARP) the addresses of its TCP connection in their form.
    func ends() throws(PeerMRError) -> ConnectionPath? {
        if let path = try queuePair.path() { return path }
        guard let own = connection.localAddress?.asGID, let peer = connection.peerAddress?.asGID else { return nil }
        return ConnectionPath(local: own, remote: peer)
    }
}

extension SocketAddress {
    fileprivate var asGID: GID? {
        let bytes = addressBytes
        let mapping = [UInt8](repeating: 0, count: 10) + [0xff, 0xff]
        return GID(networkOrder: bytes.count == 4 ? mapping + bytes : bytes)
    }
}
