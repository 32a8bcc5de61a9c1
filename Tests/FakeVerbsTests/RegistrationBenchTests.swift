// SPDX-License-Identifier: Apache-2.0

import CFakeVerbs
import Glibc
import PeerMR
import CommandSupport
import RegistrationBench
import Synchronization
import Testing

/// The bench of registration over the fake: what it makes it destroys, whatever happens in between.
@Suite struct RegistrationBenchTests {
    private func plan(
        _ memory: String = "host", sizes: [UInt64] = [4096, 16384], iterations: Int = 5
    ) throws -> BenchPlan {
        var plan = BenchPlan(memories: [try BenchMemory(memory)], sizes: sizes)
        plan.iterations = iterations
        return plan
    }

    private func run(
        _ plan: BenchPlan, stop: @escaping @Sendable () -> Bool = { false },
        progress: @escaping (BenchRun.Progress) -> Void = { _ in }
    ) throws -> BenchResult {
        let context = try Device(name: "fake0").open()
        return try BenchRun(plan, on: context, stop: stop, progress: progress).run()
    }

    private func count(_ call: String, _ fake: FakeVerbs) -> Int { fake.journal.filter { $0 == call }.count }

    @Test func everyRegistrationIsEnded() throws {
        try withFakeVerbs { fake in
            let result = try run(plan())
            #expect(result.measured.count == 4)
            #expect(result.refused.isEmpty)
            for cell in result.cells {
                #expect(cell.timings.register.count == 5)
                #expect(cell.timings.deregister.count == 5)
                #expect(cell.bare.register.count == 0)
                #expect(cell.method == .pinned)
                #expect(cell.pages == .base)
            }
            // Warm memory is registered once more, before the samples.
            #expect(count("ibv_reg_mr", fake) == count("ibv_dereg_mr", fake))
            #expect(count("ibv_reg_mr", fake) == 22)
        }
    }

    @Test func theBareCallsComeAsOftenAndAlternate() throws {
        try withFakeVerbs { fake in
            var plan = try plan()
            plan.baseline = true
            let result = try run(plan)
            for cell in result.cells {
                #expect(cell.timings.register.count == 5)
                #expect(cell.bare.register.count == 5)
                #expect(cell.bare.deregister.count == 5)
                #expect(cell.registerOverhead != nil)
                #expect(cell.bareClose.count == 0, "host memory has no descriptor")
            }
            // Warm memory: one of each besides.
            #expect(count("ibv_reg_mr", fake) == 44)
            #expect(count("ibv_dereg_mr", fake) == 44)
        }
    }

