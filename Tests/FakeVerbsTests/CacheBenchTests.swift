// SPDX-License-Identifier: Apache-2.0

import CFakeVerbs
import CommandSupport
import PeerMR
@testable import RegistrationBench
import Testing

/// `peermr bench cache`, over the fake libibverbs.
@Suite struct CacheBenchTests {
    private func run(_ change: (inout CachePlan) -> Void = { _ in }) throws -> CacheResult {
        var plan = CachePlan(memories: [BenchMemory(.host)])
        (plan.regions, plan.regionBytes, plan.lookups) = (32, 8192, 5000)
        change(&plan)
        var found: CacheResult?
        try withFakeVerbs { fake in
            let result = try #require(CacheBench(plan, on: try Device(name: "fake0").open()).run().first)
            #expect(fake.live(FAKE_REGION) == 0 && fake.live(FAKE_PROTECTION_DOMAIN) == 0)
            found = result
        }
        return try #require(found)
    }

    @Test func everyRegionIsRegisteredOnceAndThenFound() throws {
        let result = try run()
        #expect(result.refusal == nil)
        #expect(result.register.count == 32 && result.miss.count == 32)
        // The lookups by leases and by the reader, and the one that holds a region at the end.
        #expect(result.during.misses == 32 && result.during.hits == 10001 && result.during.waits == 0)
        #expect(result.during.bytesLeased == 8192 && result.during.bytesIdle == 31 * 8192)
        #expect(result.during.savedNanoseconds > 0)
        #expect(result.lease.count == 5 && result.reader.count == 5 && result.leaseByAddress.count == 5)
        #expect(result.after.invalidations == [.loss: 1, .range: 31])
        #expect(result.after.regions == 0 && result.after.hits == 10001)
    }

    @Test func aLimitMakesRegionsGo() throws {
        let result = try run { $0.limit = 8 }
        #expect(result.refusal == nil)
        #expect(try #require(result.during.evictions[.count]) >= 24)
        #expect(result.during.misses == result.during.evictions[.count].map { $0 + UInt64(result.during.regions) })
    }

    @Test func whatDoesNotWorkIsTold() throws {
        let result = try run { $0.memories = [BenchMemory(.nic, limit: 4096)] }
        #expect(result.refusal?.code == .resourceLimit)
        #expect(result.miss.count == 0)
    }
}
