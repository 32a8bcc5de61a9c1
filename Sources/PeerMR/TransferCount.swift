// SPDX-License-Identifier: Apache-2.0

/// How many bytes went which way, so that a bounce never goes unnoticed.
public struct TransferCount: Hashable, Sendable {
    /// Bytes that a NIC moved into or out of peer memory, with no buffer in between.
    public private(set) var peerToPeer: UInt64 = 0
    /// Bytes that went through a host buffer although peer memory was asked for.
    public private(set) var bounced: UInt64 = 0
    /// Bytes that went through host memory, as asked.
    public private(set) var host: UInt64 = 0

    /// Nothing yet.
    public init() {}

    /// Counts bytes that have gone through a region.
    public mutating func add(_ bytes: UInt64, through region: borrowing PeerRegion) {
        if region.isPeerToPeer {
            peerToPeer += bytes
        } else if region.bounceReason != nil {
            bounced += bytes
        } else {
            host += bytes
        }
    }
}
