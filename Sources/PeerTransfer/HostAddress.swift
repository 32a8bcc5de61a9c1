// SPDX-License-Identifier: Apache-2.0

public import PeerMR

/// An IP address, or a GID in its place: 4 bytes for IPv4, however it was written, and 16 for all else.
public struct HostAddress: Hashable, Sendable {
    let bytes: [UInt8]

    /// 4 or 16 bytes in network order; nil for any other number of them.
    public init?(networkOrder bytes: [UInt8]) {
        switch bytes.count {
        case 4: self.bytes = bytes
        // ::ffff:a.b.c.d is a.b.c.d to a socket for both families, and to a GID.
        case 16 where GID(networkOrder: bytes)?.isMappedIPv4 ?? false: self.bytes = Array(bytes[12...])
        case 16: self.bytes = bytes
        default: return nil
        }
    }

    /// The address of a socket.
    public init?(_ address: SocketAddress) { self.init(networkOrder: address.addressBytes) }

    /// The address that a GID stands for on Ethernet; elsewhere the GID.
    public init?(_ gid: GID) { self.init(networkOrder: gid.bytes) }

    /// Whether it is one of a host's addresses for itself: 127.0.0.0/8 and ::1.
    public var isLoopback: Bool {
        bytes.count == 4 ? bytes[0] == 127 : bytes.dropLast().allSatisfy { $0 == 0 } && bytes.last == 1
    }
}

extension HostAddress: CustomStringConvertible {
    /// The address as people write it.
    public var description: String {
        bytes.count == 4 ? bytes.map(String.init).joined(separator: ".") : GID(networkOrder: bytes)?.description ?? "?"
    }
}
