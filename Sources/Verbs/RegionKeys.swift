// SPDX-License-Identifier: Apache-2.0

/// The numbers that work requests need of a region. A plain value; using it after the region is gone
/// gives a completion with an error, never access to other memory.
public struct RegionKeys: BitwiseCopyable, Hashable, Sendable {
    /// The address that the device knows the first byte by: for work requests and for peers.
    public let address: UInt64
    /// The length in bytes.
    public let byteCount: UInt64
    /// The key for the own device.
    public let localKey: UInt32
    /// The key to give to a peer.
    public let remoteKey: UInt32
    @usableFromInline package let alignment: UInt64
    @usableFromInline package let pathMTUBytes: Int

    package init(
        address: UInt64, byteCount: UInt64, localKey: UInt32, remoteKey: UInt32,
        constraint: TransferConstraint
    ) {
        self.init(
            address: address, byteCount: byteCount, localKey: localKey, remoteKey: remoteKey,
            alignment: constraint.alignment, pathMTUBytes: constraint.pathMTUBytes)
    }

    // A hit of the cache makes one: without a call.
    @inlinable package init(
        address: UInt64, byteCount: UInt64, localKey: UInt32, remoteKey: UInt32, alignment: UInt64, pathMTUBytes: Int
    ) {
        self.address = address
        self.byteCount = byteCount
        self.localKey = localKey
        self.remoteKey = remoteKey
        self.alignment = alignment
        self.pathMTUBytes = pathMTUBytes
    }

    /// The transfers that are right on this region.
    public var constraint: TransferConstraint {
        TransferConstraint(alignment: alignment, pathMTUBytes: pathMTUBytes)
    }

    /// The numbers of a part, which the caller knows to be inside.
    package func part(at offset: UInt64, count: UInt64) -> RegionKeys {
        RegionKeys(
            address: address &+ offset, byteCount: count, localKey: localKey, remoteKey: remoteKey,
            alignment: alignment, pathMTUBytes: pathMTUBytes)
    }

    /// A part of the region, for a work request.
    ///
    /// - Throws: ``SliceError``; never allocates.
    public func element(at offset: UInt64, count: UInt64) throws(SliceError) -> ScatterGatherElement {
        guard offset <= byteCount, count <= byteCount - offset, count <= UInt64(UInt32.max) else {
            throw .outOfBounds
        }
        guard (address &+ offset) & (alignment - 1) == 0 else { throw .misaligned }
        return ScatterGatherElement(address: address &+ offset, count: UInt32(count), key: localKey)
    }
}
