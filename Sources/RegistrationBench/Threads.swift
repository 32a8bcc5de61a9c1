// SPDX-License-Identifier: Apache-2.0

internal import Glibc
internal import Synchronization
internal import SystemPackage
internal import PeerMRCore

/// Threads that run one body.
enum Threads {
    private final class Shared: Sendable {
        let next = Atomic<Int>(0)
        let body: @Sendable (Int) -> Void

        init(_ body: @escaping @Sendable (Int) -> Void) { self.body = body }

        func work() { body(next.wrappingAdd(1, ordering: .relaxed).oldValue) }
    }

    /// Runs a body on `count` threads, each with a number from 0 on, and waits for all of them; on this one where that
    /// is 1.
    ///
    /// - Parameter onFailure: called where a thread cannot be made, before those that were are waited for.
    /// - Throws: `resourceLimit` where the threads cannot be made.
    static func run(
        _ count: Int, onFailure: () -> Void = {}, _ body: @escaping @Sendable (Int) -> Void
    ) throws(PeerMRError) {
        guard count > 1 else { return body(0) }
        let shared = Shared(body)
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
                onFailure()
                break
            }
            threads.append(thread)
        }
        for thread in threads { _ = pthread_join(thread, nil) }
        if let failure { throw .thread(failure, count) }
    }
}
