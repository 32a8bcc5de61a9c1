// SPDX-License-Identifier: Apache-2.0

import CFakeVerbs
import CVerbs
import Testing

@testable import destruction_order

/// Children go before their parents, from whatever scope. `Tests/run` runs the same scenarios with optimisation.
@Suite struct DestructionOrderTests {
    @Test(arguments: Scenario.all.indices)
    func isRight(_ index: Int) {
        let scenario = Scenario.all[index]
        #expect(scenario.faults().isEmpty, "\(scenario.name)")
    }

    @Test func thereAreScenarios() {
        #expect(Scenario.all.count >= 15)
    }

    /// The fake itself must tell.
    @Test func aParentThatGoesFirstIsNoticed() throws {
        let scenario = Scenario("wrong", ["ibv_dealloc_pd", "ibv_close_device"]) {
            var count: Int32 = 0
            let list = ibv_get_device_list(&count)
            let context = ibv_open_device(list?[0])
            ibv_free_device_list(list)
            let domain = ibv_alloc_pd(context)
            _ = ibv_close_device(context)
            _ = ibv_dealloc_pd(domain)
        }
        let faults = scenario.faults()
        #expect(faults.first == "ibv_close_device: 1 objects that were made from it still live")
        #expect(faults.count == 2, "and the context is left: \(faults)")
    }

    @Test func whatIsUsedAfterItsEndIsNoticed() {
        let scenario = Scenario("wrong", ["ibv_close_device"]) {
            var count: Int32 = 0
            let list = ibv_get_device_list(&count)
            let context = ibv_open_device(list?[0])
            ibv_free_device_list(list)
            _ = ibv_close_device(context)
            _ = ibv_close_device(context)
        }
        #expect(scenario.faults() == ["ibv_close_device: on something that is gone"])
    }

    @Test func whatIsLeftIsNoticed() {
        let scenario = Scenario("wrong", []) {
            var count: Int32 = 0
            let list = ibv_get_device_list(&count)
            _ = ibv_open_device(list?[0])
            ibv_free_device_list(list)
        }
        #expect(scenario.faults() == ["1 objects of kind 1 are left"])
    }
}
