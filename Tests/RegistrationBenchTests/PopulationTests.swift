// SPDX-License-Identifier: Apache-2.0

import PeerMRCore
import Testing

@testable import RegistrationBench

@Suite struct PopulationPlanTests {
    private func plan(_ memories: [String] = ["host", "udmabuf"]) throws -> BenchPlan {
        BenchPlan(memories: try memories.map { try BenchMemory($0) }, sizes: [4096])
    }

    @Test func newHostMemoryIsMeasuredBothWays() throws {
        var plan = try plan()
        #expect(plan.cells.count == 4)
        plan.populate = true
        try plan.validate()
        let populated = plan.cells.filter(\.isPopulated)
        #expect(populated.map(\.description) == ["host 4 KiB cold populated"])
        #expect(plan.cells.count == 5)
        #expect(plan.cells.contains(populated[0].withoutPopulation), "what it is compared with")
        plan.hugePages = true
        #expect(plan.cells.filter(\.isPopulated).count == 2)
    }

    @Test func whatHasNoMeaningIsRefused() throws {
        var plan = try plan()
        plan.populate = true
        plan.temperatures = [.warm]
        #expect(throws: PeerMRError.self) { try plan.validate() }
        plan.temperatures = [.cold]
        try plan.validate()
        for bytes: UInt64 in [0, 1, 4097, UInt64(Int64.max) + 1] {
            plan.chunkBytes = bytes
            #expect(throws: PeerMRError.self, "chunks of \(bytes)") { try plan.validate() }
        }
        plan.chunkBytes = 8192
        try plan.validate()
        plan.baseline = true
        #expect(throws: PeerMRError.self) { try plan.validate() }
    }
}
