// SPDX-License-Identifier: Apache-2.0

public import Verbs

/// Many parts of memory, each registered with every one of some domains.
///
/// ``PeerRegion/register(_:on:access:concurrency:chunkBytes:prepare:)`` makes it, of all of them or of none. All is
/// deregistered with the last reference to the set and to the regions taken out of it.
public final class RegionSet: Sendable {
    /// The parts, in the order in which they were given.
    public let parts: [any Memory]
    /// The domains, in the order in which they were given.
    public let domains: [ProtectionDomain]
    /// What is done before memory is registered.
    public let preparation: Preparation
    /// How much host memory was populated, in bytes; 0 where the kernel has no call for it (Linux before 5.14), but for
    /// ``PeerMemory/HostMemory``.
    public let populatedBytes: UInt64
    /// How long it took to populate memory, in nanoseconds.
    public let preparationNanoseconds: UInt64
    /// How long it took to register all, in nanoseconds: without the preparation.
    public let registrationNanoseconds: UInt64
    private let regions: [ChunkedRegion]

    init(
        _ parts: [any Memory], _ domains: [ProtectionDomain], _ regions: [ChunkedRegion], _ preparation: Preparation,
        populatedBytes: UInt64, preparationNanoseconds: UInt64, registrationNanoseconds: UInt64
    ) {
        self.parts = parts
        self.domains = domains
        self.regions = regions
        self.preparation = preparation
        self.populatedBytes = populatedBytes
        self.preparationNanoseconds = preparationNanoseconds
        self.registrationNanoseconds = registrationNanoseconds
    }

    /// The region of a part in a domain, by their places in ``parts`` and ``domains``, which have to be valid as an
    /// array's. Take it out once, and ask it for keys.
    public subscript(part: Int, domain: Int) -> ChunkedRegion {
        precondition(domains.indices.contains(domain), "no domain of the set")
        return regions[part * domains.count + domain]
    }

    /// How many regions of devices there are: one for each chunk.
    public var regionCount: Int { regions.reduce(0) { $0 + $1.chunkCount } }
}

/// What is done to host memory before it is registered.
public enum Preparation: String, Hashable, Sendable, CaseIterable {
    /// Nothing: the registration allocates and clears pages that are not there.
    case none
    /// Pages are made to be there (MADV_POPULATE_WRITE), huge ones where the kernel has them and the mapping has room
    /// (MADV_HUGEPAGE, which stays set for it). Threads share the work.
    ///
    /// Memory that cannot be written to is populated for reading. Memory of devices and dma-bufs has its pages already,
    /// and is left alone.
    case populate
}
