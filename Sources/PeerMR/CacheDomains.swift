// SPDX-License-Identifier: Apache-2.0

internal import Synchronization

/// The protection domains that a cache has regions of, by numbers that no other cache has, nor this one gives twice:
/// libibverbs may give a domain the address of one that was deallocated. Under the cache's lock.
struct CacheDomains {
    private var current: [UInt: UInt64] = [:]
    /// Numbers of domains that were released while regions of them were leased.
    private var leaving: [UInt: [UInt64]] = [:]
    private static let count = Atomic<UInt64>(0)

    /// The number of a domain, by the address of the `struct ibv_pd`.
    mutating func number(of raw: UInt) -> UInt64 {
        if let known = current[raw] { return known }
        let number = Self.count.wrappingAdd(1, ordering: .relaxed).newValue
        current[raw] = number
        return number
    }

    /// Whether a request may still register: its domain was not released, and this cache made it.
    func isCurrent(_ number: UInt64, _ raw: UInt) -> Bool { current[raw] == number }

    /// Begins, or goes on, to release a domain. Requests of it find nothing from here on, and register nothing.
    ///
    /// - Returns: the numbers that regions of it have.
    mutating func release(_ raw: UInt) -> [UInt64] {
        if let number = current.removeValue(forKey: raw) { leaving[raw, default: []].append(number) }
        return leaving[raw] ?? []
    }

    /// No region of the domain is left.
    mutating func hasLeft(_ raw: UInt) { leaving[raw] = nil }
}
