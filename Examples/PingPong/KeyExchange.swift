// SPDX-License-Identifier: Apache-2.0

import PeerMR
import PeerTransfer

/// What a server with a key answers to a client's address before it tells its own: 52 bytes, as an address has, which
/// `ibv_rc_pingpong` cannot read. The client proves that it has the key with 32 bytes.
struct KeyChallenge: Hashable {
    /// Others for each connection.
    var nonce = drawNonce(nonceBytes)
    /// The GID that the server will tell; zeros where it has none.
    var gid: GID?

    private static let head = Array("PMkey".utf8)
    private static let nonceBytes = 31
    private static let none = [UInt8](repeating: 0, count: 16)

    var encoded: [UInt8] { Self.head + nonce + (gid?.bytes ?? Self.none) }

    init(gid: GID?) { self.gid = gid }

    /// Reads a challenge; nil for anything else.
    init?(decoding bytes: [UInt8]) {
        guard bytes.count == AddressMessage.byteCount, Array(bytes[..<5]) == Self.head else { return nil }
        nonce = Array(bytes[5..<36])
        gid = GID(networkOrder: bytes[36...]).flatMap { $0.isEmpty ? nil : $0 }
    }

    /// What the proof of a client is over: this challenge with the server's GID, and the client's address with its own.
    func message(_ client: AddressMessage) -> [UInt8] { Array("PeerMR ping-pong\0".utf8) + encoded + client.encoded }
}

extension Endpoint {
    /// As a server with a key: whether a client proves that it has it.
    func isProven(_ caller: borrowing Caller, _ key: SharedKey, milliseconds: Int32) throws(PeerMRError) -> Bool {
        let challenge = KeyChallenge(gid: caller.gid?.gid)
        try caller.socket.send(challenge.encoded)
        let proof = try caller.socket.receive(SharedKey.codeBytes, milliseconds: milliseconds)
        return try key.isCode(proof, of: challenge.message(caller.told))
    }

    /// As a client: the server's address, after a proof where it asks for one.
    func learn(
        _ socket: borrowing TCPSocket, _ own: AddressMessage, _ key: SharedKey?, milliseconds: Int32
    ) throws(PeerMRError) -> AddressMessage {
        let first = try socket.receive(AddressMessage.byteCount, milliseconds: milliseconds)
        guard let challenge = KeyChallenge(decoding: first) else {
            guard key == nil || first == AddressMessage.refusal else { throw .serverWithoutKey }
            return try AddressMessage(decoding: first)
        }
        guard let key else { throw .keyWanted }
        try socket.send(key.code(challenge.message(own)))
        let told = try AddressMessage(
            decoding: socket.receive(AddressMessage.byteCount, milliseconds: milliseconds))
        guard told.endpoint.gid == challenge.gid else { throw .otherServer }
        return told
    }
}

extension PeerMRError {
    fileprivate static var keyWanted: PeerMRError {
        PeerMRError(
            .notPermitted, reason: "the server's drive is for owners of its key, and this client has none",
            remedy: "take the key that the server has (--key-file)")
    }
    fileprivate static var serverWithoutKey: PeerMRError {
        PeerMRError(
            .notPermitted, reason: "the server asks for no key, and this client was told to show one",
            remedy: "start the server with --nvme and --key-file, or leave --key-file out here")
    }
    fileprivate static var otherServer: PeerMRError {
        PeerMRError(
            .notPermitted, reason: "the server has told two GIDs: somebody may stand in between",
            remedy: "see what listens on the server's port")
    }
}
