// SPDX-License-Identifier: Apache-2.0

internal import Glibc
internal import Synchronization
internal import PeerMRCore

/// Runs a sampler on several threads at once.
enum Workers {
    /// What the threads share.
    private final class Shared: Sendable {
        let ready = Atomic<Int>(0)
        let finished = Atomic<Int>(0)
        let isAborted = Atomic<Bool>(false)
        let batches = Mutex<[Batch]>([])
        let count: Int
        let sampler: Sampler

        init(_ sampler: Sampler, _ count: Int) {
            self.sampler = sampler
            self.count = count
        }

        func work() {
            var hasFinished = false
            let batch = sampler.run(
                start: {
                    // All have their memory before the first of them samples.
                    ready.add(1, ordering: .acquiringAndReleasing)
                    while ready.load(ordering: .acquiring) < count, !isAborted.load(ordering: .relaxed) {
                        sched_yield()
                    }
                },
                goOn: {
                    if !hasFinished {
                        hasFinished = true
                        finished.add(1, ordering: .acquiringAndReleasing)
                    }
                    return finished.load(ordering: .acquiring) < count && !isAborted.load(ordering: .relaxed)
                })
            batches.withLock { $0.append(batch) }
        }
    }

    /// Runs it on `count` threads, on this one where that is 1, and waits for all of them.
    ///
    /// - Throws: `resourceLimit` where the threads cannot be made.
    static func run(_ sampler: Sampler, count: Int) throws(PeerMRError) -> [Batch] {
        guard count > 1 else { return [sampler.run()] }
        let shared = Shared(sampler, count)
        try Threads.run(count, onFailure: { shared.isAborted.store(true, ordering: .relaxed) }) { _ in shared.work() }
        return shared.batches.withLock { $0 }
    }
}
