// SPDX-License-Identifier: Apache-2.0

import PeerMRCore
import TestSupport
import Testing

@testable import PCITopology

/// What the kernel's type information tells.
@Suite struct KernelEvidenceTests {
    private static let old = ["umem", "notifier", "tgid", "pfn_list", "dma_list", "umem_mutex"]
    private static let new = ["umem", "notifier", "tgid", "map", "umem_mutex"]

    /// A kernel whose modules have these members in `struct ib_umem_odp`.
    private func root(kernel: [String]? = nil, _ modules: [String: [String]]) -> SystemRoot {
        var base = TestTypeInformation()
        base.function("some_function")
        if let kernel { base.structure("ib_umem_odp", size: 80, kernel) }
        var tree = CapturedTree()
        func put(_ name: String, _ types: TestTypeInformation) {
            _ = tree.insert(.file(bytes: types.file, claimedBytes: 4096), at: "sys/kernel/btf/\(name)")
        }
        put("vmlinux", base)
        for (name, members) in modules {
            var module = TestTypeInformation(above: base)
            module.structure("ib_umem_odp", size: 80, members)
            put(name, module)
        }
        return SystemRoot(tree)
    }

    @Test(arguments: ["mlx5_ib", "ib_uverbs", "ib_core"])
    func whetherOnDemandMappingsAreChecked(_ module: String) {
        #expect(KernelEvidence.checksOnDemandMappings(root: root([module: Self.new])) == true)
        #expect(KernelEvidence.checksOnDemandMappings(root: root([module: Self.old])) == false)
        #expect(KernelEvidence.checksOnDemandMappings(root: root([module: ["umem"]])) == nil)
        #expect(KernelEvidence.checksOnDemandMappings(root: root([module: Self.new + Self.old])) == nil)
    }

    @Test func whereNothingTellsOrModulesDisagree() {
        #expect(KernelEvidence.checksOnDemandMappings(root: root([:])) == nil)
        #expect(KernelEvidence.checksOnDemandMappings(root: root(["rdma_rxe": Self.new])) == nil)
        #expect(KernelEvidence.checksOnDemandMappings(root: SystemRoot(CapturedTree())) == nil)
        #expect(KernelEvidence.checksOnDemandMappings(root: root(["mlx5_ib": Self.old, "ib_core": Self.new])) == nil)
        #expect(KernelEvidence.checksOnDemandMappings(root: root(kernel: Self.old, ["mlx5_ib": Self.new])) == nil)
        #expect(KernelEvidence.checksOnDemandMappings(root: root(kernel: Self.new, [:])) == true, "it is built in")
    }
}
