// SPDX-License-Identifier: Apache-2.0

/// How many bytes went which way, so that a bounce never goes unnoticed.
public struct TransferCount: Hashable, Sendable {
    /// Bytes that a NIC moved into or out of memory that is known to be a peer's, with no buffer in between.
    public private(set) var peerToPeer: UInt64 = 0
    /// Bytes that went through a host buffer although peer memory was asked for.
    public private(set) var bounced: UInt64 = 0
    /// Bytes that went through host memory, as asked.
    public private(set) var host: UInt64 = 0

    /// Bytes that a NIC moved into or out of a dma-buf, with no buffer in between, of which nobody knows whether it is
    /// a peer's memory or the host's.
    public private(set) var unknown: UInt64 = 0

    /// Nothing yet.
    public init() {}

    /// Counts bytes that have gone through a region.
    public mutating func add(_ bytes: UInt64, through region: borrowing PeerRegion) {
        if region.bounceReason != nil {
            bounced += bytes
            return
        }
        switch region.owner {
        case .peer: peerToPeer += bytes
        case .unknown: unknown += bytes
        case .host, .nic: host += bytes
        }
    }
}