    @Test func moreThanABatchTakesMoreRounds() throws {
        try withFakeVerbs { _ in
            let result = try run(plan(iterations: 70))
            #expect(result.rounds >= 3)
            for cell in result.cells { #expect(cell.timings.register.count == 70) }
        }
    }

    /// From the 8th on no registration works: what was measured until then stays, and nothing else does.
    @Test(arguments: [0, 1, 3, 8, 21]) func aFailureInTheMiddleLeavesNothing(_ skip: Int) throws {
        try withFakeVerbs { fake in
            var plan = try plan()
            plan.baseline = true
            fake.fail("ibv_reg_mr", .noMemory, after: skip)
            let result = try run(plan)
            #expect(!result.refused.isEmpty)
            for cell in result.refused { #expect(cell.refusal?.errno == .noMemory) }
            #expect(fake.live(FAKE_REGION) == 0)
        }
    }

    @Test func backgroundRegionsAreGoneAfterwards() throws {
        try withFakeVerbs { fake in
            var plan = try plan()
            plan.registered = [0, 3 << 20]
            var most = 0
            let result = try run(plan, progress: { _ in most = max(most, fake.live(FAKE_REGION)) })
            #expect(most == 3, "regions of 1 MiB, while the cells with a background are measured")
            #expect(result.measured.count == 8)
        }
    }

    @Test func backgroundRegionsThatFailAreGoneToo() throws {
        try withFakeVerbs { fake in
            var plan = try plan(sizes: [4096])
            plan.registered = [4 << 20]
            fake.fail("ibv_reg_mr", .noMemory, after: 2)
            let result = try run(plan)
            #expect(result.measured.isEmpty)
            #expect(result.refused.count == 2)
            #expect(fake.live(FAKE_REGION) == 0)
        }
    }

    @Test func aStopEndsItWithWhatThereIs() throws {
        try withFakeVerbs { _ in
            let asked = Asked()
            var plan = try plan(iterations: 1_000_000)
            plan.baseline = true
            plan.registered = [0, 1 << 20]
            let result = try run(plan, stop: { asked.times() > 60 })
            #expect(result.wasInterrupted)
            #expect(!result.measured.isEmpty)
            #expect(result.measured.count < 8)
        }
    }

    @Test func aStopAtOnceMeasuresNothing() throws {
        try withFakeVerbs { fake in
            let result = try run(plan(), stop: { true })
            #expect(result.measured.isEmpty)
            #expect(result.wasInterrupted)
            #expect(count("ibv_reg_mr", fake) == 0)
        }
    }

    @Test func whatDoesNotFitIsSaid() throws {
        try withFakeVerbs { fake in
            // The fake's device registers a tebibyte.
            let result = try run(plan("host:8K", sizes: [4096, 16384, 2 << 40], iterations: 1))
            #expect(result.measured.count == 2)
            #expect(result.refused.count == 4)
            #expect(result.refused.allSatisfy { $0.refusal?.remedy != nil })
            let attributes = try Device(name: "fake0").open().attributes()
            #expect(throws: PeerMRError.self) {
                try result.plan.validate(for: attributes, of: Device(name: "fake0"))
            }
            #expect(fake.live(FAKE_REGION) == 0)
            let large = try run(plan(sizes: [2 << 40], iterations: 1))
            #expect(large.measured.isEmpty)
            #expect(large.refused.allSatisfy { $0.refusal?.code == .notSupported })
        }
    }

    @Test func aBufferIsRegisteredByItsCallAndClosedByBothSides() throws {
        try withFakeVerbs { fake in
            let buffer = try TestBuffer(65536)
            fake_verbs_set_buffer_probe(EBADF)
            var plan = try plan("fd:\(buffer.descriptor)", sizes: [4096, 65536])
            plan.baseline = true
            let result = try withExtendedLifetime(buffer) { try run(plan) }
            #expect(result.refused.isEmpty, "\(result.refused.map { "\($0.refusal?.reason ?? "")" })")
            for cell in result.cells {
                #expect(cell.method == .dmaBuf)
                #expect(cell.bareClose.count == 5)
            }
            #expect(fake.live(FAKE_REGION) == 0)
        }
    }

    @Test func aSizeInChunksIsAsManyRegions() throws {
        try withFakeVerbs { fake in
            fake_verbs_set_region_limits(8192, 1000)
            var plan = try plan(sizes: [4096, 16384], iterations: 3)
            plan.chunkBytes = 4096
            plan.populate = true
            let result = try run(plan)
            #expect(result.refused.isEmpty, "also what is larger than a region of the device")
            #expect(result.measured.count == 6)
            for cell in result.measured {
                #expect(cell.timings.populate.count == (cell.cell.isPopulated ? 3 : 0))
                #expect(cell.timings.total.count == (cell.cell.isPopulated ? 3 : 0))
                #expect(cell.method == .pinned)
            }
            // Three samples of each, and one more of warm memory: in one region and in four.
            #expect(count("ibv_reg_mr", fake) == 10 * 1 + 10 * 4)
            #expect(count("ibv_dereg_mr", fake) == 50)
        }
    }

    /// Asking the device, the kernel and sysfs again for each registration is what the memory of it saves.
    @Test func theCheckBeforeARegistrationIsRemembered() throws {
        try withFakeVerbs { _ in
            fake_verbs_set_kernel("7.3.4")
            let domain = try ProtectionDomain(try Device(name: "fake0").open())
            func register() throws -> Method {
                try PeerRegion(registering: HostMemory(allocating: 4096), on: domain, access: []).choice.method
            }
            #expect(try register() == .pinned)
            let began = fake_verbs_allocations()
            #expect(try register() == .pinned)
            let spent = fake_verbs_allocations() - began
            // The fake's region, and its entry in the journal.
            #expect(spent <= 8, "\(spent) allocations")
        }
    }
}

/// Counts how often a run asks whether it shall stop.
private final class Asked: Sendable {
    private let count = Atomic<Int>(0)
    func times() -> Int { count.add(1, ordering: .relaxed).newValue }
}
