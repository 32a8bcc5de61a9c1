// SPDX-License-Identifier: Apache-2.0

// Names and documentation of the functions are those of the header.
// swift-format-ignore-file: AlwaysUseLowerCamelCase, AllPublicDeclarationsHaveDocumentation

public import CPeerMR
internal import PeerMR
internal import PeerMRCore

/// A cache that an application holds. Its requests and readers hold it as well.
final class CacheBox: @unchecked Sendable {
    private(set) var cache: RegistrationCache

    init(_ cache: RegistrationCache) { self.cache = cache }

    /// Whether there are requests or readers. Only for the one that ends the box.
    func isUsed() -> Bool { !isKnownUniquelyReferenced(&cache) }
}

@c @implementation
public func peermr_cache_create(
    _ limits: UnsafePointer<peermr_cache_limits>?, _ out: UnsafeMutablePointer<OpaquePointer?>?
) -> peermr_status {
    report { () throws(PeerMRError) in
        let out = unsafe try validate(out)
        var wanted = RegistrationCache.Limits()
        if let limits = unsafe limits {
            var given = peermr_cache_limits()
            unsafe try Structs.read(limits, "peermr_cache_limits", into: &given)
            wanted = RegistrationCache.Limits(regions: Int(clamping: given.regions), bytes: Int(clamping: given.bytes))
        }
        unsafe out.pointee = try Live.caches.add(CacheBox(RegistrationCache(wanted)))
    }
}

@c @implementation
public func peermr_cache_free(_ cache: OpaquePointer?) -> peermr_status {
    report { () throws(PeerMRError) in
        unsafe try Live.caches.end(cache) { (box) throws(PeerMRError) in
            guard !box.isUsed() else { throw .cacheIsUsed() }
        }
    }
}

@c @implementation
public func peermr_cache_statistics(
    _ cache: OpaquePointer?, _ out: UnsafeMutablePointer<peermr_cache_statistics>?
) -> peermr_status {
    report { () throws(PeerMRError) in
        let out = unsafe try Structs.validate(out, "peermr_cache_statistics")
        let seen = unsafe try Live.caches.use(cache) { (box) throws(PeerMRError) in try box.cache.statistics() }
        func evictions(_ cause: CacheStatistics.Eviction) -> UInt64 { seen.evictions[cause] ?? 0 }
        func invalidations(_ cause: CacheStatistics.Invalidation) -> UInt64 { seen.invalidations[cause] ?? 0 }
        unsafe Structs.fill(
            out,
            peermr_cache_statistics(
                struct_size: 0, hits: seen.hits, misses: seen.misses, waits: seen.waits,
                evictions_count: evictions(.count), evictions_bytes: evictions(.bytes),
                evictions_memory: evictions(.memory), invalidations_buffer: invalidations(.buffer),
                invalidations_range: invalidations(.range), invalidations_provider: invalidations(.provider),
                invalidations_domain: invalidations(.domain), invalidations_loss: invalidations(.loss),
                invalidations_all: invalidations(.all), regions: UInt64(seen.regions),
                ended_regions: UInt64(seen.endedRegions), bytes_leased: seen.bytesLeased, bytes_idle: seen.bytesIdle,
                registration_nanoseconds: seen.registrationNanoseconds, saved_nanoseconds: seen.savedNanoseconds))
    }
}
