// SPDX-License-Identifier: Apache-2.0

internal import PeerMemory
internal import Synchronization
public import PeerMRCore
public import Verbs

extension PeerRegion {
    /// Registers parts of memory with every one of some domains: all of them, or none.
    ///
    /// Each part gets a region of its own in each domain, also where parts overlap or are the same, so that keys are as
    /// many as parts; their pages are pinned, and count against RLIMIT_MEMLOCK, once for each region. A dma-buf is
    /// exported once, by whoever made the memory, and all devices import that one. Memory that is larger than a device
    /// takes is registered in chunks; see ``ChunkedRegion``. A device's limit is its `max_mr_size`; on demand Soft-RoCE
    /// takes less than 2 GiB, and pinned memory is less than 2^32 pages.
    ///
    /// Where one registration fails, what had been registered is deregistered, and all threads have ended, before the
    /// error is thrown. It is the first in the order of the parts of those that occurred.
    ///
    /// - Parameters:
    ///   - parts: what to register: any memory, and ranges of it as ``MemoryPart``. None make an empty set.
    ///   - domains: the domains, at least one, also of several devices.
    ///   - access: what the devices, and their peers, may do.
    ///   - concurrency: how many threads register at once, the calling one among them: 1 to 256.
    ///   - chunkBytes: how large chunks are at most, in bytes: a multiple of a page; nil for as few as the device
    ///     allows. Memory of the NIC is never cut.
    ///   - prepare: what is done to host memory before.
    /// - Throws: `invalidArgument` without a domain, for a part of 0 bytes, for other numbers of threads and lengths of
    ///   chunks; `resourceLimit` for more regions than a device has, before any call; otherwise what the registration
    ///   of one part throws, see ``init(registering:on:access:options:)``, with that part in its reason.
    public static func register(
        _ parts: [any Memory], on domains: [ProtectionDomain], access: Access, concurrency: Int = 1,
        chunkBytes: Int? = nil, prepare: Preparation = .none
    ) throws(PeerMRError) -> RegionSet {
        let bulk = try BulkRegistration(parts, domains, access, concurrency, chunkBytes)
        var populated: UInt64 = 0
        let begin = monotonicNanoseconds()
        if prepare == .populate { populated = try bulk.populate() }
        let prepared = monotonicNanoseconds()
        try bulk.register()
        return RegionSet(
            parts, domains, bulk.regions, prepare, populatedBytes: populated,
            preparationNanoseconds: prepared - begin, registrationNanoseconds: monotonicNanoseconds() - prepared)
    }
}

/// What is to be registered, cut into the pieces that threads take.
struct BulkRegistration {
    /// One chunk of a part in a domain.
    private struct Piece: Sendable {
        let region: Int
        let chunk: Int
    }

    private let parts: [any Memory]
    private let domains: [ProtectionDomain]
    private let concurrency: Int
    /// By part, then domain. Nothing is registered yet.
    let regions: [ChunkedRegion]
    private let pieces: [Piece]

    static let mostThreads = 256
    /// How much of a mapping a thread populates at once.
    static let populationBytes = 64 << 20

    init(
        _ parts: [any Memory], _ domains: [ProtectionDomain], _ access: Access, _ concurrency: Int, _ chunkBytes: Int?
    ) throws(PeerMRError) {
        guard !domains.isEmpty else { throw .bulkWithoutDomain() }
        guard 1...Self.mostThreads ~= concurrency else { throw .bulkThreads(concurrency, Self.mostThreads) }
        if let chunkBytes, chunkBytes <= 0 || chunkBytes % pageBytes != 0 { throw .bulkChunk(chunkBytes, pageBytes) }
        self.parts = parts
        self.domains = domains
        self.concurrency = concurrency
        var regions: [ChunkedRegion] = []
        var pieces: [Piece] = []
        regions.reserveCapacity(parts.count * domains.count)
        var devices: [DeviceAttributes] = []
        for domain in domains { devices.append(try domain.context.attributes()) }
        // What a domain's own regions come to is known before the first of them is made.
        var counts = [Int](repeating: 0, count: domains.count)
        for (number, part) in parts.enumerated() {
            for (index, domain) in domains.enumerated() {
                let layout: ChunkLayout
                do throws(PeerMRError) {
                    layout = try Self.layout(of: part, access, domain, devices[index], chunkBytes)
                } catch {
                    guard parts.count > 1 || domains.count > 1 else { throw error }
                    throw .bulkPart(error, number, parts.count, nil, domain.context.device)
                }
                counts[index] += layout.count
                let most = devices[index].maximumRegions
                if most > 0, counts[index] > most { throw .bulkRegions(domain.context.device, most) }
                for chunk in 0..<layout.count { pieces.append(Piece(region: regions.count, chunk: chunk)) }
                regions.append(ChunkedRegion(part, domain, access, layout))
            }
        }
        self.regions = regions
        self.pieces = pieces
    }

