// SPDX-License-Identifier: Apache-2.0

internal import CLinux
public import PeerMemory
internal import Synchronization
public import PeerMRCore
public import Verbs

// Lookups by those who have an address and nothing else. The kernel is asked what is mapped there each time: what it
// says is the key, so that an address that has come to mean other memory finds nothing of before.
extension RegistrationCache {
    /// Looks up what leases by address have in common.
    ///
    /// - Parameters:
    ///   - domain: the domain that the regions belong to.
    ///   - access: what the device, and its peers, may do.
    ///   - options: hints, where they matter. Devices and peers know memory by its address in this process.
    ///   - widening: what a lookup that finds nothing may register: the range, or all of the mapping.
    ///   - arenas: host memory that addresses may be of; other host memory is refused.
    ///   - root: where `/proc` and `/sys` are; tests put another there.
    /// - Throws: `invalidArgument` where the options have an I/O address; `resourceLimit` for too many DMA handles;
    ///   `notSupported` in a child process.
    public func addressRequest(
        on domain: ProtectionDomain, access: Access, options: RegistrationOptions = RegistrationOptions(),
        widening: Widening = .none, arenas: [HostArena] = [], root: SystemRoot = .live
    ) throws(PeerMRError) -> AddressRequest {
        guard options.ioAddress == nil else { throw .addressTwice() }
        let handle = try options.handle.map { handle throws(PeerMRError) in try number(of: handle) } ?? 0
        return AddressRequest(
            domain: domain, access: access, options: options, widening: access.isRemote ? .none : widening,
            arenas: arenas, domainNumber: try number(of: domain),
            traits: RegionTraits.requested(access, space: 0, handle: handle), places: ArenaPlaces(arenas),
            cache: ObjectIdentifier(store), root: root, isLive: root.isLive, isWriting: access.isWriting)
    }

    /// A region that has a range of addresses, registered now where there is none.
    ///
    /// One that is found costs two system calls (PROCMAP_QUERY, Linux 6.11), less than a microsecond; without that call
    /// `/proc/self/maps` is read. It takes no lock, allocates nothing and counts no reference. What is mapped may be
    /// p2pmem, a dma-buf that this process has a descriptor of, or memory of the request's arenas.
    ///
    /// The key is good as long as that stays mapped: end the regions (``invalidate(addresses:)``) before p2pmem that
    /// peers have keys of is unmapped, as such a region is one over addresses, whatever comes there.
    ///
    /// - Parameters:
    ///   - request: domain and rights; of this cache.
    ///   - address: the address of the first byte in this process, which is the I/O address, too.
    ///   - count: the length in bytes.
    /// - Throws: `invalidArgument` for an empty range, one with holes in it or over several objects, for host memory
    ///   that is in no arena of the request, for a request of another cache, and for one whose domain was released;
    ///   `notSupported` for a mapping of a device's driver, and in a child process; otherwise what
    ///   ``PeerMemory/UserMemory`` and the registration throw.
    public func lease(
        _ request: AddressRequest, at address: UInt64, count: Int
    ) throws(PeerMRError) -> RegionLease {
        let length = UInt64(truncatingIfNeeded: count)
        guard count > 0, let lease = store.lease(request, address, length) else {
            return try recognize(request, address, count)
        }
        return RegionLease(lease, length, store)
    }

    /// Looks more closely at what is mapped, and registers it where the cache has no region of it.
    @inline(never)
    func recognize(
        _ request: AddressRequest, _ address: UInt64, _ count: Int
    ) throws(PeerMRError) -> RegionLease {
        guard !store.index.isWiped else { throw .cacheOfParent() }
        guard request.cache == ObjectIdentifier(store) else { throw .requestOfOther() }
        let length = UInt64(max(0, count))
        let mapped = unsafe try UserMemory(
            mappedAt: address, byteCount: length, whole: request.widening == .buffer, root: request.root)
        let wanted = address..<address + length
        switch mapped.object {
        case .p2pmem, .dmabuf:
            let (identity, space) = try identify(mapped, as: mapped.identity)
            let key = request.key(identity, space: space, ioAddress: UInt64(mapped.address) &- mapped.identityOffset)
            try store.endOthers(at: wanted, but: CacheBuffer(key))
            try store.endOutgrown(at: wanted, of: CacheBuffer(key), mapped.identity, request.root)
            try mapped.validate(request.access)
            return try lease(request.of(mapped, key), at: Int(address - UInt64(mapped.address)), count: count)
        case .device: throw .addressOfDevice(mapped.object)
        case .host:
            try store.endOthers(at: wanted, but: nil)
            guard let (index, place) = request.places.find(address, length) else { throw .addressWithoutIdentity() }
            let key = request.key(place.identity, space: 0, ioAddress: nil)
            return try lease(
                request.of(request.arenas[index], key), at: Int(address - place.start), count: count)
        }
    }

    /// Ends the regions of memory that is, or was, mapped at addresses of a range, whatever is mapped there by now:
    /// before the application unmaps it. That of a dma-buf by its descriptor alone is mapped nowhere.
    ///
    /// - Returns: how many ended.
    @discardableResult
    public func invalidate(addresses: Range<UInt64>) throws(PeerMRError) -> Int {
        guard !addresses.isEmpty else { return 0 }
        return try end(.range, { $0.addresses?.overlaps(addresses) == true }) { state in
            state.books.taken.map(Int.init).filter { number in
                guard let region = state.books.region(number) else { return false }
                let memory = region.region.memory
                return memory.addresses(from: 0, count: memory.byteCount)?.overlaps(addresses) == true
            }
        }
    }
}

