// SPDX-License-Identifier: Apache-2.0

import PeerMR
import SystemPackage

/// Why the server says no, in a form that travels; the client turns it into a sentence.
package struct Refusal: Error, Equatable {
    package enum Code: UInt8, CaseIterable {
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
        case otherAddress
        case noPath
        case readOnly
        case tooSlow
        case deviceFailed
        case wrongKey
        case silent
        case changed
        case overlapping
        case waitedTooLong
        case belowRate

        /// For the server's own log.
        var words: String {
            switch self {
            case .malformed: "it does not speak this protocol"
            case .otherVersion: "it speaks another version of the protocol than \(wireVersion)"
            case .notAllowed: "its address is not one of those that are served"
            case .busy: "as many clients as can be are being served"
            case .overlapping: "another client is reading or writing a part of the same range"
            case .waitedTooLong: "its turn has not come in the time that it waits"
            case .belowRate: "it moves too little"
            case .outOfRange: "it asks for more than the range that is offered"
            case .offBlock: "its offset is not at the beginning of a block"
            case .empty: "it asks for no bytes"
            case .badSlots: "its slots are not of whole pages and blocks"
            case .smallPackets: "the path MTU is too small"
            case .noMemory: "its slots could not be set up"
            case .outOfTurn: "it broke the protocol"
            case .driveFailed: "the drive failed"
            case .stopping: "the server is stopping"
            case .otherAddress: "its address is not the one that its path leads to"
            case .noPath: "its path has no GID to compare its address with"
            case .wrongKey: "it does not have this server's key"
            case .changed: "its bytes were changed on their way"
            case .silent: "it has not said what it wants in time"
            case .readOnly: "it wants to write, and may only read"
            case .tooSlow: "it does nothing"
            case .deviceFailed: "the RDMA device failed"
            }
        }
    }

    var code: Code
    var detail: UInt64
    /// For the server's own log; not sent.
    let words: String

    init(_ code: Code, detail: UInt64 = 0) {
        self.code = code
        self.detail = detail
        words = code.words
    }

    /// What answers a client that is not admitted.
    init(_ objection: AllowList.Objection) {
        code =
            switch objection {
            case .noPath: .noPath
            case .otherAddress: .otherAddress
            case .notListed: .notAllowed
            }
        detail = 0
        words = "\(objection)"
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

    /// The sentence for the user of the client.
    func explained(by server: String) -> PeerMRError {
        let errno = Errno(rawValue: Int32(truncatingIfNeeded: detail))
        return switch code {
        case .noMemory: .serverWithoutMemory(errno, server)
        case .driveFailed: .serverDriveFailed(errno, server)
        case .deviceFailed: .serverDeviceFailed(errno, server)
        default: .refusedByServer(result: Int32(code.rawValue), server, detail, wireVersion, slotLimit)
        }
    }
}

extension PeerMRError {
    /// By the code of a ``Refusal``.
    static let refusedByServer = ErrorTable(
        answer: "refusal", facts: "server", "detail", "own version", "limit"
    ) { server, detail, version, limit in
        ErrorRow(refusal: .malformed, .protocolViolation, "\(server) does not understand this client")
            .with(remedy: "run the same version on both sides (it speaks version \(detail))")
        ErrorRow(
            refusal: .otherVersion, .protocolViolation,
            "\(server) speaks version \(detail) of the protocol, this client version \(version)",
            "run the same version on both sides")
        ErrorRow(refusal: .notAllowed, .refused, "\(server) does not serve this client's address")
            .with(remedy: "let the server serve the address of this host")
        ErrorRow(
            refusal: .otherAddress, .refused,
            "\(server) does not serve this client: its address is not the one that the server's packets go to",
            "connect from the address that the RDMA device's interface has, without address translation in between")
        ErrorRow(
            refusal: .noPath, .refused,
            "\(server) does not serve this client: no GID leads to it to compare its address "
                + "with"
        )
        .with(remedy: "connect over RoCE, or over InfiniBand with global routing")
        ErrorRow(refusal: .wrongKey, .notPermitted, "\(server) has another key than this client")
            .with(remedy: "take the key that the server has, byte for byte")
        ErrorRow(
            refusal: .changed, .dataMismatch,
            "bytes of this client were changed on their way to the memory of \(server)"
        )
        .with(remedy: "do not trust this path; what was written before is undefined")
        ErrorRow(refusal: .silent, .disconnected, "\(server) has waited too long for this client's hello", "try again")
        ErrorRow(refusal: .readOnly, .refused, "\(server) serves this client for reading only")
            .with(remedy: "let the server allow this client to write")
        ErrorRow(refusal: .busy, .busy, "\(server) is serving as many clients as it can")
            .with(remedy: "try again later, or wait for a turn")
        ErrorRow(
            refusal: .overlapping, .busy,
            "another client of \(server) is using a part of this range, and one of the two writes",
            "try again when it is done, or take another range")
        ErrorRow(
            refusal: .waitedTooLong, .busy, "this client's turn at \(server) has not come in \(detail) s"
        )
        .with(remedy: "try again later, or wait for longer")
        ErrorRow(
            refusal: .belowRate, .disconnected,
            "\(server) gave this client up, because it moved less than \(detail) KiB/s while it was waited for",
            "see what slows it down, or lower the server's minimum rate")
        ErrorRow(
            refusal: .outOfRange, .invalidArgument,
            "offset and length go past the end of what \(server) offers, which is \(detail) bytes",
            "take less, or a smaller offset")
        ErrorRow(refusal: .offBlock, .invalidArgument, "the offset is not at the beginning of a block of the drive")
            .with(remedy: "take a multiple of \(detail) bytes")
        ErrorRow(refusal: .empty, .invalidArgument, "there is nothing to move", "take at least one byte")
        ErrorRow(refusal: .badSlots, .invalidArgument, "\(server) refuses this client's slots")
            .with(remedy: "take up to \(limit) slots, each of whole pages and of whole blocks of the drive")
        ErrorRow(
            refusal: .smallPackets, .unsafeConfiguration,
            "the path MTU to \(server) is \(detail) bytes, and its on-demand memory is moved right only at 4096: the "
                + "driver would corrupt data and report success",
            "set the MTU of both network interfaces to 4200 or more (ip link set IFNAME mtu 4200), or serve from host "
                + "memory")
        ErrorRow(refusal: .outOfTurn, .protocolViolation, "\(server) got a message that it did not expect")
            .with(remedy: "run the same version on both sides")
        ErrorRow(refusal: .tooSlow, .disconnected, "\(server) waited \(detail) s for this client, and gave it up")
            .with(remedy: "see what held it, or raise the server's time limit for clients")
        ErrorRow(refusal: .stopping, .disconnected, "\(server) was stopped before the transfer was complete")
            .with(remedy: "start it again, and repeat the transfer")
    }

    static let serverWithoutMemory = ErrorTable(facts: "server") { server in
        ErrorRow(.resourceLimit, "\(server) has no memory for this transfer")
            .with(remedy: "see what the server printed, and try again later")
    }
    /// The errno is that of the drive, on the server's host: see block/blk-core.c, blk_errors.
    static let serverDriveFailed = ErrorTable(origin: .drive, facts: "server") { server in
        ErrorRow(
            [.noSuchAddressOrDevice, .operationNotSupportedByDevice], .disconnected,
            "the drive of \(server) is gone", "repeat the transfer when it is there again")
        ErrorRow([.timedOut], .disconnected, "the drive of \(server) does not answer")
            .with(remedy: "see the kernel log of its host; what was written before is undefined")
        ErrorRow([.noSpace], .resourceLimit, "the drive of \(server) has no space left", "make room there")
        ErrorRow(.system, "the drive of \(server) failed")
            .with(remedy: "see what the server printed; what was written before is undefined")
    }
    static let serverDeviceFailed = ErrorTable(facts: "server") { server in
        ErrorRow(.disconnected, "the RDMA device of \(server) failed")
            .with(remedy: "see what the server printed, and repeat the transfer")
    }
}

extension ErrorRow {
    fileprivate init(refusal: Refusal.Code, _ code: PeerMRError.Code, _ reason: String, _ remedy: String? = nil) {
        self.init(results: [Int32(refusal.rawValue)], code, reason, remedy)
    }
}
