// SPDX-License-Identifier: Apache-2.0

import Synchronization
import Testing

@testable import cache_stress

/// Several threads in one cache. `Tests/thread-sanitizer` runs more of them, with ThreadSanitizer.
@Suite struct CacheStressTests {
    @Test(arguments: [1, 2, 3])
    func leasesAreOfTheirRegions(_ seed: UInt64) {
        let outcome = StressRun(threads: 8, operations: 2000, seed: seed).outcome()
        #expect(outcome.faults.isEmpty, "\(outcome.summary)")
        #expect(outcome.summary.contains("8 threads"))
    }
}

/// Names that come to mean other memory; `cache-stress stale` does it a million times.
@Suite struct StaleKeyTests {
    @Test func noKeyIsOfOtherMemory() {
        let run = StaleRun(threads: 4, cycles: 4000, seed: 1)
        let outcome = run.outcome()
        #expect(outcome.faults.isEmpty, "\(outcome.summary): \(outcome.faults.prefix(3))")
        #expect(run.turns.load(ordering: .relaxed) > 2000)
        #expect(run.keys.load(ordering: .relaxed) > 12_000)
    }
}
