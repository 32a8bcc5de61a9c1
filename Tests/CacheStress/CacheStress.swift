// SPDX-License-Identifier: Apache-2.0

// Threads that register, look up, invalidate and evict in one registration cache, over the fake libibverbs: each lease
// is compared with the region that it is of. Tests/thread-sanitizer runs it with ThreadSanitizer.
//
//     cache-stress [THREADS [OPERATIONS [SEED]]]
//     cache-stress stale [THREADS [CYCLES [SEED]]]        memory becomes other memory under the same name
//     cache-stress bulk [THREADS [ROUNDS [SEED]]]         many parts at once, some of which fail
//
// Ends with what was done, and a status that is not 0 where anything was wrong.

import Glibc

@main
enum CacheStress {
    static func main() {
        var words = CommandLine.arguments.dropFirst()
        let mode = words.first.flatMap { UInt64($0) == nil ? $0 : nil }
        if mode != nil { words = words.dropFirst() }
        let numbers = words.map { UInt64($0) }
        guard numbers.count <= 3, !numbers.contains(nil), [nil, "stale", "bulk"].contains(mode) else {
            print("cache-stress: [stale | bulk] and then numbers; see its source")
            exit(2)
        }
        let given = numbers.compactMap { $0 }
        let seed = given.dropFirst(2).first ?? 1
        func number(_ index: Int, _ usual: UInt64) -> Int { Int(clamping: given.dropFirst(index).first ?? usual) }
        let outcome =
            switch mode {
            case "stale"?: StaleRun(threads: number(0, 4), cycles: number(1, 1_000_000), seed: seed).outcome()
            case "bulk"?: BulkRun(threads: number(0, 8), rounds: number(1, 500), seed: seed).outcome()
            default: StressRun(threads: number(0, 16), operations: number(1, 20_000), seed: seed).outcome()
            }
        print(outcome.summary)
        for fault in outcome.faults.prefix(20) { print("FAIL \(fault)") }
        exit(outcome.faults.isEmpty ? 0 : 1)
    }
}
