// SPDX-License-Identifier: Apache-2.0

import PCITopology
import PeerMR
import PeerMRCore

// What the kernel's NVMe over Fabrics target does without although it was asked to use p2pmem.
extension Diagnosis {
    static func ofTheTarget(_ machine: Machine) -> [Diagnosis] {
        guard case .present(let target) = NVMeTarget.state(root: machine.root) else { return [] }
        return target.answers(machine.topology, root: machine.root).filter(\.isSilentBounce).map { answer in
            let port = answer.port.map { "port \($0.number)" } ?? "its port"
            return Diagnosis(
                .limits, "nvmetBounces", answer.device,
                "the kernel's NVMe-oF target has p2pmem on for namespace \(answer.namespace.number) of "
                    + "\(answer.subsystem), and on \(port) moves its data through host memory all the same: "
                    + answer.reason,
                remedy: answer.remedy)
        }
    }
}
