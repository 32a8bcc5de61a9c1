// SPDX-License-Identifier: Apache-2.0

import RegistrationBench
import PeerMRCore
import CommandSupport
import Testing

@Suite struct StatisticsTests {
    @Test func percentilesAreThoseOfWhatWasRecorded() {
        var times = Distribution()
        for value in (1...1000).reversed() { times.record(UInt64(value) * 1000) }
        #expect(times.count == 1000)
        #expect(times.minimum == 1000)
        #expect(times.maximum == 1_000_000)
        for (percent, expected) in [(50.0, 500_000.0), (99.0, 990_000.0), (99.9, 999_000.0)] {
            let found = Double(times.percentile(percent))
            #expect(abs(found - expected) <= expected * 0.001, "\(percent) % is \(found)")
        }
        #expect(times.percentile(100) == 1_000_000)
    }

    @Test func nothingAndOneAndVeryLongAreRecorded() {
        var times = Distribution()
        #expect(times.count == 0 && times.median == 0 && times.minimum == 0)
        times.record(777)
        #expect(times.minimum == 777 && times.median == 777 && times.maximum == 777)
        // An hour: a registration that hung is not to be lost.
        times.record(3_600_000_000_000)
        #expect(times.count == 2)
        #expect(times.maximum == 3_600_000_000_000)
        #expect(times.percentile(99.9) == 3_600_000_000_000)
        times.record(0)
        #expect(times.minimum == 0)
    }

    @Test(arguments: [
        (10_000, 11_000, true), (10_000, 11_001, false), (100_000, 102_000, true), (100_000, 102_001, false),
        (10_000, 9_000, true),
    ])
    func theBarIsTwoPerCentOrAMicrosecond(_ bare: UInt64, _ ours: UInt64, _ isWithin: Bool) {
        let overhead = Overhead(ours: ours, bare: bare)
        #expect(overhead.isWithinBar == isWithin)
        #expect(overhead.nanoseconds == Int64(ours) - Int64(bare))
        #expect(abs(overhead.ratio - Double(ours) / Double(bare)) < 1e-12)
    }

    /// Medians are compared: one call that took long is no overhead.
    @Test func mediansAreCompared() throws {
        let even = Distribution([10_000, 10_000, 10_000])
        let uneven = Distribution([10_000, 10_000, 9_000_000])
        for (ours, bare) in [(even, uneven), (uneven, even)] {
            let overhead = try #require(Overhead(ours, bare))
            #expect(abs(overhead.nanoseconds) < 100 && overhead.isWithinBar, "\(overhead.nanoseconds) ns")
        }
    }

    @Test func nothingIsComparedWithNothing() {
        var times = Distribution()
        #expect(Overhead(times, times) == nil)
        times.record(5)
        #expect(Overhead(times, Distribution()) == nil)
    }

    @Test func theClockIsLookedAt() {
        let clock = BenchClock()
        #expect(clock.resolutionNanoseconds > 0)
        #expect(clock.costNanoseconds < 1_000_000)
        #expect(!clock.source.isEmpty)
    }

    @Test func aPlanHasAllCombinationsSmallestFirst() throws {
        var plan = BenchPlan(memories: [try BenchMemory("host"), try BenchMemory("udmabuf")], sizes: [4096, 8192])
        #expect(plan.cells.count == 8)
        #expect(plan.cells.map(\.byteCount) == plan.cells.map(\.byteCount).sorted())
        plan.hugePages = true
        #expect(plan.cells.count == 12, "huge pages are for the host's memory alone")
        plan.threads = [1, 4]
        plan.registered = [0, 1 << 20]
        #expect(plan.cells.count == 48)
        #expect(Set(plan.cells).count == 48)
        #expect(Array(plan.cells.map(\.registeredBytes).prefix(24)) == [UInt64](repeating: 0, count: 24))
    }

    @Test func aPlanThatCannotBeIsRefused() throws {
        let good = BenchPlan(memories: [try BenchMemory("host")], sizes: [4096])
        #expect(throws: Never.self) { try good.validate() }
        let changes: [(inout BenchPlan) -> Void] = [
            { $0.threads = [0] }, { $0.threads = [-1] }, { $0.threads = [257] }, { $0.iterations = 0 },
            { $0.sizes = [] },
            { $0.temperatures = [] },
        ]
        for change in changes {
            var plan = good
            change(&plan)
            #expect(throws: PeerMRError.self) { try plan.validate() }
        }
    }
}
