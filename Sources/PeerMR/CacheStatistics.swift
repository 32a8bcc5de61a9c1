// SPDX-License-Identifier: Apache-2.0

/// What a cache did and holds.
public struct CacheStatistics: Hashable, Sendable {
    /// Why an idle region was deregistered to make room.
    public enum Eviction: String, Hashable, Sendable, CaseIterable {
        /// The limit of regions.
        case count
        /// The limit of bytes.
        case bytes
        /// A registration failed without memory (ENOMEM) and was tried once more.
        case memory
    }

    /// Why a region was ended whether it was used or not.
    public enum Invalidation: String, Hashable, Sendable, CaseIterable {
        /// The memory was named, or a range of it.
        case buffer, range
        /// The PCI function whose memory it is was named.
        case provider
        /// Its protection domain was released.
        case domain
        /// A lease of it was: a completion had an error, or the memory was revoked.
        case loss
        /// The whole cache was cleared.
        case all
    }

    /// Lookups that found a region.
    public internal(set) var hits: UInt64 = 0
    /// Lookups that registered one, or tried to.
    public internal(set) var misses: UInt64 = 0
    /// Lookups that waited for another thread's registration of the same.
    public internal(set) var waits: UInt64 = 0
    /// Idle regions that were deregistered to make room, by cause.
    public internal(set) var evictions: [Eviction: UInt64] = [:]
    /// Regions that were ended, by cause.
    public internal(set) var invalidations: [Invalidation: UInt64] = [:]
    /// Regions that can be found, and regions that have ended and are leased still.
    public internal(set) var regions = 0
    /// Regions that have ended and are leased still, or may be seen by a reader.
    public internal(set) var endedRegions = 0
    /// Bytes of regions that are leased.
    public internal(set) var bytesLeased: UInt64 = 0
    /// Bytes of regions that nobody leases.
    public internal(set) var bytesIdle: UInt64 = 0
    /// How long the registrations took, in nanoseconds.
    public internal(set) var registrationNanoseconds: UInt64 = 0
    /// How long the hits would have taken as registrations, in nanoseconds: for each region its hits times its
    /// registration.
    public internal(set) var savedNanoseconds: UInt64 = 0

    /// A cache that has done nothing.
    public init() {}

    mutating func count(hits count: UInt64, nanoseconds: UInt64) {
        hits += count
        savedNanoseconds = savedNanoseconds &+ count &* nanoseconds
    }
}
