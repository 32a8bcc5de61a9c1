// SPDX-License-Identifier: Apache-2.0

internal import Synchronization

/// The file systems that memory with a number in one is on, by small numbers of the cache's own. They are two as far as
/// kernels go: that of dma-bufs and sysfs, where pools of p2pmem are. Read without a lock.
@safe
final class CacheSpaces: @unchecked Sendable {
    /// What has a number there.
    enum Kind: UInt64 {
        case buffers = 1
        case pools = 2
    }

    /// Words that are never changed once they are not 0: the number of the file system, and the kind.
    private let words: UnsafeMutablePointer<Atomic<UInt64>>
    /// As many as a key has room for; see ``RegionTraits/space``.
    static let most = 15
    private static let kindBits: UInt64 = 2

    init() {
        unsafe words = .allocate(capacity: Self.most)
        for index in 0..<Self.most { unsafe (words + index).initialize(to: Atomic(0)) }
    }

    deinit {
        unsafe words.deinitialize(count: Self.most)
        unsafe words.deallocate()
    }

    /// The number of a file system, from 1 on, which it has from here on.
    ///
    /// - Returns: nil where there are too many.
    func number(of device: UInt64, _ kind: Kind) -> UInt64? {
        guard device < 1 << (64 - Self.kindBits) else { return nil }
        let wanted = device << Self.kindBits | kind.rawValue
        for index in 0..<Self.most {
            let (isNew, found) = unsafe words[index].compareExchange(
                expected: 0, desired: wanted, ordering: .acquiringAndReleasing)
            if isNew || found == wanted { return UInt64(index + 1) }
        }
        return nil
    }

    /// The number of a file system of some kind, and whether pools are there.
    ///
    /// - Returns: nil where nothing on it was ever asked for.
    @inline(__always)
    func find(_ device: UInt64) -> (number: UInt64, isOfPools: Bool)? {
        for index in 0..<Self.most {
            let word = unsafe words[index].load(ordering: .acquiring)
            if word == 0 { return nil }
            if word >> Self.kindBits == device {
                return (UInt64(truncatingIfNeeded: index &+ 1), word & Kind.pools.rawValue != 0)
            }
        }
        return nil
    }

    /// Whether a key is of a pool that the application has mapped.
    func isOfPool(_ key: CacheKey) -> Bool {
        let number = Int((key.traits & RegionTraits.space) >> RegionTraits.spaceShift)
        guard 1...Self.most ~= number else { return false }
        return unsafe words[number - 1].load(ordering: .acquiring) & Kind.pools.rawValue != 0
    }
}
