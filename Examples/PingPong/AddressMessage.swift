// SPDX-License-Identifier: Apache-2.0

import PeerMR

/// What `ibv_rc_pingpong` tells over TCP: LID, queue pair number, sequence number and GID, in hexadecimal, 52 bytes
/// with the zero at the end. Both ends send it once.
///
/// Two ends that are both this program know each other by the first character of the sequence number: a `+`, which
/// that program reads over. They keep the TCP connection, and agree over it what to do; see ``Request``. Their path MTU
/// they tell by the sequence number's second digit, 1 to 5 as the specification codes it, which serves for both.
struct AddressMessage: Hashable {
    private(set) var endpoint: QueuePairEndpoint
    /// The path MTU of an end that is this program, which can be asked for more than messages of one size; nil for
    /// `ibv_rc_pingpong`, or for talking to it.
    let mtu: PathMTU?

    static let byteCount = 52
    /// What a server answers to a client that it does not serve; `ibv_rc_pingpong` cannot read it, and says so.
    static let refusal = Array("PMno: not served".utf8) + [UInt8](repeating: 0, count: byteCount - 16)
    /// What a client sends when it has the server's address.
    static let done = Array("done\0".utf8)
    /// A sequence number with room for the two digits that mean something.
    static func drawSequence() -> UInt32 { UInt32.random(in: 0...0xffff) }

    var encoded: [UInt8] {
        let sequence = (mtu == nil ? "" : "+") + hexadecimal(endpoint.sequence, mtu == nil ? 6 : 5)
        let gid = (endpoint.gid?.bytes ?? [UInt8](repeating: 0, count: 16)).map { hexadecimal($0, 2) }.joined()
        let text = [hexadecimal(endpoint.localIdentifier, 4), hexadecimal(endpoint.number, 6), sequence, gid]
        return Array(text.joined(separator: ":").utf8) + [0]
    }

    /// - Parameter mtu: nil for a message that `ibv_rc_pingpong` could have sent.
    init(_ endpoint: QueuePairEndpoint, mtu: PathMTU?) {
        self.endpoint = endpoint
        self.mtu = mtu
        if let mtu { self.endpoint.sequence = mtu.rawValue << 16 | endpoint.sequence & 0xffff }
    }

    /// Reads a message.
    ///
    /// - Throws: `protocolViolation` for anything that is none.
    init(decoding bytes: [UInt8]) throws(PeerMRError) {
        guard bytes.count == Self.byteCount else { throw .noAddress(bytes) }
        guard bytes != Self.refusal else { throw .notServed }
        let plus = bytes[12] == UInt8(ascii: "+")
        guard bytes[4] == Self.colon, bytes[11] == Self.colon, bytes[18] == Self.colon, bytes[51] == 0,
            let lid = number(bytes[0..<4]), let pair = number(bytes[5..<11]),
            let sequence = number(bytes[(plus ? 13 : 12)..<18])
        else { throw .noAddress(bytes) }
        var raw: [UInt8] = []
        for index in stride(from: 19, to: 51, by: 2) {
            guard let byte = number(bytes[index..<index + 2]) else { throw .noAddress(bytes) }
            raw.append(UInt8(byte))
        }
        let gid = GID(networkOrder: raw)
        endpoint = QueuePairEndpoint(
            localIdentifier: UInt16(lid), number: pair, sequence: sequence, gid: gid?.isEmpty == true ? nil : gid)
        mtu = plus ? PathMTU(rawValue: sequence >> 16) : nil
        guard mtu.map({ $0.bytes > 0 }) ?? true else { throw .noAddress(bytes) }
    }

    private static let colon = UInt8(ascii: ":")
}

private func hexadecimal(_ value: some BinaryInteger, _ digits: Int) -> String {
    let text = String(value, radix: 16)
    return String(repeating: "0", count: max(0, digits - text.count)) + text
}

/// A hexadecimal number of at most 8 digits, all of which must be digits.
private func number(_ digits: ArraySlice<UInt8>) -> UInt32? {
    var value: UInt32 = 0
    for digit in digits {
        guard let nibble = Character(UnicodeScalar(digit)).hexDigitValue, digit < 128 else { return nil }
        value = value << 4 | UInt32(nibble)
    }
    return value
}

extension PeerMRError {
    fileprivate static func noAddress(_ bytes: [UInt8]) -> PeerMRError {
        bytes.isEmpty
            ? .closedEarly("before it told its address")
            : PeerMRError(
                .protocolViolation,
                reason: bytes.count < AddressMessage.byteCount
                    ? "the other end told \(bytes.count) bytes instead of an address of \(AddressMessage.byteCount)"
                    : "the other end told no address that a queue pair has: \(printable(bytes))",
                remedy: "see whether ping-pong or ibv_rc_pingpong runs there (for rping give --cm)")
    }

    fileprivate static var notServed: PeerMRError {
        PeerMRError(
            .refused,
            reason:
                "the server does not serve this client: its drive is for listed hosts alone, and for owners of its key",
            remedy: "start the server with --allow and the address of this host's RDMA interface, and take its key "
                + "(--key-file)")
    }

    static func closedEarly(_ when: String) -> PeerMRError {
        PeerMRError(
            .disconnected, reason: "the other end closed the connection \(when)",
            remedy: "see what the program there said when it ended")
    }
}

/// Bytes for a message to people: what is no plain character is a dot, and long ones are cut.
func printable(_ bytes: [UInt8]) -> String {
    "'" + String(decoding: bytes.prefix(52).map { (33..<127).contains($0) ? $0 : UInt8(ascii: ".") }, as: UTF8.self)
        + "'"
}
