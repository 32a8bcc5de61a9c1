// SPDX-License-Identifier: Apache-2.0

public import SystemPackage

/// What went wrong on the control path: the call, what the system said, why, and what to do about it.
///
/// One type serves every layer, so that an application has one thing to print.
/// The data path (posting and polling) throws `Errno` values instead, which are 4 bytes and never
/// allocate.
public struct PeerMRError: Error, Hashable, Sendable {
    /// The class of the failure, for programs; people read ``reason`` and ``remedy``.
    public struct Code: RawRepresentable, Hashable, Sendable {
        /// The name in JSON.
        public let rawValue: String
        /// Wraps a name.
        public init(rawValue: String) { self.rawValue = rawValue }

        /// The device, drive, pool or address does not exist here.
        public static let notFound = Code(rawValue: "notFound")
        /// A driver, kernel, library or device lacks what was asked for.
        public static let notSupported = Code(rawValue: "notSupported")
        /// It exists, and works, but would move data wrongly or unsafely in this setting.
        public static let unsafeConfiguration = Code(rawValue: "unsafeConfiguration")
        /// A value is malformed or outside what the object allows.
        public static let invalidArgument = Code(rawValue: "invalidArgument")
        /// Memory, a limit such as RLIMIT_MEMLOCK, or a pool is exhausted.
        public static let resourceLimit = Code(rawValue: "resourceLimit")
        /// Someone else uses it.
        public static let busy = Code(rawValue: "busy")
        /// The rights of this process do not suffice.
        public static let notPermitted = Code(rawValue: "notPermitted")
        /// The other side said no.
        public static let refused = Code(rawValue: "refused")
        /// The other side does not keep to the protocol.
        public static let protocolViolation = Code(rawValue: "protocolViolation")
        /// The remote host, the link or the device does not answer, or is gone.
        public static let disconnected = Code(rawValue: "disconnected")
        /// The memory was taken back: its device was removed or reset, or lost its driver.
        public static let memoryRevoked = Code(rawValue: "memoryRevoked")
        /// Data came back other than it went.
        public static let dataMismatch = Code(rawValue: "dataMismatch")
        /// Anything else that the system said.
        public static let system = Code(rawValue: "system")

        /// The code as JSON has it. Two codes have kept the texts of earlier versions there.
        public var jsonName: String {
            switch self {
            case .disconnected, .memoryRevoked: "peerLost"
            case .unsafeConfiguration: "unsafeHere"
            default: rawValue
            }
        }
    }

    /// Which side of a transfer a failure comes from.
    public struct Origin: RawRepresentable, Hashable, Sendable {
        /// The name in JSON.
        public let rawValue: String
        /// Wraps a name.
        public init(rawValue: String) { self.rawValue = rawValue }

        /// The client: it broke the protocol, does nothing, or is gone.
        public static let client = Origin(rawValue: "client")
        /// The drive: it failed, is slow, or is gone.
        public static let drive = Origin(rawValue: "drive")
        /// The RDMA device of this side: it failed, or is gone.
        public static let nic = Origin(rawValue: "nic")
        /// Who runs this side: told it to stop, or set it up so that it cannot work.
        public static let `operator` = Origin(rawValue: "operator")
    }

    /// The class of the failure.
    public let code: Code
    /// Which side of a transfer it comes from; nil where that says nothing, or the error does not tell.
    public let origin: Origin?
    /// The call that failed, by its C name, for example `ibv_reg_mr`; nil where no call was made.
    public let call: String?
    /// What the call left in `errno`, or returned; nil where no call failed.
    public let errno: Errno?
    /// What happened, with the facts in it: device, offset, length. No full stop at the end.
    public let reason: String
    /// What to do about it, as an instruction; nil where nothing can be done, never empty.
    public let remedy: String?

    /// Makes an error from its parts. Reason and remedy may quote names and paths as they came: what moves a terminal's
    /// cursor, or is not seen, becomes a question mark.
    public init(
        _ code: Code, call: String? = nil, errno: Errno? = nil, reason: String, remedy: String? = nil,
        origin: Origin? = nil
    ) {
        self.code = code
        self.origin = origin
        self.call = call
        self.errno = errno
        self.reason = reason.printable
        self.remedy = remedy?.printable
    }
}

extension PeerMRError {
    /// The same error, of a side that it does not tell by itself.
    package func from(_ origin: Origin) -> PeerMRError {
        PeerMRError(
            code, call: call, errno: errno, reason: reason, remedy: remedy, origin: self.origin ?? origin)
    }
}

extension PeerMRError: CustomStringConvertible {
    /// One sentence: reason, cause in brackets, remedy.
    public var description: String {
        var text = reason
        if let errno {
            let said = "\(errno.explanation), errno \(errno.rawValue)"
            text += call.map { " (\($0): \(said))" } ?? " (\(said))"
        }
        if let remedy { text += "; \(remedy)" }
        return text
    }
}

extension Errno {
    /// What the C library calls this error; Linux's internal numbers, which it does not know, by their kernel names.
    ///
    /// Drivers let kernel-internal numbers escape to user space (include/linux/errno.h), where
    /// they read as "Unknown error 524" and are then looked up as something else.
    public var explanation: String {
        switch rawValue {
        case 512: "ERESTARTSYS, a kernel-internal code"
        case 517: "EPROBE_DEFER, a kernel-internal code"
        case 524: "ENOTSUPP, a kernel-internal code: the driver does not support this"
        case 529: "EIOCBQUEUED, a kernel-internal code"
        default: description
        }
    }
}
