// SPDX-License-Identifier: Apache-2.0

/// What could be read of a function's configuration space.
///
/// Without CAP_SYS_ADMIN the kernel shows the first 64 bytes (drivers/pci/pci-sysfs.c); the size of the file says
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
        guard !isDead, bytes.count >= 12, !Self.isBlank({ Self.word(bytes, at: $0) }) else { return nil }
        return UInt32(bytes[9]) | UInt32(bytes[10]) << 8 | UInt32(bytes[11]) << 16
    }

    /// The kind of PCI Express port, `conventional` for a function that is none; nil where it cannot be read.
    public var portType: PortType? {
        isDead ? nil : Self.portType { Self.word(bytes, at: $0) }
    }

    /// Whether nothing that the decision asks for is missing.
    var isComplete: Bool {
        if case .unknown = accessControl { return false }
        return portType != nil && classCode != nil
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
        guard let status = word(6), !isPadded(word) else { return nil }
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
            if offset == 0x100, low == 0, high == 0 {
                guard isPadded(word) else { return .absent }
                return .unknown(isBlank(word) ? .cutOff : .needsPrivilege)
            }
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

// MARK: - Zeros in place of what could not be read

extension ConfigurationSpace {
    /// No function begins with sixteen zeros: a copy has them where reading failed altogether.
    private static func isBlank(_ word: (Int) -> UInt16?) -> Bool {
        stride(from: 0, to: 16, by: 2).allSatisfy { word($0) == 0 }
    }

    /// Whether zeros stand for what the kernel did not show.
    ///
    /// tar fills a file up to the size that it claims. Without privilege the kernel shows 64 bytes; what tells that
    /// the rest was not read is a list of capabilities that begins behind them, and nothing there. A function with an
    /// extended part has a PCI Express capability below 0x100. The kernel never cuts at 0x100, so that zeros from there
    /// on, behind capabilities, are a function's own way of saying that it has no extended ones (PCI Express Base
    /// Specification, section 7.6.2).
    private static func isPadded(_ word: (Int) -> UInt16?) -> Bool {
        if isBlank(word) { return true }
        guard let status = word(6), status & 0x10 != 0, let first = word(0x34) else { return false }
        let offset = Int(first & 0xfc)
        // On a running machine each word is a transaction on the bus: the list's first header nearly always decides.
        return offset >= 0x40 && word(offset) == 0 && stride(from: 0x40, to: 0x100, by: 2).allSatisfy { word($0) == 0 }
    }
}
