// SPDX-License-Identifier: Apache-2.0

internal import CVerbs

/// The end of a work request. A small value, copied out of the slots that the caller owns.
public struct Completion: Hashable, Sendable {
    /// What kind of request ended. Only meaningful where ``status`` is success.
    public struct Operation: RawRepresentable, Hashable, Sendable {
        /// The value of `enum ibv_wc_opcode`.
        public let rawValue: UInt32
        /// Wraps a value of `enum ibv_wc_opcode`.
        public init(rawValue: UInt32) { self.rawValue = rawValue }
        /// A send, of a message or of an immediate alone.
        public static let send = Operation(rawValue: 0)
        /// An RDMA WRITE, with or without immediate.
        public static let write = Operation(rawValue: 1)
        /// An RDMA READ.
        public static let read = Operation(rawValue: 2)
        /// A receive that a peer's send has used up.
        public static let receive = Operation(rawValue: 128)
        /// A peer's RDMA WRITE WITH IMMEDIATE has ended here, and used up a receive.
        public static let receiveWriteWithImmediate = Operation(rawValue: 129)
    }

    /// The number that the poster gave.
    public let requestID: UInt64
    /// Success, or why not.
    public let status: CompletionStatus
    /// What kind of request it was.
    public let operation: Operation
    /// Bytes received; undefined for what was sent.
    public let byteCount: UInt32
    /// The immediate that the peer sent; nil where there was none.
    public let immediate: UInt32?
    /// The vendor's own code for the failure; 0 where it has none.
    public let vendorSyndrome: UInt32
}

/// How a work request ended. The corresponding C type is `enum ibv_wc_status`.
public struct CompletionStatus: RawRepresentable, Hashable, Sendable {
    /// The value of `enum ibv_wc_status`.
    public let rawValue: UInt32
    /// Wraps a value of `enum ibv_wc_status`.
    public init(rawValue: UInt32) { self.rawValue = rawValue }

    /// It did what it was told.
    public static let success = CompletionStatus(rawValue: 0)
    /// A buffer or message of a wrong length, on this side.
    public static let localLength = CompletionStatus(rawValue: 1)
    /// A key, address or access that does not fit, on this side.
    public static let localProtection = CompletionStatus(rawValue: 4)
    /// Never begun: the queue pair had failed before.
    public static let flushed = CompletionStatus(rawValue: 5)
    /// Malformed in the eyes of the peer's device.
    public static let remoteInvalidRequest = CompletionStatus(rawValue: 9)
    /// Not allowed by the peer's region.
    public static let remoteAccess = CompletionStatus(rawValue: 10)
    /// Not finished by the peer's device.
    public static let remoteOperation = CompletionStatus(rawValue: 11)
    /// No answer from the peer, however often it was tried.
    public static let retryExceeded = CompletionStatus(rawValue: 12)
    /// No receive posted by the peer, however often it was tried.
    public static let receiverNotReady = CompletionStatus(rawValue: 13)

    /// Whether it did what it was told.
    public var isSuccess: Bool { rawValue == 0 }

    /// Where to look for the cause.
    public enum Class: String, Sendable {
        case success, local, remote, transport, flushed, unknown
    }

    /// Where to look for the cause.
    public var failureClass: Class {
        switch rawValue {
        case 0: .success
        case 1, 2, 3, 4, 6, 7, 8, 14: .local
        case 5: .flushed
        case 9, 10, 11, 15, 16: .remote
        case 12, 13, 20: .transport
        default: .unknown
        }
    }

    /// The likely cause, as half a sentence.
    public var hint: String {
        switch self {
        case .success: "no failure"
        case .localLength: "a receive buffer was too short, or a message longer than the device takes"
        case .localProtection:
            "a local key, address or length is not that of a live region with the needed access"
        case .flushed: "the queue pair was in the error state before this request began"
        case .remoteInvalidRequest:
            "the peer's device found the request malformed (its region, or a receive buffer, too small)"
        case .remoteAccess:
            "the peer's region does not allow this access, or its memory has been taken away"
        case .remoteOperation: "the peer's device could not finish the request"
        case .retryExceeded: "the peer does not answer: its process, its host or the link is gone"
        case .receiverNotReady: "the peer posted no receive in time"
        default: "see ibv_wc_status_str(3)"
        }
    }
}

extension CompletionStatus: CustomStringConvertible {
    /// The C library's words, and the number of a status that it does not know.
    public var description: String {
        guard rawValue <= 23,
            let text = unsafe ibv_wc_status_str(ibv_wc_status(rawValue: rawValue))
        else { return "completion status \(rawValue)" }
        return unsafe String(cString: text)
    }
}
