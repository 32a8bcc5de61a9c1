// SPDX-License-Identifier: Apache-2.0

package import PeerMRCore

extension KernelEvidence {
    /// Whether this kernel asks p2pdma before it maps another device's memory for an on-demand region.
    ///
    /// Linux 6.16 is the first that does (`hmm_dma_map_pfn` in mm/hmm.c); distributions carry newer drivers on older
    /// kernels. `struct ib_umem_odp` tells: it has a member `map` (`struct hmm_dma_map`) where the kernel asks, and
    /// keeps its addresses in `dma_list` where it does not. It is in the type information of the modules that use it,
    /// as long as they are loaded.
    ///
    /// - Returns: nil where no module that is loaded tells, or two contradict each other.
    package static func checksOnDemandMappings(root: SystemRoot) -> Bool? {
        switch captured(onDemandStructure, root) {
        case "map"?: return true
        case "dma_list"?: return false
        case .some: return nil
        case nil: break
        }
        guard let kernel = TypeInformation(root: root) else { return nil }
        let modules = ["mlx5_ib", "ib_uverbs", "ib_core"].compactMap { name in
            root.exists("sys/kernel/btf/\(name)") ? TypeInformation(module: name, base: kernel, root: root) : nil
        }
        let answers = Set(
            (modules + [kernel]).flatMap { $0.structures(named: onDemandStructure) }.map { isChecked($0.members) })
        return answers.count == 1 ? answers.first ?? nil : nil
    }

    static let onDemandStructure = "ib_umem_odp"

    private static func isChecked(_ members: [String]) -> Bool? {
        switch (members.contains("map"), members.contains("dma_list")) {
        case (true, false): true
        case (false, true): false
        default: nil
        }
    }
}
