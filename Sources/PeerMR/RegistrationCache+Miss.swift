// SPDX-License-Identifier: Apache-2.0

internal import CLeases
internal import PeerMRCore
internal import SystemPackage
internal import Verbs

// A lookup that found nothing.
extension RegistrationCache {
    private enum Step: @unchecked Sendable {
        case found(CacheLease)
        case wait(CacheFlight)
        case register(CacheFlight)
        case refuse
    }

    /// Looks once more, under the lock; then waits for the registration that another thread makes, or makes it.
    @inline(never)
    func miss(
        _ request: RegionRequest, _ start: UInt64, _ count: UInt64
    ) throws(PeerMRError) -> RegionLease {
        let isWide = request.widening == .buffer
        let (first, size) = isWide ? (request.offset, UInt64(request.byteCount)) : (start, count)
        let flightKey = CacheFlight.Key(key: request.key, start: first, byteCount: size)
        let raw = unsafe UInt(bitPattern: request.domain.rawObject)
        let step = try store.withState { state -> (Step, CacheState.Ended) in
            // Nothing ends meanwhile.
            let counter = state.counts.existing(peermr_counter(), store.index)
            if let lease = store.lease(request.key, start, count, counter: counter) { return (.found(lease), []) }
            guard state.domains.isCurrent(request.key.domain, raw) else { return (.refuse, []) }
            if let flight = state.flights[flightKey], !flight.isEnded {
                flight.waiters += 1
                state.statistics.waits += 1
                return (.wait(flight), [])
            }
            let flight = CacheFlight(
                flightKey, request.memory.addresses(from: Int(first - request.offset), count: Int(size)))
            state.flights[flightKey] = flight
            state.statistics.misses += 1
            return (.register(flight), [])
        }
        let slot: Int
        switch step {
        case .found(let lease): return RegionLease(lease, count, store)
        case .refuse:
            throw request.cache == ObjectIdentifier(store) ? .domainReleased() : .requestOfOther()
        case .wait(let flight): slot = try flight.wait().get()
        case .register(let flight):
            let outcome = Result { () throws(PeerMRError) in try register(request, flightKey, flight) }
            // Whoever asks from here on begins anew.
            flight.finish(outcome)
            slot = try outcome.get()
        }
        guard let lease = store.leased(slot, start) else { throw .cacheOfParent() }
        return RegionLease(lease, count, store)
    }

    /// Registers, and once more where memory was short and idle regions could be let go.
    private func register(
        _ request: RegionRequest, _ key: CacheFlight.Key, _ flight: CacheFlight
    ) throws(PeerMRError) -> Int {
        do throws(PeerMRError) {
            let region = try registered(request, key)
            return try store.add(region, key, flight)
        } catch {
            try? store.withState { state -> (Void, CacheState.Ended) in
                if state.flights[key] === flight { state.flights[key] = nil }
                return ((), [])
            }
            throw error
        }
    }

    private func registered(
        _ request: RegionRequest, _ key: CacheFlight.Key
    ) throws(PeerMRError) -> CachedRegion {
        do throws(PeerMRError) {
            return try CachedRegion(PeerRegion(registering: request, key.start, key.byteCount))
        } catch {
            guard error.errno == .noMemory, try store.evict(.memory, bytes: key.byteCount) > 0 else { throw error }
            return try CachedRegion(PeerRegion(registering: request, key.start, key.byteCount))
        }
    }
}

extension PeerRegion {
    fileprivate init(registering request: RegionRequest, _ start: UInt64, _ count: UInt64) throws(PeerMRError) {
        let start = start - request.offset
        let isWhole = start == 0 && count == UInt64(request.byteCount)
        var options = request.options
        if let address = options.ioAddress { options.ioAddress = address &+ start }
        try self.init(
            registering: isWhole ? request.memory : MemoryPart(of: request.memory, at: Int(start), count: Int(count)),
            on: request.domain, access: request.access, options: options)
    }
}
