// SPDX-License-Identifier: Apache-2.0

internal import CVerbs
internal import Synchronization
public import SystemPackage
internal import PeerMRCore

/// Whether a device imports dma-bufs, found out by registering descriptor -1.
///
/// A refusal of the descriptor itself shows that libibverbs, its provider library, the kernel and the driver have the
/// call. It says nothing about an exporter, the route between two devices, or pinning.
public struct DMABufSupport: Hashable, Sendable {
    /// Yes, no, or nil where the answer is not known.
    public let isSupported: Bool?
    /// The errno of the call; nil where it was not made.
    public let errno: Errno?
    /// Why, as a sentence without a full stop, with the device in it.
    public let reason: String
    /// What would change it; nil where nothing is known, or nothing needs to.
    public let remedy: String?

    /// An answer given by its parts, as a test needs it.
    public init(isSupported: Bool?, errno: Errno?, reason: String, remedy: String? = nil) {
        self.isSupported = isSupported
        self.errno = errno
        self.reason = reason
        self.remedy = remedy
    }

    /// What the errno of the call with descriptor -1 means.
    init(errno: Errno, device: Device) {
        self.errno = errno
        guard errno != .badFileDescriptor else {
            isSupported = true
            reason = "\(device) imports dma-bufs: the call is there, down to its driver"
            remedy = nil
            return
        }
        let found = PeerMRError.noDMABufImport(errno, device)
        isSupported = found.code == .notSupported ? false : nil
        reason = found.reason
        remedy = found.remedy
    }

    /// The reason, with what the call left in brackets.
    public var sentence: String {
        guard let errno, isSupported != true else { return reason }
        return "\(reason) (ibv_reg_dmabuf_mr: \(errno.explanation), errno \(errno.rawValue))"
    }
}

extension Context {
    /// Whether the device imports dma-bufs. Asked once, then remembered as long as the context lives.
    ///
    /// Takes some microseconds, and allocates a protection domain for that long.
    /// The corresponding C function is `ibv_reg_dmabuf_mr`, with descriptor -1.
    public func dmaBufSupport() -> DMABufSupport {
        info.dmaBufSupport.withLock { remembered in
            if let remembered { return remembered }
            let domain: ProtectionDomain
            do throws(PeerMRError) {
                domain = try ProtectionDomain(self)
            } catch {
                return DMABufSupport(
                    isSupported: nil, errno: nil, reason: "\(device) cannot be asked: \(error.reason)",
                    remedy: error.remedy)
            }
            let found = Self.askAboutNoBuffer(domain)
            remembered = found
            return found
        }
    }

    private static func askAboutNoBuffer(_ domain: ProtectionDomain) -> DMABufSupport {
        let made = unsafe ibv_reg_dmabuf_mr(
            domain.raw, 0, pageBytes, 0, -1, Int32(Access.localWrite.rawValue))
        let errno = currentErrno()
        let device = domain.context.device
        guard let made = unsafe made else { return DMABufSupport(errno: errno, device: device) }
        _ = unsafe ibv_dereg_mr(made)
        return DMABufSupport(
            isSupported: nil, errno: nil,
            reason: "\(device) registered descriptor -1, which is nothing: its driver does not look")
    }
}
