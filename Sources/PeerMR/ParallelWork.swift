// SPDX-License-Identifier: Apache-2.0

internal import Glibc
internal import PeerMRCore
internal import Synchronization

/// Pieces of work, which several threads take one after another, the calling one among them.
enum ParallelWork {
    private final class Shared: Sendable {
        let count: Int
        let next = Atomic<Int>(0)
        let isOver = Atomic<Bool>(false)
        let body: @Sendable (Int) -> Bool

        init(_ count: Int, _ body: @escaping @Sendable (Int) -> Bool) {
            self.count = count
            self.body = body
        }

        func work() {
            while !isOver.load(ordering: .relaxed) {
                let index = next.wrappingAdd(1, ordering: .relaxed).oldValue
                guard index < count else { return }
                if !body(index) { isOver.store(true, ordering: .relaxed) }
            }
        }
    }

    /// Does pieces 0 to `count - 1`, and returns when all threads have ended.
    ///
    /// Where the system gives fewer threads, those do it: at worst the calling one. None of them takes a signal.
    ///
    /// - Parameter body: one piece; false ends it all, but for pieces that others are at.
    static func run(_ count: Int, threads: Int, _ body: @escaping @Sendable (Int) -> Bool) {
        let shared = Shared(count, body)
        let helpers = min(threads, count) - 1
        let started = helpers > 0 ? start(helpers, shared) : []
        shared.work()
        for thread in started { thread.join() }
    }

    private static func start(_ count: Int, _ shared: Shared) -> [SystemThread] {
        var threads: [SystemThread] = []
        // The application's handlers run on the application's threads.
        var all = sigset_t()
        var before = sigset_t()
        unsafe sigfillset(&all)
        _ = unsafe pthread_sigmask(SIG_SETMASK, &all, &before)
        defer { _ = unsafe pthread_sigmask(SIG_SETMASK, &before, nil) }
        while threads.count < count, let thread = try? SystemThread({ shared.work() }) { threads.append(thread) }
        return threads
    }
}
