// SPDX-License-Identifier: Apache-2.0

import PeerMR

/// What a client may do with a drive.
public struct Grant: Hashable, Sendable {
    /// The part of the server's range that is the client's, in bytes; nil for all of it.
    public var range: Range<UInt64>?
    /// Whether it may only read.
    public var isReadOnly: Bool

    /// All of the server's range, for reading and writing unless said otherwise.
    public init(range: Range<UInt64>? = nil, isReadOnly: Bool = false) {
        self.range = range
        self.isReadOnly = isReadOnly
    }
}

/// The addresses that a server takes connections from, and what each may do: its own host's always, and those it was
/// told.
///
/// An entry is `ADDRESS`, or `ADDRESS/BITS` for a network, and after a `=` the part of the server's range that is that
/// client's, `OFFSET:LENGTH`, or `ro` for a client that only reads, or both: `10.0.0.1=0:64M:ro`.
public struct AllowList: Sendable {
    private var entries: [Entry] = []

    private struct Entry: Sendable {
        let bytes: [UInt8]
        let prefix: Int
        let grant: Grant
    }

    /// Only this host's own addresses.
    public init() {}

    /// Reads the entries; nil for a list with a malformed one, or with two for the same network.
    public init?(_ texts: [String]) {
        for text in texts {
            guard let entry = Self.parse(text),
                !entries.contains(where: {
                    $0.bytes.count == entry.bytes.count && $0.prefix == entry.prefix
                        && Self.matches($0.bytes, entry.bytes, bits: entry.prefix)
                })
            else { return nil }
            entries.append(entry)
        }
    }

    /// Whether no other host is served.
    public var isEmpty: Bool { entries.isEmpty }

    /// Whether entries only name addresses: all that is served is everybody's, for reading and writing.
    public var isPlain: Bool { entries.allSatisfy { $0.grant == Grant() } }

    /// The ranges that are named.
    var ranges: [Range<UInt64>] { entries.compactMap(\.grant.range) }

    /// What the most specific entry for an address gives; nil where there is none.
    public func grant(_ address: HostAddress) -> Grant? {
        let matching = entries.filter {
            $0.bytes.count == address.bytes.count && Self.matches(address.bytes, $0.bytes, bits: $0.prefix)
        }
        return matching.max { $0.prefix < $1.prefix }?.grant
    }

    private static func parse(_ text: String) -> Entry? {
        let sides = text.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false).map(String.init)
        let parts = sides[0].split(separator: "/", maxSplits: 1, omittingEmptySubsequences: false).map(String.init)
        guard let address = SocketAddress(parts[0], port: 0).flatMap({ HostAddress($0) }) else { return nil }
        var prefix = address.bytes.count * 8
        if parts.count == 2 {
            guard parts[1].allSatisfy({ $0.isASCII && $0.isNumber }), let bits = Int(parts[1]),
                (0...prefix).contains(bits)
            else { return nil }
            prefix = bits
        }
        guard sides.count == 2 else { return Entry(bytes: address.bytes, prefix: prefix, grant: Grant()) }
        return parseGrant(sides[1]).map { Entry(bytes: address.bytes, prefix: prefix, grant: $0) }
    }

    /// Reads `OFFSET:LENGTH`, `OFFSET:LENGTH:ro` or `ro`.
    private static func parseGrant(_ text: String) -> Grant? {
        var words = text.split(separator: ":", omittingEmptySubsequences: false).map(String.init)
        let isReadOnly = words.last == "ro"
        if isReadOnly { words.removeLast() }
        if words.isEmpty { return isReadOnly ? Grant(isReadOnly: true) : nil }
        // Neither is above 63 bits: the sum is no more than 64.
        guard words.count == 2, let offset = ByteCount.parse(words[0]), let count = ByteCount.parse(words[1]), count > 0
        else { return nil }
        return Grant(range: offset..<offset + count, isReadOnly: isReadOnly)
    }

    private static func matches(_ a: [UInt8], _ b: [UInt8], bits: Int) -> Bool {
        for index in 0..<a.count {
            let left = bits - index * 8
            guard left > 0 else { return true }
            let mask: UInt8 = left >= 8 ? 0xff : ~(0xff >> UInt8(left))
            guard a[index] & mask == b[index] & mask else { return false }
        }
        return true
    }
}
