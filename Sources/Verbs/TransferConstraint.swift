// SPDX-License-Identifier: Apache-2.0

/// The transfers that a device does right on a region.
///
/// Most devices take any. Soft-RoCE's on-demand paging moves data right only where every packet begins on a page
/// (drivers/infiniband/sw/rxe/rxe_odp.c ignores the offset inside a page and reports success), so its regions
/// admit only work requests that begin on a page, on a path whose packets are whole pages.
public struct TransferConstraint: Hashable, Sendable {
    /// What the address of a transfer must be a multiple of, in bytes; a power of two.
    public let alignment: UInt64
    /// The only path MTU at which transfers are right, in bytes; 0 where any is.
    public let pathMTUBytes: Int

    /// A constraint of your own.
    public init(alignment: UInt64, pathMTUBytes: Int) {
        precondition(
            alignment > 0 && alignment & (alignment - 1) == 0, "an alignment that is no power of two")
        self.alignment = alignment
        self.pathMTUBytes = pathMTUBytes
    }

    /// Every transfer is right.
    public static let any = TransferConstraint(alignment: 1, pathMTUBytes: 0)
    /// The largest payload of a packet, in bytes: that of the path MTU of code 5.
    public static let largestPacketBytes = 4096
    /// Transfers that begin on a page of 4096 bytes, in packets of one page. The last may be shorter.
    ///
    /// Only for machines with pages of that size: larger ones fit in no packet.
    public static let wholePages = TransferConstraint(
        alignment: UInt64(largestPacketBytes), pathMTUBytes: largestPacketBytes)
}
