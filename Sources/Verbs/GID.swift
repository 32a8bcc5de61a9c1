// SPDX-License-Identifier: Apache-2.0

/// The 16 bytes that address a port in a fabric.
public struct GID: Hashable, Sendable {
    /// The bytes in network order.
    public let bytes: [UInt8]
}

extension GID {
    /// 16 bytes in network order; nil for any other number of them.
    public init?(networkOrder bytes: some Collection<UInt8>) {
        guard bytes.count == 16 else { return nil }
        self.init(bytes: Array(bytes))
    }

    /// Whether all bytes are 0: no address.
    public var isEmpty: Bool { bytes.allSatisfy { $0 == 0 } }

    /// Whether it stands for an IPv4 address: `::ffff:a.b.c.d`.
    public var isMappedIPv4: Bool {
        bytes.count == 16 && bytes.prefix(10).allSatisfy { $0 == 0 } && bytes[10] == 0xff && bytes[11] == 0xff
    }
}

extension GID: CustomStringConvertible {
    /// The address as IPv6 writes it, or as IPv4 where it stands for one.
    public var description: String {
        guard bytes.count == 16 else { return "?" }
        if isMappedIPv4 { return "::ffff:" + bytes[12...].map(String.init).joined(separator: ".") }
        let groups = stride(from: 0, to: 16, by: 2).map { UInt16(bytes[$0]) << 8 | UInt16(bytes[$0 + 1]) }
        var longest = 0..<0
        var index = 0
        while index < 8 {
            let end = groups[index...].firstIndex { $0 != 0 } ?? 8
            if end - index > max(1, longest.count) { longest = index..<end }
            index = max(end, index + 1)
        }
        let text = { (part: ArraySlice<UInt16>) in part.map { String($0, radix: 16) }.joined(separator: ":") }
        guard !longest.isEmpty else { return text(groups[...]) }
        return text(groups[..<longest.lowerBound]) + "::" + text(groups[longest.upperBound...])
    }
}
