// SPDX-License-Identifier: Apache-2.0
//
// destruction-order: makes what the library makes, lets go of it in many ways, and checks over the fake libibverbs that
// children go before their parents and regions before their memory. The optimiser may move destruction, so build it
// with optimisation:
//
//   swift run -c release destruction-order
//
// `swift test` runs the same scenarios without.

import Glibc

@main
struct DestructionOrder {
    static func main() {
        var failed = 0
        for scenario in Scenario.all {
            let faults = scenario.faults()
            for fault in faults { print("\(scenario.name): \(fault)") }
            failed += faults.isEmpty ? 0 : 1
        }
        print("\(Scenario.all.count - failed) passed, \(failed) failed")
        if failed > 0 { exit(1) }
    }
}
