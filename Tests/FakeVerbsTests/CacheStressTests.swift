// SPDX-License-Identifier: Apache-2.0

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
