// SPDX-License-Identifier: Apache-2.0

import PeerMR

/// What one end asks of the other, where both are this program: 32 bytes over the TCP connection of the addresses.
/// The client sends one for each run, the server answers with ``Answer``, and the client then begins.
struct Request: Hashable {
    var operation: Operation
    /// Bytes of a message.
    var size: UInt32
    /// How many messages go each way.
    var count: UInt32
    /// Where the client's memory is, for a server that writes.
    var remote: RemoteAddress

    static let byteCount = 32
    private static let magic = Array("PMpp".utf8)

    var encoded: [UInt8] {
        Self.magic + [operation.code, 0, 0, 0] + bigEndian(size) + bigEndian(count) + bigEndian(remote.address)
            + bigEndian(remote.key) + bigEndian(UInt32(0))
    }

    /// Reads a request.
    ///
    /// - Returns: nil for the request that ends it all.
    /// - Throws: `protocolViolation` for anything that is none.
    static func decode(_ bytes: [UInt8]) throws(PeerMRError) -> Request? {
        guard bytes.count == byteCount, Array(bytes[0..<4]) == magic, bytes[5...7].allSatisfy({ $0 == 0 }) else {
            throw .nonsense("request", bytes)
        }
        if bytes[4] == 0 { return nil }
        guard let operation = Operation(code: bytes[4]) else { throw .nonsense("request", bytes) }
        let size = integer(bytes, 8, as: UInt32.self)
        let count = integer(bytes, 12, as: UInt32.self)
        guard size > 0, count > 0 else { throw .nonsense("request", bytes) }
        return Request(
            operation: operation, size: size, count: count,
            remote: RemoteAddress(
                address: integer(bytes, 16, as: UInt64.self), key: integer(bytes, 24, as: UInt32.self)))
    }

    /// The request after which there is none.
    static let end = magic + [UInt8](repeating: 0, count: 28)
}

/// What the server says to a ``Request``: 32 bytes.
struct Answer: Hashable {
    /// What it takes part in; a request for anything else has been refused.
    var operations: [Operation]
    /// The largest message that it takes; a request for more has been refused.
    var sizeLimit: UInt32
    /// The most messages of a run; a request for more has been refused.
    var countLimit: UInt32
    /// Where its memory is, for a client that reads or writes.
    var remote: RemoteAddress

    static let byteCount = 32
    private static let magic = Array("PMok".utf8)

    var encoded: [UInt8] {
        let set = operations.reduce(UInt32(0)) { $0 | 1 << UInt32($1.code) }
        return Self.magic + bigEndian(set) + bigEndian(sizeLimit) + bigEndian(countLimit) + bigEndian(remote.address)
            + bigEndian(remote.key) + bigEndian(UInt32(0))
    }

    init(operations: [Operation], sizeLimit: UInt32, countLimit: UInt32, remote: RemoteAddress) {
        self.operations = operations
        self.sizeLimit = sizeLimit
        self.countLimit = countLimit
        self.remote = remote
    }

    /// Reads an answer.
    ///
    /// - Throws: `protocolViolation` for anything that is none.
    init(decoding bytes: [UInt8]) throws(PeerMRError) {
        guard bytes.count == Self.byteCount, Array(bytes[0..<4]) == Self.magic else {
            throw .nonsense("answer", bytes)
        }
        let set = integer(bytes, 4, as: UInt32.self)
        self.init(
            operations: Operation.allCases.filter { set & 1 << UInt32($0.code) != 0 },
            sizeLimit: integer(bytes, 8, as: UInt32.self), countLimit: integer(bytes, 12, as: UInt32.self),
            remote: RemoteAddress(
                address: integer(bytes, 16, as: UInt64.self), key: integer(bytes, 24, as: UInt32.self)))
    }
}

extension Answer {
    /// Whether the server does what was asked for.
    func allows(_ request: Request) -> Bool {
        operations.contains(request.operation) && request.size <= sizeLimit && request.count <= countLimit
    }
}

/// The bytes of an integer, the highest first.
func bigEndian<Number: FixedWidthInteger>(_ value: Number) -> [UInt8] {
    stride(from: Number.bitWidth - 8, through: 0, by: -8).map { UInt8(truncatingIfNeeded: value >> $0) }
}

/// The integer at `offset`, whose highest byte comes first; there must be that many bytes.
func integer<Number: FixedWidthInteger>(_ bytes: [UInt8], _ offset: Int, as: Number.Type) -> Number {
    bytes[offset..<offset + Number.bitWidth / 8].reduce(0) { $0 << 8 | Number($1) }
}

extension PeerMRError {
    fileprivate static func nonsense(_ what: String, _ bytes: [UInt8]) -> PeerMRError {
        bytes.isEmpty
            ? .closedEarly("before its \(what)")
            : PeerMRError(
                .protocolViolation, reason: "the other end's \(what) cannot be read: \(printable(bytes))",
                remedy: "run the same version of ping-pong at both ends")
    }
}
