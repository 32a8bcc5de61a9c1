// SPDX-License-Identifier: Apache-2.0

// Names and documentation of the functions are those of the header.
// swift-format-ignore-file: AlwaysUseLowerCamelCase, AllPublicDeclarationsHaveDocumentation

public import CPeerMR
public import CVerbs
internal import PCITopology
internal import PeerMR
internal import PeerMemory
internal import PeerMRCore
internal import Verbs

/// A bulk registration that an application holds.
final class BulkBox: Sendable {
    let set: RegionSet

    init(_ set: RegionSet) { self.set = set }

    /// The region of a part in a domain, by their places.
    func region(_ part: Int, _ domain: Int) throws(PeerMRError) -> ChunkedRegion {
        guard set.parts.indices.contains(part) else { throw .noPlace(part, "part", set.parts.count) }
        guard set.domains.indices.contains(domain) else { throw .noPlace(domain, "ibv_pd", set.domains.count) }
        return set[part, domain]
    }
}

/// What struct peermr_bulk_options says.
private struct BulkOptions {
    var access: Access = [.localWrite]
    var threads = 1
    var chunkBytes: Int?
    var preparation = Preparation.none

    init(_ pointer: UnsafePointer<peermr_bulk_options>?) throws(PeerMRError) {
        guard let pointer = unsafe pointer else { return }
        var given = peermr_bulk_options()
        unsafe try Structs.read(pointer, "peermr_bulk_options", into: &given)
        access = Access(rawValue: UInt32(bitPattern: given.access))
        let known = UInt32(1)
        guard given.flags & ~known == 0 else { throw .unknownValue(UInt64(given.flags), "set of PEERMR_BULK_ flags") }
        guard given.reserved == 0 else { throw .unknownMembers("peermr_bulk_options") }
        if given.flags & known != 0 { preparation = .populate }
        if given.threads > 0 { threads = Int(given.threads) }
        if given.chunk_bytes > 0 { chunkBytes = Int(clamping: given.chunk_bytes) }
    }
}

/// What structs peermr_part say, as memory. A descriptor that several parts have is duplicated once.
private struct Parts {
    private var buffers: [Int32: DMABuf] = [:]
    private(set) var memories: [any Memory] = []
    /// No program has more.
    static let most = 1 << 24

    /// - Throws: `invalidArgument` for members that are none; otherwise what opening the memory throws.
    init(_ pointer: UnsafePointer<peermr_part>?, _ count: Int) throws(PeerMRError) {
        guard count > 0, let pointer = unsafe pointer else { return }
        // They are as far apart as the application's compiler has put them.
        let stride = unsafe UnsafeRawPointer(pointer).loadUnaligned(as: Int.self)
        memories.reserveCapacity(count)
        for index in 0..<count {
            let place = unsafe UnsafeRawPointer(pointer).advanced(by: index * stride)
            var part = unsafe peermr_part()
            unsafe try Structs.read(place.assumingMemoryBound(to: peermr_part.self), "peermr_part", into: &part)
            guard unsafe part.struct_size == stride else {
                throw .structSize("peermr_part", unsafe part.struct_size, stride, stride)
            }
            memories.append(unsafe try memory(of: part))
        }
    }

    private mutating func memory(of part: peermr_part) throws(PeerMRError) -> any Memory {
        let length = unsafe try byteCount(part.length)
        switch unsafe part.kind {
        case PEERMR_PART_ADDRESS:
            guard let address = unsafe part.address else { throw .null("address of a part") }
            return unsafe try UserMemory(at: UInt64(UInt(bitPattern: address)), byteCount: part.length)
        case PEERMR_PART_DMABUF:
            let number = unsafe part.fd
            let buffer = if let known = buffers[number] { known } else { try DMABuf(duplicating: number) }
            buffers[number] = buffer
            let provider = unsafe try part.provider_bdf == nil ? nil : address(part.provider_bdf, "provider_bdf")
            return unsafe try DMABufMemory(
                buffer, offset: part.offset, byteCount: part.length, provider: provider)
        case PEERMR_PART_P2PMEM:
            let whole = unsafe try Live.memories.use(part.p2pmem) { (box) throws(PeerMRError) in box.memory }
            return try MemoryPart(of: whole, at: Int(clamping: unsafe part.offset), count: length)
        default: throw .unknownValue(UInt64(unsafe part.kind.rawValue), "enum peermr_part_kind")
        }
    }
}

