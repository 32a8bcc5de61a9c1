// SPDX-License-Identifier: Apache-2.0

/// A path MTU as the specification codes it: 1 is 256 bytes, 5 is 4096.
public struct PathMTU: RawRepresentable, Hashable, Sendable {
    /// The value of `enum ibv_mtu`.
    public let rawValue: UInt32
    /// Wraps a value of `enum ibv_mtu`.
    public init(rawValue: UInt32) { self.rawValue = rawValue }
    /// The payload of a full packet, in bytes; 0 for a code that the specification does not have.
    public var bytes: Int { (1...5).contains(rawValue) ? 128 << Int(rawValue) : 0 }
}

extension PathMTU {
    /// The code for a payload of that many bytes; nil for one that the specification does not have.
    public init?(exactlyBytes bytes: Int) {
        guard let code = (1...5).first(where: { PathMTU(rawValue: UInt32($0)).bytes == bytes }) else { return nil }
        self.init(rawValue: UInt32(code))
    }
}
