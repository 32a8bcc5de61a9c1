// SPDX-License-Identifier: Apache-2.0

internal import Synchronization
package import Verbs

/// A lease as addresses, for those who keep it where Swift does not see it.
@safe
package struct DetachedLease {
    package let slot: UnsafeMutableRawPointer
    package let count: UnsafeMutableRawPointer
    package let store: UnsafeMutableRawPointer
    package let keys: RegionKeys

    /// Gives a lease back.
    ///
    /// - Returns: false in a child process, which has none.
    @unsafe
    package static func giveBack(
        _ slot: UnsafeMutableRawPointer, _ count: UnsafeMutableRawPointer, _ store: UnsafeMutableRawPointer
    ) -> Bool {
        let slot = unsafe slot.assumingMemoryBound(to: CacheSlot.self)
        let count = unsafe count.assumingMemoryBound(to: Atomic<UInt64>.self)
        // What the child finds there is zeros.
        guard unsafe CacheIndex.isLeased(count) else { return false }
        guard unsafe CacheIndex.giveBack(slot, count) else { return true }
        unsafe Unmanaged<CacheStore>.fromOpaque(store)._withUnsafeGuaranteedRef { unsafe $0.retire(slot) }
        return true
    }

    /// Ends the region of a lease, as ``RegionLease/invalidate()`` does.
    ///
    /// - Returns: false in a child process, which has none.
    @unsafe
    package static func invalidate(
        _ slot: UnsafeMutableRawPointer, _ count: UnsafeMutableRawPointer, _ store: UnsafeMutableRawPointer
    ) -> Bool {
        let slot = unsafe slot.assumingMemoryBound(to: CacheSlot.self)
        guard unsafe CacheIndex.isLeased(count.assumingMemoryBound(to: Atomic<UInt64>.self)) else { return false }
        unsafe Unmanaged<CacheStore>.fromOpaque(store)._withUnsafeGuaranteedRef { unsafe $0.end(slot) }
        return true
    }
}

extension DetachedLease {
    /// What a lookup of so many bytes found.
    @inline(__always)
    fileprivate init(_ lease: CacheLease, _ byteCount: UInt64, _ store: CacheStore) {
        unsafe self.init(
            slot: UnsafeMutableRawPointer(lease.hit.slot), count: UnsafeMutableRawPointer(lease.count),
            store: Unmanaged.passUnretained(store).toOpaque(), keys: lease.hit.regionKeys(byteCount))
    }
}

/// A request and its cache in one object: who has its address looks up without a copy of either.
package final class BoundRequest: Sendable {
    package let cache: RegistrationCache
    package let request: RegionRequest
    private let store: CacheStore

    package init(_ request: RegionRequest, of cache: RegistrationCache) {
        self.cache = cache
        self.request = request
        store = cache.store
    }

    /// A lease of a region that the cache has.
    ///
    /// - Returns: nil where it has none; ``RegistrationCache/lease(_:at:count:)-(_,Int,_)`` then registers it or says
    ///   what is wrong.
    package func leaseIfCached(at offset: Int, count: Int) -> DetachedLease? {
        guard request.has(offset, count) else { return nil }
        let (start, length) = (request.offset &+ UInt64(offset), UInt64(count))
        guard let lease = store.lease(request.key, start, length) else { return nil }
        return DetachedLease(lease, length, store)
    }
}

/// The same for lookups by address.
package final class BoundAddresses: Sendable {
    package let cache: RegistrationCache
    package let request: AddressRequest
    private let store: CacheStore

    package init(_ request: AddressRequest, of cache: RegistrationCache) {
        self.cache = cache
        self.request = request
        store = cache.store
    }

    /// A lease of a region that the cache has.
    ///
    /// - Returns: nil where it has none, and for what has to be looked at more closely.
    package func leaseIfCached(at address: UInt64, count: UInt64) -> DetachedLease? {
        guard count > 0, let lease = store.lease(request, address, count) else { return nil }
        return DetachedLease(lease, count, store)
    }
}