extension Memory {
    /// Where this process has a range of it mapped; nil where that is not known.
    func addresses(from offset: Int, count: Int) -> Range<UInt64>? {
        let root = root
        let base: UInt64
        switch root {
        case let user as UserMemory: base = UInt64(user.address)
        case let mapped as any MappingBacked: base = unsafe UInt64(UInt(bitPattern: mapped.baseAddress))
        default: return nil
        }
        let start = base &+ (identityOffset &- root.identityOffset) &+ UInt64(truncatingIfNeeded: offset)
        return start <= .max - UInt64(count) ? start..<start + UInt64(count) : nil
    }
}

extension AddressRequest {
    fileprivate func key(_ identity: UInt64, space: UInt64, ioAddress: UInt64?) -> CacheKey {
        CacheKey(
            identity: identity, domain: domainNumber, traits: traits | space << RegionTraits.spaceShift,
            ioAddress: ioAddress)
    }

    /// A request of what was found.
    fileprivate func of(_ memory: any Memory, _ key: CacheKey) -> RegionRequest {
        RegionRequest(
            memory: memory, domain: domain, access: access, options: options, widening: widening,
            byteCount: memory.byteCount, offset: memory.identityOffset, key: key, cache: cache,
            number: RegistrationCache.nextNumber())
    }
}

extension CacheStore {
    /// Asks the kernel what is mapped at an address, and leases a region of that.
    ///
    /// - Returns: nil where there is none, and for all that has to be looked at more closely.
    @inline(__always)
    func lease(_ request: AddressRequest, _ address: UInt64, _ count: UInt64) -> CacheLease? {
        var found = peermr_mapping()
        guard request.isLive, request.cache == ObjectIdentifier(self), unsafe peermr_mapping_at(address, &found) == 0,
            address >= found.start, address < found.end, count <= found.end &- address
        else { return nil }
        guard found.inode != 0 else {
            // Without a file: memory of the host.
            guard let (_, place) = request.places.find(address, count) else { return nil }
            let key = request.key(place.identity, space: 0, ioAddress: nil)
            return lease(key, address &- place.start, count)
        }
        guard let space = spaces.find(found.device), found.is_shared != 0,
            !request.isWriting || found.is_writable != 0
        else { return nil }
        let start = space.isOfPools ? address : found.offset &+ (address &- found.start)
        let key = request.key(found.inode, space: space.number, ioAddress: address &- start)
        let lease = self.lease(key, start, count)
        guard space.isOfPools, let lease else { return lease }
        // A region over addresses that were this memory's when it was registered, and are not all of them now.
        let size = unsafe lease.hit.slot.pointee.byteCount.load(ordering: .relaxed)
        guard lease.hit.start >= found.start, size <= found.end &- lease.hit.start else {
            unsafe giveBack(lease.hit.slot, lease.count)
            return nil
        }
        return lease
    }

    /// Ends the regions on demand that have a range of addresses of a pool, and are over more than that has there now.
    fileprivate func endOutgrown(
        at addresses: Range<UInt64>, of buffer: CacheBuffer, _ identity: MemoryIdentity, _ root: SystemRoot
    ) throws(PeerMRError) {
        let found = try withState { state -> ([Int: Range<UInt64>], CacheState.Ended) in
            guard state.pools.contains(buffer) else { return ([:], []) }
            let ranges = state.books.slots(of: buffer).map { ($0, self.range(of: $0)) }
            return (Dictionary(uniqueKeysWithValues: ranges.filter { $0.1.overlaps(addresses) }), [])
        }
        // The kernel is asked without the lock.
        let outgrown = found.filter { _, range in
            let now = unsafe try? UserMemory(
                mappedAt: range.lowerBound, byteCount: UInt64(range.count), whole: false, root: root)
            return now?.identity != identity
        }
        guard !outgrown.isEmpty else { return }
        try withState { state -> (Void, CacheState.Ended) in
            let slots = Set(state.books.slots(of: buffer))
            let numbers = outgrown.filter { slots.contains($0.key) && self.range(of: $0.key) == $0.value }
            return ((), state.end(Array(numbers.keys), .range, self.index).regions)
        }
    }

    /// The addresses, or the part of a dma-buf, that a slot's region is over.
    func range(of number: Int) -> Range<UInt64> {
        let slot = unsafe index.slots + number
        let first = unsafe slot.pointee.start.load(ordering: .relaxed)
        return unsafe first..<first + slot.pointee.byteCount.load(ordering: .relaxed)
    }

    /// Ends the regions on demand of addresses at which another memory is mapped by now: they are over the addresses,
    /// and would open that memory.
    ///
    /// - Parameter buffer: what is mapped there.
    fileprivate func endOthers(at addresses: Range<UInt64>, but buffer: CacheBuffer?) throws(PeerMRError) {
        try withState { state -> (Void, CacheState.Ended) in
            let pools = state.pools.filter { $0 != buffer }
            guard !pools.isEmpty else { return ((), []) }
            for flight in state.flights.values
            where pools.contains(CacheBuffer(flight.key.key)) && flight.addresses?.overlaps(addresses) == true {
                flight.isEnded = true
            }
            let numbers = pools.flatMap { state.books.slots(of: $0) }
            let meant = numbers.filter { self.range(of: $0).overlaps(addresses) }
            return ((), state.end(meant, .range, self.index).regions)
        }
    }
}
