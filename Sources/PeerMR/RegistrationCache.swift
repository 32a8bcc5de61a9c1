// SPDX-License-Identifier: Apache-2.0

internal import PeerMemory
internal import Synchronization
public import PeerMRCore
public import Verbs

/// Regions that stay registered, found again by what the memory is.
///
/// Other caches find regions by their virtual addresses, hook munmap(2) to learn when an address has come to mean other
/// memory, and corrupt data where they learn it too late. This one finds them by the memory's identity: the number that
/// the kernel gave a dma-buf, or the object of this process that holds the memory, which the region keeps alive. So a
/// descriptor or an address that has come to mean something else finds nothing.
///
/// - A lookup is for a range of a memory, a domain, and rights. It finds a region that has all of the range: with
///   exactly the same remote rights, so that nobody gets a key that opens more than was asked for, and with at least
///   the local ones.
/// - A lookup that finds one costs two atomic operations with the return of the lease. It takes no lock, allocates
///   nothing and counts no reference. See ``reader()`` for one that writes nothing that other threads see.
/// - A lookup that finds none registers. Threads that ask for the same meanwhile wait for it; others do not. A failure
///   is not remembered.
/// - A region is deregistered when it is evicted (``Limits``) or ended (``invalidate(_:)`` and others), and then not
///   before its last lease is given back.
///
/// After fork(2) the child's cache is empty, and refuses.
public final class RegistrationCache: Sendable {
    let store: CacheStore
    private let names: Mutex<Names>
    private static let requestCount = Atomic<UInt64>(0)

    /// How much a cache keeps. Leased regions count, and are never evicted.
    public struct Limits: Hashable, Sendable {
        /// The most regions, from 1 to ``mostRegions``.
        public var regions: Int
        /// The most bytes in them.
        public var bytes: Int
        /// The largest limit of regions.
        public static let mostRegions = 1 << 24

        /// Limits of your own.
        public init(regions: Int = 4096, bytes: Int = Int.max) {
            self.regions = regions
            self.bytes = bytes
        }
    }

    /// What a lookup that finds nothing may register.
    public enum Widening: Hashable, Sendable {
        /// The range that was asked for.
        case none
        /// All of the memory, so that ranges elsewhere in it are found from then on. Never for remote access: a key
        /// would open more than was asked for.
        case buffer
    }

    /// Small numbers for what is compared as a whole.
    private struct Names {
        var handles: [DMAHandle] = []
    }

    /// A cache without regions.
    ///
    /// - Throws: `invalidArgument` for a limit out of range, `resourceLimit` (ENOMEM) without memory.
    public init(_ limits: Limits = Limits()) throws(PeerMRError) {
        store = try CacheStore(limits)
        names = Mutex(Names())
    }

    deinit { store.close() }

    /// Looks up what regions of a memory have in common, for many leases.
    ///
    /// - Parameters:
    ///   - memory: the memory. The regions of the cache, and the request, keep it alive.
    ///   - domain: the domain that the regions belong to.
    ///   - access: what the device, and its peers, may do.
    ///   - options: an I/O address and hints, where they matter.
    ///   - widening: what a lookup that finds nothing may register.
    /// - Throws: `invalidArgument` for host memory that is known by its address alone, which nothing distinguishes from
    ///   what is mapped there next; `resourceLimit` for too many DMA handles; `notSupported` in a child process.
    public func request(
        for memory: any Memory, on domain: ProtectionDomain, access: Access,
        options: RegistrationOptions = RegistrationOptions(), widening: Widening = .none
    ) throws(PeerMRError) -> RegionRequest {
        // A region of the same may be there that was registered by another way to it, which allows more.
        try (memory.root as? UserMemory)?.validate(access)
        let (identity, space) = try identify(memory, as: Self.identity(of: memory, on: domain))
        let offset = memory.identityOffset
        // By an address of the application's, devices and peers know memory by that address.
        let address =
            options.ioAddress
            ?? (memory.root as? UserMemory).map { UInt64($0.address) &+ (offset &- $0.identityOffset) }
        let handle = try options.handle.map { handle throws(PeerMRError) in try number(of: handle) } ?? 0
        let key = CacheKey(
            identity: identity, domain: try number(of: domain),
            traits: RegionTraits.requested(access, space: space, handle: handle),
            ioAddress: address.map { $0 &- offset })
        return RegionRequest(
            memory: memory, domain: domain, access: access, options: options,
            widening: access.isRemote ? .none : widening, byteCount: memory.byteCount,
            offset: offset, key: key, cache: ObjectIdentifier(store),
            number: Self.nextNumber())
    }

