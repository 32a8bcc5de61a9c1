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
    /// Transfers that begin on a 4096-byte page, in packets of 4096 bytes. The last may be shorter.
    public static let wholePages = TransferConstraint(alignment: 4096, pathMTUBytes: 4096)
}

/// Why a part of a region cannot be addressed. One byte: it is thrown on the data path.
public enum SliceError: UInt8, Error, Hashable, Sendable {
    /// It does not lie inside the region, or is longer than one work request can be (4 GiB - 1).
    case outOfBounds
    /// The region's ``TransferConstraint`` does not admit the address.
    case misaligned
    /// The memory has no address in this process: it is a dma-buf.
    case noAddress
}

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
    private let alignment: UInt64
    private let pathMTUBytes: Int

    init(
        address: UInt64, byteCount: UInt64, localKey: UInt32, remoteKey: UInt32,
        constraint: TransferConstraint
    ) {
        self.address = address
        self.byteCount = byteCount
        self.localKey = localKey
        self.remoteKey = remoteKey
        alignment = constraint.alignment
        pathMTUBytes = constraint.pathMTUBytes
    }

    /// The transfers that are right on this region.
    public var constraint: TransferConstraint {
        TransferConstraint(alignment: alignment, pathMTUBytes: pathMTUBytes)
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

/// A piece of local memory in a work request. The corresponding C type is `struct ibv_sge`, whose layout it has.
public struct ScatterGatherElement: BitwiseCopyable, Hashable, Sendable {
    let address: UInt64
    /// The length in bytes.
    public let count: UInt32
    let key: UInt32
}

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
