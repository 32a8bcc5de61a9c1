// SPDX-License-Identifier: Apache-2.0

internal import Glibc
internal import PeerMRCore
internal import Synchronization

/// A registration that is being made, and that others wait for.
@safe
final class CacheFlight: @unchecked Sendable {
    /// What it is of: requests for the same wait for it.
    struct Key: Hashable {
        let key: CacheKey
        let start: UInt64
        let byteCount: UInt64
    }

    /// The slot of the region that was made, of which each who waits has a lease.
    typealias Outcome = Result<Int, PeerMRError>

    let key: Key
    /// Where this process has the memory mapped, where that is known.
    let addresses: Range<UInt64>?
    /// Under the cache's lock: how many wait, and whether the region has ended before it is there.
    var waiters = 0
    var isEnded = false

    private let lock: UnsafeMutablePointer<pthread_mutex_t>
    private let isDone: UnsafeMutablePointer<pthread_cond_t>
    private var outcome: Outcome?

    init(_ key: Key, _ addresses: Range<UInt64>?) {
        self.key = key
        self.addresses = addresses
        unsafe lock = .allocate(capacity: 1)
        unsafe isDone = .allocate(capacity: 1)
        unsafe pthread_mutex_init(lock, nil)
        unsafe pthread_cond_init(isDone, nil)
    }

    deinit {
        unsafe pthread_cond_destroy(isDone)
        unsafe pthread_mutex_destroy(lock)
        unsafe isDone.deallocate()
        unsafe lock.deallocate()
    }

    func finish(_ outcome: Outcome) {
        unsafe pthread_mutex_lock(lock)
        self.outcome = outcome
        unsafe pthread_cond_broadcast(isDone)
        unsafe pthread_mutex_unlock(lock)
    }

    func wait() -> Outcome {
        unsafe pthread_mutex_lock(lock)
        defer { unsafe pthread_mutex_unlock(lock) }
        while true {
            if let outcome { return outcome }
            unsafe pthread_cond_wait(isDone, lock)
        }
    }
}
