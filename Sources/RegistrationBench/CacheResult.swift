// SPDX-License-Identifier: Apache-2.0

package import CommandSupport
package import PeerMR
package import PeerMRCore

/// What was measured of one memory.
package struct CacheResult: Sendable {
    /// The memory.
    package let memory: BenchMemory
    /// How its regions are registered; nil where none was.
    package internal(set) var method: Method?
    /// Registrations without a cache, and their ends, in nanoseconds.
    package internal(set) var register = Distribution()
    package internal(set) var deregister = Distribution()
    /// Lookups that registered, in nanoseconds.
    package internal(set) var miss = Distribution()
    /// Leases and their return, in picoseconds for each, of batches of a thousand: of one thread, and of all at once.
    package internal(set) var lease: [UInt64] = []
    package internal(set) var leaseByThreads: [UInt64] = []
    /// The same of one thread that has the address alone; none of memory that is not mapped.
    package internal(set) var leaseByAddress: [UInt64] = []
    /// Lookups of a thread's own reader, in picoseconds for each, of batches of a thousand that it found all of.
    package internal(set) var reader: [UInt64] = []
    /// Invalidating a region that is idle, in nanoseconds, with its deregistration.
    package internal(set) var invalidation = Distribution()
    /// What the cache said when the lookups were over and one region was still leased.
    package internal(set) var during = CacheStatistics()
    /// What it said when all regions had ended.
    package internal(set) var after = CacheStatistics()
    /// Why it was not measured, or not to the end.
    package internal(set) var refusal: PeerMRError?
    /// Whether someone ended it.
    package internal(set) var wasInterrupted = false

    init(_ memory: BenchMemory) { self.memory = memory }
}

/// The best and the median of times for each of many lookups.
package struct LookupTimes: Sendable {
    /// In nanoseconds.
    package let best: Double
    package let median: Double

    /// - Returns: nil without a time.
    package init?(_ picoseconds: [UInt64]) {
        let sorted = picoseconds.sorted()
        guard let first = sorted.first else { return nil }
        best = Double(first) / 1000
        median = Double(sorted[sorted.count / 2]) / 1000
    }
}
