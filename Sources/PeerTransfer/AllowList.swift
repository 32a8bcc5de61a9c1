// SPDX-License-Identifier: Apache-2.0

public import PeerMR

/// The addresses that the server takes connections from: its own host's always, and those it was told.
public struct AllowList: Sendable {
    private var networks: [(bytes: [UInt8], prefix: Int)] = []

    /// Only this host's own addresses.
    public init() {}

    /// Reads `ADDRESS` or `ADDRESS/BITS` for each; nil for a list with a malformed entry.
    public init?(_ entries: [String]) {
        for entry in entries {
            let parts = entry.split(separator: "/", maxSplits: 1, omittingEmptySubsequences: false)
            guard let address = SocketAddress(String(parts[0]), port: 0) else { return nil }
            let bytes = address.addressBytes
            var prefix = bytes.count * 8
            if parts.count == 2 {
                guard parts[1].allSatisfy({ $0.isASCII && $0.isNumber }), let bits = Int(parts[1]),
                    (0...prefix).contains(bits)
                else { return nil }
                prefix = bits
            }
            networks.append((bytes, prefix))
        }
    }

    /// Whether a client may connect. RDMA has no loopback interface: a client of the same host comes from the
    /// server's own address.
    public func admits(_ peer: SocketAddress?, local: SocketAddress?) -> Bool {
        guard let peer else { return false }
        let bytes = peer.addressBytes
        if let local, local.addressBytes == bytes { return true }
        if bytes.first == 127 && bytes.count == 4 { return true }
        return networks.contains { network in
            network.bytes.count == bytes.count
                && Self.matches(bytes, network.bytes, bits: network.prefix)
        }
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
