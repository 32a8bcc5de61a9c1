// SPDX-License-Identifier: Apache-2.0

/// The control register of access control services (PCI Express Base Specification, section 7.7.11.3).
public struct ACSControl: OptionSet, Hashable, Sendable {
    /// The bits as in the ACS control register.
    public let rawValue: UInt16
    /// Wraps bits of the ACS control register.
    public init(rawValue: UInt16) { self.rawValue = rawValue }
    /// Requests with a bus number that is not below the port are blocked.
    public static let sourceValidation = ACSControl(rawValue: 0x01)
    /// Requests with addresses that are already translated are blocked.
    public static let translationBlocking = ACSControl(rawValue: 0x02)
    /// Peer-to-peer requests go up to the root complex.
    public static let requestRedirect = ACSControl(rawValue: 0x04)
    /// Completions of peer-to-peer requests go up to the root complex.
    public static let completionRedirect = ACSControl(rawValue: 0x08)
    /// Requests from below to the port itself go up and come back.
    public static let upstreamForwarding = ACSControl(rawValue: 0x10)
    /// A table says which ports may send to which.
    public static let egressControl = ACSControl(rawValue: 0x20)
    /// Requests with translated addresses go straight to the peer.
    public static let directTranslated = ACSControl(rawValue: 0x40)

    /// The bits that send peer-to-peer requests up to the root complex (drivers/pci/p2pdma.c,
    /// `pci_bridge_has_acs_redir`).
    public static let redirecting: ACSControl = [
        .requestRedirect, .completionRedirect, .egressControl,
    ]
}