@c @implementation
public func peermr_register_bulk(
    _ pds: UnsafePointer<UnsafeMutablePointer<ibv_pd>?>?, _ pd_count: Int, _ parts: UnsafePointer<peermr_part>?,
    _ part_count: Int, _ options: UnsafePointer<peermr_bulk_options>?, _ out: UnsafeMutablePointer<OpaquePointer?>?
) -> peermr_status {
    report { () throws(PeerMRError) in
        let out = unsafe try validate(out)
        guard let pds = unsafe pds else { throw .null("pds") }
        guard unsafe parts != nil || part_count == 0 else { throw .null("parts") }
        guard 0...Parts.most ~= pd_count, 0...Parts.most ~= part_count else { throw .tooManyParts(Parts.most) }
        var domains: [ProtectionDomain] = []
        for index in 0..<pd_count { domains.append(unsafe try validateDomain(pds[index])) }
        let options = unsafe try BulkOptions(options)
        let memories = unsafe try Parts(parts, part_count).memories
        let set = try PeerRegion.register(
            memories, on: domains, access: options.access, concurrency: options.threads,
            chunkBytes: options.chunkBytes, prepare: options.preparation)
        unsafe out.pointee = try Live.bulks.add(BulkBox(set))
    }
}

@c @implementation
public func peermr_bulk_info(_ bulk: OpaquePointer?, _ out: UnsafeMutablePointer<peermr_bulk_info>?) -> peermr_status {
    report { () throws(PeerMRError) in
        let out = unsafe try Structs.validate(out, "peermr_bulk_info")
        unsafe try Live.bulks.use(bulk) { (box) throws(PeerMRError) in
            unsafe Structs.fill(
                out,
                peermr_bulk_info(
                    struct_size: 0, region_count: UInt64(box.set.regionCount), populated_bytes: box.set.populatedBytes,
                    populate_nanoseconds: box.set.preparationNanoseconds,
                    register_nanoseconds: box.set.registrationNanoseconds))
        }
    }
}

@c @implementation
public func peermr_bulk_keys(
    _ bulk: OpaquePointer?, _ part: Int, _ pd: Int, _ offset: UInt64, _ length: UInt64,
    _ out: UnsafeMutablePointer<peermr_keys>?
) -> peermr_status {
    unsafe keys(bulk, part, pd, out) { (region) throws(PeerMRError) in
        do throws(SliceError) {
            return try region.keys(at: offset, count: length)
        } catch {
            guard error == .acrossChunks else { throw .outsidePart(length, offset, region.byteCount) }
            throw .acrossChunks(length, offset, region.chunkBytes)
        }
    }
}

@c @implementation
public func peermr_bulk_piece(
    _ bulk: OpaquePointer?, _ part: Int, _ pd: Int, _ offset: UInt64, _ length: UInt64,
    _ out: UnsafeMutablePointer<peermr_keys>?
) -> peermr_status {
    unsafe keys(bulk, part, pd, out) { (region) throws(PeerMRError) in
        do throws(SliceError) {
            // Of no bytes there is no piece, and there are keys all the same.
            var pieces = try region.pieces(at: offset, count: length)
            if let piece = pieces.next() { return piece }
            return try region.keys(at: offset, count: length)
        } catch {
            throw .outsidePart(length, offset, region.byteCount)
        }
    }
}

private func keys(
    _ bulk: OpaquePointer?, _ part: Int, _ pd: Int, _ out: UnsafeMutablePointer<peermr_keys>?,
    _ body: (ChunkedRegion) throws(PeerMRError) -> RegionKeys
) -> peermr_status {
    report { () throws(PeerMRError) in
        let out = unsafe try Structs.validate(out, "peermr_keys")
        let keys = unsafe try Live.bulks.use(bulk) { (box) throws(PeerMRError) in try body(box.region(part, pd)) }
        unsafe Structs.fill(
            out,
            peermr_keys(
                struct_size: 0, lkey: keys.localKey, rkey: keys.remoteKey, io_address: keys.address,
                length: keys.byteCount, alignment: keys.constraint.alignment,
                path_mtu: UInt32(clamping: keys.constraint.pathMTUBytes), reserved: 0))
    }
}

@c @implementation
public func peermr_bulk_deregister(_ bulk: OpaquePointer?) -> peermr_status {
    report { () throws(PeerMRError) in unsafe try Live.bulks.end(bulk) { _ in } }
}