    private static func layout(
        of part: any Memory, _ access: Access, _ domain: ProtectionDomain, _ attributes: DeviceAttributes,
        _ chunkBytes: Int?
    ) throws(PeerMRError) -> ChunkLayout {
        guard part.byteCount > 0 else { throw .bulkEmptyPart() }
        // Threads find the plan made.
        let plan = try DeviceCache.of(domain.context).plan(
            for: part.kind, of: part.owner == .host ? nil : part.provider, on: domain.context)
        let byteCount = UInt64(part.byteCount)
        let address: UInt64
        switch try part.backing(for: access) {
        case .mapped(let range): address = UInt64(range.address)
        case .dmaBuf(let range): address = range.ioAddress ?? range.offset
        case .deviceMemory: return ChunkLayout(whole: byteCount)
        }
        return ChunkLayout(
            of: byteCount, at: address,
            largest: plan.largestRegionBytes(plan.access(access), of: attributes.maximumRegionBytes),
            wanted: chunkBytes.map { UInt64($0) }, pageBytes: UInt64(pageBytes))
    }

    // MARK: - What threads do

    /// The first error in the order of the pieces.
    private final class Failure: Sendable {
        private let first = Mutex<(index: Int, error: PeerMRError)?>(nil)

        func note(_ index: Int, _ error: PeerMRError) {
            first.withLock { first in
                if first.map({ index < $0.index }) ?? true { first = (index, error) }
            }
        }

        var found: (index: Int, error: PeerMRError)? { first.withLock { $0 } }
    }

    /// Registers all, or leaves what was registered to the end of ``regions``.
    func register() throws(PeerMRError) {
        let failure = Failure()
        let (regions, pieces) = (regions, pieces)
        ParallelWork.run(pieces.count, threads: concurrency) { index in
            do throws(PeerMRError) {
                try regions[pieces[index].region].register(pieces[index].chunk)
                return true
            } catch {
                failure.note(index, error)
                return false
            }
        }
        guard let (index, error) = failure.found else { return }
        let region = regions[pieces[index].region]
        guard parts.count > 1 || region.chunkCount > 1 || domains.count > 1 else { throw error }
        let start = region.layout.start(of: pieces[index].chunk)
        let end = start + region.layout.length(of: pieces[index].chunk)
        throw .bulkPart(
            error, pieces[index].region / domains.count, parts.count, region.chunkCount > 1 ? start..<end : nil,
            region.domain.context.device)
    }

    /// Makes the pages of host memory be there.
    ///
    /// - Returns: how many bytes of it.
    func populate() throws(PeerMRError) -> UInt64 {
        var ranges: [(part: Int, range: IOVector, mayTouch: Bool)] = []
        for (number, part) in parts.enumerated() where part.kind == .host {
            guard case .mapped(let whole) = try part.backing(for: []) else { continue }
            HostPopulation.askForHugePages(whole)
            let isOurs = part.root is HostMemory
            var address = whole.address
            let end = whole.address + UInt(whole.byteCount)
            while address < end {
                let border = (address / UInt(Self.populationBytes) + 1) * UInt(Self.populationBytes)
                let next = min(end, border)
                ranges.append((number, IOVector(address: address, byteCount: Int(next - address)), isOurs))
                address = next
            }
        }
        let failure = Failure()
        let populated = Counter()
        let work = ranges
        ParallelWork.run(work.count, threads: concurrency) { index in
            do throws(PeerMRError) {
                let outcome = try HostPopulation.populate(work[index].range, mayTouch: work[index].mayTouch)
                if outcome == .populated { populated.add(work[index].range.byteCount) }
                return true
            } catch {
                failure.note(index, error)
                return false
            }
        }
        if let (index, error) = failure.found {
            throw .bulkPart(error, work[index].part, parts.count, nil, nil)
        }
        return populated.value
    }

    private final class Counter: Sendable {
        private let bytes = Atomic<UInt64>(0)
        func add(_ count: Int) { bytes.wrappingAdd(UInt64(count), ordering: .relaxed) }
        var value: UInt64 { bytes.load(ordering: .relaxed) }
    }
}

extension RegistrationPlan {
    /// The most bytes that a device takes as one region.
    ///
    /// - Soft-RoCE hands the length of an on-demand region on as an `int` (drivers/infiniband/sw/rxe/rxe_odp.c,
    ///   `rxe_odp_do_pagefault_and_lock`): from 2 GiB to 4 GiB it is negative, and EINVAL; beyond, another length.
    /// - The kernel counts the pages that it pins in 32 bits (drivers/infiniband/core/umem.c, `ib_umem_get`).
    ///
    /// - Parameter limit: what the device says, in bytes (`max_mr_size`); 0 where it says nothing.
    func largestRegionBytes(_ access: Access, of limit: UInt64) -> UInt64 {
        let page = UInt64(pageBytes)
        let device = limit == 0 ? UInt64.max : limit
        guard access.contains(.onDemand) else {
            return choice.method == .pinned ? min(device, UInt64(UInt32.max) * page) : device
        }
        return nic == .software ? min(device, (2 << 30) - page) : device
    }
}