    static func nextNumber() -> UInt64 { requestCount.wrappingAdd(1, ordering: .relaxed).newValue }

    /// What a memory is known by in a domain.
    ///
    /// A mapping of the application's of p2pmem is known by its pool and its address, because an on-demand region
    /// follows what is mapped there. One that is pinned does not: it is known by the object, as long as that lives.
    private static func identity(of memory: any Memory, on domain: ProtectionDomain) -> MemoryIdentity {
        guard case .pool = memory.identity else { return memory.identity }
        let plan = try? DeviceCache.of(domain.context).plan(for: memory.kind, of: memory.provider, on: domain.context)
        return plan?.choice.method == .onDemand ? memory.identity : .object(ObjectIdentifier(memory.root))
    }

    func identify(
        _ memory: any Memory, as identity: MemoryIdentity
    ) throws(PeerMRError) -> (UInt64, space: UInt64) {
        if let user = memory.root as? UserMemory, user.kind == .host { throw .addressWithoutIdentity() }
        let number: UInt64?
        let inode: UInt64
        switch identity {
        case .object(let object): return (UInt64(UInt(bitPattern: object)), 0)
        case .dmaBuf(let device, let found): (number, inode) = (store.spaces.number(of: device, .buffers), found)
        case .pool(let device, let found): (number, inode) = (store.spaces.number(of: device, .pools), found)
        }
        guard let number else { throw .cacheNames("file systems of memory", CacheSpaces.most) }
        return (inode, number)
    }

    func number(of domain: ProtectionDomain) throws(PeerMRError) -> UInt64 {
        let raw = unsafe UInt(bitPattern: domain.rawObject)
        return try store.withState { state -> (UInt64, CacheState.Ended) in (state.domains.number(of: raw), []) }
    }

    func number(of handle: DMAHandle) throws(PeerMRError) -> UInt64 {
        let number = names.withLock { names -> Int? in
            if let known = names.handles.firstIndex(where: { $0 === handle }) { return known }
            guard names.handles.count < 255 else { return nil }
            names.handles.append(handle)
            return names.handles.count - 1
        }
        guard let number else { throw .cacheNames("DMA handles", 255) }
        return UInt64(number + 1)
    }
}

// MARK: - Leases

extension RegistrationCache {
    /// A region that has a range of the request's memory, registered now where there is none.
    ///
    /// - Parameters:
    ///   - request: memory, domain and rights; of this cache.
    ///   - offset: where the range begins in the memory, in bytes.
    ///   - count: how long it is, in bytes; nil for all that follows `offset`.
    /// - Throws: `invalidArgument` for a range that is empty or not inside the memory, for a request of another cache,
    ///   and for one whose domain was released; `resourceLimit` where far more regions are leased than the limits
    ///   allow; `notSupported` in a child process; otherwise what the registration throws, see
    ///   ``PeerRegion/init(registering:on:access:options:)``.
    public func lease(
        _ request: RegionRequest, at offset: Int = 0, count: Int? = nil
    ) throws(PeerMRError) -> RegionLease {
        let count = count ?? request.byteCount &- offset
        guard request.has(offset, count) else {
            throw Self.outside(request, offset, count)
        }
        let (start, length) = (request.offset &+ UInt64(offset), UInt64(count))
        guard let lease = store.lease(request.key, start, length) else {
            return try miss(request, start, length)
        }
        return RegionLease(lease, length, store)
    }

    /// Why a lookup cannot succeed, where it is not for want of a region.
    package func refusal(of request: RegionRequest, at offset: Int, count: Int) -> PeerMRError? {
        if store.index.isWiped { return .cacheOfParent() }
        if request.cache != ObjectIdentifier(store) { return .requestOfOther() }
        return request.has(offset, count) ? nil : Self.outside(request, offset, count)
    }

    // Out of the way of lookups that are right: what makes an error allocates.
    @inline(never)
    private static func outside(_ request: RegionRequest, _ offset: Int, _ count: Int) -> PeerMRError {
        .outsideCached(count, offset, request.byteCount)
    }

    /// The same for a single lease: each makes a request, which takes a lock. See
    /// ``request(for:on:access:options:widening:)``.
    public func lease(
        _ memory: any Memory, _ range: Range<Int>? = nil, on domain: ProtectionDomain, access: Access,
        options: RegistrationOptions = RegistrationOptions(), widening: Widening = .none
    ) throws(PeerMRError) -> RegionLease {
        let request = try request(for: memory, on: domain, access: access, options: options, widening: widening)
        return try lease(request, at: range?.lowerBound ?? 0, count: range?.count)
    }
}
