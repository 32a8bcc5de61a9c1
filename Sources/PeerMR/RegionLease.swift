// SPDX-License-Identifier: Apache-2.0

public import Verbs

/// A region of a cache, which stays registered as long as the lease lives.
///
/// Give it back when no request that uses its keys is outstanding any more: it goes back by itself, where the value
/// ends.
@safe
public struct RegionLease: ~Copyable, @unchecked Sendable {
    private let slot: UnsafeMutablePointer<CacheSlot>
    private let count: LeaseCount.Place
    private let store: Unmanaged<CacheStore>
    /// What addresses work requests need, of the range that was asked for.
    public let keys: RegionKeys

    @inline(__always)
    init(_ lease: CacheLease, _ byteCount: UInt64, _ store: CacheStore) {
        unsafe slot = unsafe lease.hit.slot
        unsafe count = unsafe lease.count
        // The store outlives its leases by itself.
        unsafe self.store = .passUnretained(store)
        keys = lease.hit.regionKeys(byteCount)
    }

    deinit {
        if unsafe CacheIndex.giveBack(slot, count) {
            unsafe store._withUnsafeGuaranteedRef { unsafe $0.retire(slot) }
        }
    }

    /// Hands the lease to the caller, who gives it back by ``DetachedLease/giveBack(_:_:)``.
    package consuming func detach() -> DetachedLease {
        let detached = unsafe DetachedLease(
            slot: UnsafeMutableRawPointer(slot), count: UnsafeMutableRawPointer(count), store: store.toOpaque(),
            keys: keys)
        discard self
        return detached
    }
}

extension CacheHit {
    @inline(__always)
    func regionKeys(_ count: UInt64) -> RegionKeys {
        RegionKeys(
            address: address, byteCount: count, localKey: UInt32(truncatingIfNeeded: keys),
            remoteKey: UInt32(truncatingIfNeeded: keys >> 32), alignment: RegionTraits.alignment(in: traits),
            pathMTUBytes: RegionTraits.pathMTUBytes(in: traits))
    }
}

extension RegionLease {
    /// The whole region, for what is seldom asked for: a proof, or the cause of a completion with an error.
    ///
    /// - Returns: nil in a child process, whose cache has no regions.
    public borrowing func withRegion<Value: Sendable, Failure>(
        _ body: (borrowing PeerRegion) throws(Failure) -> Value
    ) throws(Failure) -> Value? {
        guard let cached = unsafe store._withUnsafeGuaranteedRef({ unsafe $0.region(of: slot) }) else { return nil }
        return try body(cached.region)
    }

    /// Ends the region: a completion had an error, or its memory was revoked. No lookup finds it from here on, and it
    /// is deregistered with its last lease.
    public borrowing func invalidate() {
        unsafe store._withUnsafeGuaranteedRef { unsafe $0.end(slot) }
    }
}
