// SPDX-License-Identifier: Apache-2.0

import PeerMR
import SystemPackage

/// Why the server says no, in a form that travels; the client turns it into a sentence.
package struct Refusal: Error, Equatable {
    package enum Code: UInt8 {
        case malformed = 1
        case otherVersion
        case notAllowed
        case busy
        case outOfRange
        case offBlock
        case empty
        case badSlots
        case smallPackets
        case noMemory
        case outOfTurn
        case driveFailed
        case stopping

        /// For the server's own log.
        var words: String {
            switch self {
            case .malformed: "it does not speak this protocol"
            case .otherVersion: "it speaks another version of the protocol than \(wireVersion)"
            case .notAllowed: "its address is not one of those that are served"
            case .busy: "another client is being served"
            case .outOfRange: "it asks for more than the range that is offered"
            case .offBlock: "its offset is not at the beginning of a block"
            case .empty: "it asks for no bytes"
            case .badSlots: "its slots are not of whole pages and blocks"
            case .smallPackets: "the path MTU is too small"
            case .noMemory: "its slots could not be set up"
            case .outOfTurn: "it broke the protocol"
            case .driveFailed: "the drive failed"
            case .stopping: "the server is stopping"
            }
        }
    }

    var code: Code
    var detail: UInt64

    init(_ code: Code, detail: UInt64 = 0) {
        self.code = code
        self.detail = detail
    }

    private static let magic: UInt32 = 0x524d_5030  // "0PMR"

    /// 13 of the 148 bytes that a rejection may carry.
    var bytes: [UInt8] {
        var writer = ByteWriter()
        writer.put(Self.magic)
        writer.put(code.rawValue)
        writer.put(detail)
        return writer.bytes
    }

    /// Reads a rejection; nil where it is not this protocol's.
    init?(parsing bytes: [UInt8]) {
        var reader = ByteReader(bytes)
        guard reader.take(UInt32.self) == Self.magic,
            let code = reader.take(UInt8.self).flatMap(Code.init(rawValue:)),
            let detail = reader.take(UInt64.self)
        else { return nil }
        self.init(code, detail: detail)
    }

    /// The sentence for the person at the client.
    func explained(by server: String) -> PeerMRError {
        switch code {
        case .malformed:
            PeerMRError(
                .protocolViolation, reason: "\(server) does not understand this client",
                remedy: "run the same version on both sides (it speaks version \(detail))")
        case .otherVersion:
            PeerMRError(
                .protocolViolation,
                reason: "\(server) speaks version \(detail) of the protocol, this client version \(wireVersion)",
                remedy: "run the same version on both sides")
        case .notAllowed:
            PeerMRError(
                .refused, reason: "\(server) does not serve this client's address",
                remedy: "let the server serve the address of this host")
        case .busy:
            PeerMRError(
                .busy, reason: "\(server) is serving another client", remedy: "try again later")
        case .outOfRange:
            PeerMRError(
                .invalidArgument,
                reason: "offset and length go past the end of what \(server) offers, which is \(detail) bytes",
                remedy: "take less, or a smaller offset")
        case .offBlock:
            PeerMRError(
                .invalidArgument, reason: "the offset is not at the beginning of a block of the drive",
                remedy: "take a multiple of \(detail) bytes")
        case .empty:
            PeerMRError(
                .invalidArgument, reason: "there is nothing to move", remedy: "take at least one byte")
        case .badSlots:
            PeerMRError(
                .invalidArgument, reason: "\(server) refuses this client's slots",
                remedy: "take up to \(slotLimit) slots, each of whole pages and of whole blocks of the drive")
        case .smallPackets:
            PeerMRError(
                .unsafeConfiguration,
                reason:
                    "the path MTU to \(server) is \(detail) bytes, and its on-demand memory is moved right only "
                    + "at 4096: the driver would corrupt data and report success",
                remedy:
                    "set the MTU of both network interfaces to 4200 or more (ip link set IFNAME mtu 4200), or "
                    + "serve from host memory"
            )
        case .noMemory:
            PeerMRError(
                .resourceLimit, errno: Errno(rawValue: Int32(truncatingIfNeeded: detail)),
                reason: "\(server) has no memory for this transfer",
                remedy: "see what the server printed, and try again later")
        case .outOfTurn:
            PeerMRError(
                .protocolViolation, reason: "\(server) got a message that it did not expect",
                remedy: "run the same version on both sides")
        case .driveFailed:
            PeerMRError(
                .system, errno: Errno(rawValue: Int32(truncatingIfNeeded: detail)),
                reason: "the drive of \(server) failed",
                remedy: "see what the server printed; what was written before is undefined")
        case .stopping:
            PeerMRError(
                .disconnected, reason: "\(server) was stopped before the transfer was whole",
                remedy: "start it again, and repeat the transfer")
        }
    }
}
