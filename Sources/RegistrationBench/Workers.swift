// SPDX-License-Identifier: Apache-2.0

internal import Glibc
internal import Synchronization
internal import SystemPackage
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
        var threads: [pthread_t] = []
        var failure: Errno?
        for _ in 0..<count {
            var thread = pthread_t()
            let context = unsafe Unmanaged.passRetained(shared)
            let result = unsafe pthread_create(
                &thread, nil,
                { context in
                    guard let context = unsafe context else { return nil }
                    unsafe Unmanaged<Shared>.fromOpaque(context).takeRetainedValue().work()
                    return nil
                }, context.toOpaque())
            guard result == 0 else {
                unsafe context.release()
                failure = Errno(rawValue: result)
                shared.isAborted.store(true, ordering: .relaxed)
                break
            }
            threads.append(thread)
        }
        for thread in threads { _ = pthread_join(thread, nil) }
        if let failure { throw .thread(failure, count) }
        return shared.batches.withLock { $0 }
    }
}
