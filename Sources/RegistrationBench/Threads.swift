// SPDX-License-Identifier: Apache-2.0

internal import SystemPackage
internal import PeerMRCore

/// Threads that run one body.
enum Threads {
    /// Runs a body on `count` threads, each with a number from 0 on, and waits for all of them; on this one where that
    /// is 1.
    ///
    /// - Parameter onFailure: called where a thread cannot be made, before those that were are waited for.
    /// - Throws: `resourceLimit` where the threads cannot be made.
    static func run(
        _ count: Int, onFailure: () -> Void = {}, _ body: @escaping @Sendable (Int) -> Void
    ) throws(PeerMRError) {
        guard count > 1 else { return body(0) }
        var threads: [SystemThread] = []
        var failure: Errno?
        do throws(Errno) {
            for number in 0..<count { threads.append(try SystemThread { body(number) }) }
        } catch {
            failure = error
            onFailure()
        }
        for thread in threads { thread.join() }
        if let failure { throw .thread(failure, count) }
    }
}
