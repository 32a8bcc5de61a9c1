// SPDX-License-Identifier: Apache-2.0

// Threads that register, look up, invalidate and evict in one registration cache, over the fake libibverbs: each lease
// is compared with the region that it is of. Tests/thread-sanitizer runs it with ThreadSanitizer.
//
//     cache-stress [THREADS [OPERATIONS [SEED]]]
//
// Ends with what was done, and a status that is not 0 where anything was wrong.

import Glibc

@main
enum CacheStress {
    static func main() {
        let numbers = CommandLine.arguments.dropFirst().map { UInt64($0) }
        guard numbers.count <= 3, !numbers.contains(nil) else {
            print("cache-stress: THREADS, OPERATIONS and SEED are numbers")
            exit(2)
        }
        let given = numbers.compactMap { $0 }
        let run = StressRun(
            threads: Int(clamping: given.first ?? 16), operations: Int(clamping: given.dropFirst().first ?? 20_000),
            seed: given.dropFirst(2).first ?? 1)
        let outcome = run.outcome()
        print(outcome.summary)
        for fault in outcome.faults.prefix(20) { print("FAIL \(fault)") }
        exit(outcome.faults.isEmpty ? 0 : 1)
    }
}
