// SPDX-License-Identifier: Apache-2.0

/// A piece of a peer's memory in a work request: numbers that the peer has sent.
public struct RemoteAddress: BitwiseCopyable, Hashable, Sendable {
    /// The address in the peer's region.
    public let address: UInt64
    /// The peer's remote key.
    public let key: UInt32

    /// What a peer has told.
    public init(address: UInt64, key: UInt32) {
        self.address = address
        self.key = key
    }
}
