// SPDX-License-Identifier: Apache-2.0

/// What could be read of a function's configuration space.
///
/// Without CAP_SYS_ADMIN the kernel hands out the first 64 bytes (drivers/pci/pci-sysfs.c); the size of the file says
/// all the same whether there is an extended part, which is where ACS is.
public struct ConfigurationSpace: Hashable, Sendable {
    /// The bytes that could be read.
    public let bytes: [UInt8]
    /// The size that the file claims: 256 without an extended part, 4096 with one; nil where it has no size.
    public let claimedBytes: Int?

    /// A configuration space given by its bytes.
    public init(bytes: [UInt8], claimedBytes: Int?) {
        self.bytes = bytes
        self.claimedBytes = claimedBytes
    }

    /// All ones: the function does not answer.
    public var isDead: Bool {
        bytes.count >= 4 && bytes[..<4].allSatisfy { $0 == 0xff }
    }

    private func word(at offset: Int) -> UInt16? {
        guard offset >= 0, offset + 2 <= bytes.count else { return nil }
        return UInt16(bytes[offset]) | UInt16(bytes[offset + 1]) << 8
    }

    private func long(at offset: Int) -> UInt32? {
        guard let low = word(at: offset), let high = word(at: offset + 2) else { return nil }
        return UInt32(low) | UInt32(high) << 16
    }

    /// The kind of PCI Express port; nil for a function of conventional PCI, and where it cannot be read.
    ///
    /// PCI Express Base Specification, section 7.5.3.2: bits 7 to 4 of the capabilities register.
    public var portType: PortType? {
        guard let offset = capability(0x10), let flags = word(at: offset + 2) else { return nil }
        return PortType(rawValue: UInt8(flags >> 4 & 0xf))
    }

    /// The offset of a capability in the first 256 bytes; nil where it is absent or out of reach.
    private func capability(_ identifier: UInt8) -> Int? {
        guard let status = word(at: 6), status & 0x10 != 0, bytes.count > 0x34 else { return nil }
        var offset = Int(bytes[0x34] & 0xfc)
        // At most 48 fit; a list that runs in a circle ends here too.
        for _ in 0..<48 {
            guard offset >= 0x40, offset + 2 <= bytes.count else { return nil }
            if bytes[offset] == identifier { return offset }
            offset = Int(bytes[offset + 1] & 0xfc)
        }
        return nil
    }

    /// The access control services of the function.
    public var accessControl: AccessControl {
        if isDead { return .unknown(.dead) }
        guard let claimedBytes else { return .unknown(.unreadable) }
        if claimedBytes <= 256 { return .absent }
        var offset = 0x100
        // At most 480 fit; a list that runs in a circle ends here too.
        for _ in 0..<480 {
            guard let header = long(at: offset) else {
                return .unknown(bytes.count <= 256 ? .needsPrivilege : .cutOff)
            }
            if offset == 0x100, header == 0 || header == 0xffff_ffff { return .absent }
            if header & 0xffff == 0x000d {
                guard let control = word(at: offset + 6) else { return .unknown(.cutOff) }
                return .control(ACSControl(rawValue: control))
            }
            let next = Int(header >> 20)
            if next < 0x100 { return .absent }
            offset = next & ~3
        }
        return .unknown(.cutOff)
    }
}

/// The kind of a PCI Express port, bits 7 to 4 of its capabilities register.
public struct PortType: RawRepresentable, Hashable, Sendable {
    public let rawValue: UInt8
    public init(rawValue: UInt8) { self.rawValue = rawValue }
    /// A PCI Express device that is no port.
    public static let endpoint = PortType(rawValue: 0)
    /// A port of the root complex.
    public static let rootPort = PortType(rawValue: 4)
    /// The port of a switch that leads up.
    public static let upstream = PortType(rawValue: 5)
    /// A port of a switch that leads down.
    public static let downstream = PortType(rawValue: 6)
}

/// The control register of access control services (PCI Express Base Specification, section 7.7.11.3).
public struct ACSControl: OptionSet, Hashable, Sendable {
    public let rawValue: UInt16
    public init(rawValue: UInt16) { self.rawValue = rawValue }
    public static let sourceValidation = ACSControl(rawValue: 0x01)
    public static let translationBlocking = ACSControl(rawValue: 0x02)
    public static let requestRedirect = ACSControl(rawValue: 0x04)
    public static let completionRedirect = ACSControl(rawValue: 0x08)
    public static let upstreamForwarding = ACSControl(rawValue: 0x10)
    public static let egressControl = ACSControl(rawValue: 0x20)
    public static let directTranslated = ACSControl(rawValue: 0x40)

    /// The bits that send peer-to-peer requests up to the root complex (drivers/pci/p2pdma.c, `pci_bridge_has_acs_redir`).
    public static let redirecting: ACSControl = [
        .requestRedirect, .completionRedirect, .egressControl,
    ]
}

/// Access control services of a function: absent, set to something, or not to be read.
public enum AccessControl: Hashable, Sendable {
    /// Why it cannot be known.
    public enum Obstacle: String, Hashable, Sendable {
        /// The extended part needs CAP_SYS_ADMIN in the initial user namespace.
        case needsPrivilege
        /// The file ends in the middle of the list of capabilities.
        case cutOff
        /// The configuration space is missing or cannot be opened.
        case unreadable
        /// The function reads as all ones: it is gone, or asleep.
        case dead
    }

    /// It has no such capability.
    case absent
    /// It has, and this is what is switched on.
    case control(ACSControl)
    /// It cannot be known.
    case unknown(Obstacle)

    /// Whether it sends peer-to-peer requests up; nil where that cannot be known.
    public var redirects: Bool? {
        switch self {
        case .absent: false
        case .control(let control): !control.isDisjoint(with: .redirecting)
        case .unknown: nil
        }
    }
}
