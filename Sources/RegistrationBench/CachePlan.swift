// SPDX-License-Identifier: Apache-2.0

package import PeerMRCore
package import Verbs
internal import PeerMR

/// What a run of the cache's bench measures.
package struct CachePlan: Sendable {
    /// The memory that regions are of.
    package var memories: [BenchMemory]
    /// How long a region is, in bytes.
    package var regionBytes: UInt64 = 65536
    /// How many regions of a memory are used, in random order.
    package var regions = 64
    /// The most regions that the cache keeps; nil for all that are used.
    package var limit: Int?
    /// How many lookups each thread makes.
    package var lookups = 1_000_000
    /// How many threads look up at once.
    package var threads = 1
    /// What devices and peers may do.
    package var access: Access = [.localWrite, .remoteRead, .remoteWrite]

    /// The most regions, threads and lookups.
    package static let mostRegions = 1 << 20
    package static let mostThreads = 256
    package static let mostLookups = 1 << 40

    /// A plan with what is usual.
    package init(memories: [BenchMemory]) { self.memories = memories }

    /// - Throws: `invalidArgument` for what cannot be measured.
    package func validate() throws(PeerMRError) {
        guard regions > 0, regions <= Self.mostRegions else { throw .badCount("regions", regions, Self.mostRegions) }
        guard threads > 0, threads <= Self.mostThreads else { throw .badThreads(threads, Self.mostThreads) }
        guard lookups > 0, lookups <= Self.mostLookups else { throw .badCount("lookups", lookups, Self.mostLookups) }
        let (bytes, isTooMuch) = regionBytes.multipliedReportingOverflow(by: UInt64(regions))
        guard !isTooMuch, bytes <= UInt64(Int.max) else { throw .hugeRequest(UInt64.max) }
        if let limit {
            let most = RegistrationCache.Limits.mostRegions
            guard limit > 0, limit <= most else { throw .badCount("regions in the cache", limit, most) }
        }
    }
}
