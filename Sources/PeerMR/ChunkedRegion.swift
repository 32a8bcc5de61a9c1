// SPDX-License-Identifier: Apache-2.0

internal import PeerMRCore
public import Verbs

/// Memory that is registered with one device, in as many chunks as that takes: one object, and one range of addresses.
///
/// Addresses go on from chunk to chunk; keys do not. A local buffer that lies in two chunks is a scatter-gather list
/// of two elements; a peer's buffer that does takes two work requests, because each has one remote key.
/// ``pieces(at:count:)`` gives both what they need. Where no transfer crosses a border ``keys(at:count:)`` is enough:
/// borders are ``chunkBytes`` apart and at multiples of 2 MiB of the address, or of a page where chunks are no such
/// multiple.
///
/// ``PeerRegion/register(_:on:access:concurrency:chunkBytes:prepare:)`` makes it. The regions are deregistered, and the
/// memory is let go of, with the last reference to the object.
@safe
public final class ChunkedRegion: @unchecked Sendable {
    /// The memory.
    public let memory: any Memory
    /// The domain that it is registered in.
    public let domain: ProtectionDomain
    /// What the device, and its peers, may do.
    public let access: Access
    let layout: ChunkLayout
    private let slots: UnsafeMutablePointer<PeerRegion?>
    private let table: UnsafeMutablePointer<RegionKeys>

    init(_ memory: any Memory, _ domain: ProtectionDomain, _ access: Access, _ layout: ChunkLayout) {
        self.memory = memory
        self.domain = domain
        self.access = access
        self.layout = layout
        unsafe slots = .allocate(capacity: layout.count)
        unsafe table = .allocate(capacity: layout.count)
        let none = RegionKeys(address: 0, byteCount: 0, localKey: 0, remoteKey: 0, constraint: .any)
        unsafe table.initialize(repeating: none, count: layout.count)
        for index in 0..<layout.count { unsafe (slots + index).initialize(to: nil) }
    }

    deinit {
        unsafe slots.deinitialize(count: layout.count)
        unsafe slots.deallocate()
        unsafe table.deallocate()
    }

    /// Registers one chunk. Each is registered once, by whichever thread.
    func register(_ index: Int) throws(PeerMRError) {
        let (start, count) = (layout.start(of: index), layout.length(of: index))
        let part: any Memory =
            layout.count == 1 ? memory : try MemoryPart(of: memory, at: Int(start), count: Int(count))
        let region = try PeerRegion(registering: part, on: domain, access: access)
        unsafe table[index] = region.keys
        unsafe slots[index] = consume region
    }
}

extension ChunkedRegion {
    /// The length in bytes.
    public var byteCount: UInt64 { layout.byteCount }
    /// The length of a chunk in bytes; the first and the last may be shorter.
    public var chunkBytes: UInt64 { layout.chunkBytes }
    /// How many chunks there are: regions of the device.
    public var chunkCount: Int { layout.count }
    /// The address that the device knows the first byte by. That of the byte at an offset is as much larger.
    public var address: UInt64 { unsafe table[0].address }

    /// The keys of a range that lies in one chunk: a division and two loads, nothing is allocated.
    ///
    /// - Parameters:
    ///   - offset: where the range begins in the memory, in bytes.
    ///   - count: its length in bytes.
    /// - Throws: ``Verbs/SliceError/outOfBounds`` for what is not inside the memory,
    ///   ``Verbs/SliceError/acrossChunks`` for what no one key opens: see ``pieces(at:count:)``.
    public func keys(at offset: UInt64, count: UInt64) throws(SliceError) -> RegionKeys {
        guard offset <= byteCount, count <= byteCount - offset else { throw .outOfBounds }
        // Nothing at the end of the memory is in the last chunk.
        let index = layout.index(of: offset == byteCount ? offset - 1 : offset)
        let inner = offset - layout.start(of: index)
        let keys = unsafe table[index]
        guard count <= keys.byteCount - inner else { throw .acrossChunks }
        return keys.part(at: inner, count: count)
    }

    /// A range that lies in one chunk, for a work request.
    ///
    /// - Throws: as ``keys(at:count:)``, and as ``Verbs/RegionKeys/element(at:count:)``.
    public func element(at offset: UInt64, count: UInt64) throws(SliceError) -> ScatterGatherElement {
        try keys(at: offset, count: count).element(at: 0, count: count)
    }

    /// The keys of a range, chunk by chunk.
    ///
    /// - Throws: ``Verbs/SliceError/outOfBounds`` for what is not inside the memory.
    public func pieces(at offset: UInt64, count: UInt64) throws(SliceError) -> Pieces {
        guard offset <= byteCount, count <= byteCount - offset else { throw .outOfBounds }
        return Pieces(region: self, offset: offset, end: offset + count)
    }

    /// The region that has a byte, for what is seldom asked for: a proof, or the cause of a completion with an error.
    ///
    /// - Returns: nil past the end.
    public func withRegion<Value: Sendable, Failure>(
        at offset: UInt64, _ body: (borrowing PeerRegion) throws(Failure) -> Value
    ) throws(Failure) -> Value? {
        guard offset < byteCount else { return nil }
        switch unsafe slots[layout.index(of: offset)] {
        case .some(let region): return try body(region)
        case .none: return nil
        }
    }

    /// What a range is made of, one chunk after another; none of an empty range.
    public struct Pieces: Sequence, IteratorProtocol, Sendable {
        let region: ChunkedRegion
        var offset: UInt64
        let end: UInt64

        /// The keys of the next piece: its address, length and both keys; nil past the last.
        public mutating func next() -> RegionKeys? {
            guard offset < end else { return nil }
            let index = region.layout.index(of: offset)
            let count = Swift.min(end, region.layout.start(of: index + 1)) - offset
            guard let keys = try? region.keys(at: offset, count: count) else { return nil }
            offset += count
            return keys
        }
    }
}
