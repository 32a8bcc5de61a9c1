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

    /// Reads what the decision needs and no more: each four bytes cost a transaction on the bus, and the rest holds
    /// serial numbers.
    ///
    /// What is not needed stays zero in ``bytes``.
    ///
    /// - Parameter read: bytes by offset and count; fewer at the end of what can be read.
    init(reading read: (Int, Int) -> [UInt8], claimedBytes: Int?) {
        var reader = SparseReader()
        // The walks below ask for what they need: make each once.
        reader.fetch(0, 16, read)
        reader.fetch(0x34, 4, read)
        func word(_ offset: Int) -> UInt16? {
            reader.fetch(offset & ~3, 4, read)
            return Self.word(reader.bytes, at: offset)
        }
        _ = Self.portType(word)
        _ = Self.accessControl(claimedBytes: claimedBytes, word)
        self.init(bytes: reader.bytes, claimedBytes: claimedBytes)
    }

    /// All ones: the function does not answer. A virtual function has no numbers of its own, but a status.
    public var isDead: Bool {
        bytes.count >= 16 && bytes[..<16].allSatisfy { $0 == 0xff }
    }

    /// Class, subclass and programming interface; nil where it cannot be read.
    public var classCode: UInt32? {
        guard !isDead, bytes.count >= 12 else { return nil }
        return UInt32(bytes[9]) | UInt32(bytes[10]) << 8 | UInt32(bytes[11]) << 16
    }

    /// The kind of PCI Express port, `conventional` for a function that is none; nil where it cannot be read.
    public var portType: PortType? {
        isDead ? nil : Self.portType { Self.word(bytes, at: $0) }
    }

    /// The access control services of the function.
    public var accessControl: AccessControl {
        if isDead { return .unknown(.dead) }
        return Self.accessControl(claimedBytes: claimedBytes) { Self.word(bytes, at: $0) }
    }
}

// MARK: - Walks

extension ConfigurationSpace {
    private struct SparseReader {
        var bytes: [UInt8] = []
        private var fetched: Set<Int> = []

        mutating func fetch(_ offset: Int, _ count: Int, _ read: (Int, Int) -> [UInt8]) {
            guard offset >= 0, fetched.insert(offset).inserted else { return }
            let part = read(offset, count)
            guard !part.isEmpty else { return }
            if bytes.count < offset + part.count {
                bytes += [UInt8](repeating: 0, count: offset + part.count - bytes.count)
            }
            bytes.replaceSubrange(offset..<offset + part.count, with: part)
        }
    }

    private static func word(_ bytes: [UInt8], at offset: Int) -> UInt16? {
        guard offset >= 0, offset + 2 <= bytes.count else { return nil }
        return UInt16(bytes[offset]) | UInt16(bytes[offset + 1]) << 8
    }

    /// PCI Express Base Specification, section 7.5.3.2: bits 7 to 4 of the capabilities register.
    private static func portType(_ word: (Int) -> UInt16?) -> PortType? {
        guard let status = word(6) else { return nil }
        if status & 0x10 == 0 { return .conventional }
        guard let first = word(0x34) else { return nil }
        var offset = Int(first & 0xfc)
        // At most 48 fit; a list that runs in a circle ends here too.
        for _ in 0..<48 {
            if offset < 0x40 { return .conventional }
            guard let header = word(offset) else { return nil }
            if header & 0xff == 0x10 {
                return word(offset + 2).map { PortType(rawValue: UInt8($0 >> 4 & 0xf)) }
            }
            offset = Int(header >> 8 & 0xfc)
        }
        return nil
    }

    private static func accessControl(
        claimedBytes: Int?, _ word: (Int) -> UInt16?
    ) -> AccessControl {
        guard let claimedBytes else { return .unknown(.unreadable) }
        guard claimedBytes >= 256 else { return .unknown(.cutOff) }
        if claimedBytes == 256 { return .absent }
        var offset = 0x100
        // At most 480 fit; a list that runs in a circle ends here too.
        for _ in 0..<480 {
            guard let low = word(offset), let high = word(offset + 2) else {
                return .unknown(
                    offset == 0x100 && claimedBytes >= 4096 ? .needsPrivilege : .cutOff)
            }
            if low == 0xffff, high == 0xffff { return .unknown(.dead) }
            if offset == 0x100, low == 0, high == 0 { return .absent }
            if low == 0x000d {
                guard let control = word(offset + 6) else { return .unknown(.cutOff) }
                return .control(ACSControl(rawValue: control))
            }
            let next = Int(high >> 4)
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
    /// A function of conventional PCI, which has no such register: 255, which no port can be.
    public static let conventional = PortType(rawValue: 0xff)
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
