// SPDX-License-Identifier: Apache-2.0

import CommandSupport
import PCITopology
import PeerMR
import PeerMRCore

// What can be told from sysfs and procfs, here or of a captured machine.
extension Diagnosis {
    static func ofTheKernel(_ machine: Machine) -> [Diagnosis] {
        let topology = machine.topology
        var found: [Diagnosis] = []
        if let kernel = topology.kernel {
            found += ofTheRelease(kernel, machine)
        } else {
            found.append(
                Diagnosis(
                    .unknown, "kernelUnknown", nil,
                    "the kernel's version cannot be read from "
                        + "/proc/sys/kernel/osrelease"))
        }
        switch topology.hasPeerToPeer {
        case true?: break
        case false?:
            found.append(
                Diagnosis(
                    .blocks, Finding.Code.noPeerToPeer.rawValue, nil,
                    "the kernel was built without CONFIG_PCI_P2PDMA (\(topology.peerToPeerSource)), and refuses all "
                        + "peer-to-peer DMA",
                    remedy: "boot a kernel that has it: grep CONFIG_PCI_P2PDMA /boot/config-*"))
        case nil:
            found.append(
                Diagnosis(
                    .unknown, "peerToPeerUnknown", nil,
                    "whether the kernel was built with CONFIG_PCI_P2PDMA is not known: \(topology.peerToPeerSource)",
                    remedy: "grep CONFIG_PCI_P2PDMA /boot/config-$(uname -r)"))
        }
        return found
    }

    /// What this kernel lacks, and does otherwise.
    private static func ofTheRelease(_ kernel: KernelRelease, _ machine: Machine) -> [Diagnosis] {
        let newer = "boot Linux \(MethodChoice.firstCheckingKernel) or newer"
        var found: [Diagnosis] = []
        if let refusal = Assessment.userMemoryRefusal(kernel, nil, machine.root) {
            // Drivers' dma-bufs are another matter: those are registered since Linux 5.12, and on Red Hat's kernels.
            let takesBuffers = kernel >= KernelRelease(5, 12) || RedHatKernel(root: machine.root) != nil
            let severity: Severity = refusal.outcome != .no ? .unknown : takesBuffers ? .limits : .blocks
            let others = takesBuffers ? ": dma-bufs alone, as GPUs' drivers export them" : ""
            return [Diagnosis(severity, "kernelWithoutUserMemory", nil, refusal.reason + others, remedy: newer)]
        }
        let isChecked =
            KernelEvidence.checksOnDemandMappings(root: machine.root) ?? (kernel >= MethodChoice.firstCheckingKernel)
        if !isChecked {
            found.append(
                Diagnosis(
                    .limits, "kernelWithoutCheck", nil,
                    "Linux \(kernel) maps peer memory for on-demand regions without checking the route, so PeerMR "
                        + "registers it only where its own check finds the route safe; peermr check says for which "
                        + "pairs",
                    remedy: newer))
        }
        guard let redHat = RedHatKernel(root: machine.root) else { return found }
        if redHat.refusesDirectIO {
            found.append(
                Diagnosis(
                    .limits, "kernelWithoutDirectIO", nil,
                    "the kernel of \(redHat) passes p2pmem to no drive: direct I/O on it ends with EREMOTEIO",
                    remedy: "boot the kernel of RHEL 9.6 or newer"))
        }
        if redHat.pinsPeerMemory {
            found.append(
                Diagnosis(
                    .note, "kernelPinsPeerMemory", nil,
                    "the kernel of \(redHat) pins p2pmem like any other memory: ibv_reg_mr works where the route allows "
                        + "it, and the drive cannot be unbound as long as the region lives"))
        }
        return found
    }

    static func ofTheDevices(_ machine: Machine) -> [Diagnosis] {
        var found: [Diagnosis] = []
        // What is not shown is not missing.
        if !machine.topology.isShown {
            let finding = Finding.notShown
            return [Diagnosis(.unknown, finding.code.rawValue, nil, finding.detail, remedy: finding.remedy)]
        }
        if machine.rdma.isEmpty {
            found.append(
                Diagnosis(
                    .blocks, "noRDMADevice", nil, "there is no RDMA device",
                    remedy: "load the NIC's driver (modprobe mlx5_ib), or try a software device: rdma link add "
                        + "rxe0 type rxe netdev IFNAME"))
        } else if machine.rdma.allSatisfy({ $0.attachment == .software }) {
            let names = machine.rdma.map(\.name).joined(separator: ", ")
            found.append(
                Diagnosis(
                    .limits, "onlySoftwareDevices", names,
                    "all RDMA devices are software (\(names)): the CPU moves their bytes, nothing goes from "
                        + "device to device",
                    remedy: "use an RDMA device with hardware of its own, or keep them for trying things out"))
        }
        if !machine.root.exists("sys/class/infiniband_verbs") {
            found.append(
                Diagnosis(
                    .blocks, "noVerbs", nil, "the kernel offers no verbs to programs (module ib_uverbs)",
                    remedy: "modprobe ib_uverbs"))
        }
        if !machine.root.exists("sys/class/misc/rdma_cm") {
            found.append(
                Diagnosis(
                    .limits, "noConnectionManager", nil,
                    "the kernel offers no RDMA connections by address to programs (module rdma_ucm)",
                    remedy: "modprobe rdma_ucm"))
        }
        return found + (ofThePool(machine).map { [$0] } ?? [])
    }

    /// What stands against all routes of the machine: encryption, bounce buffers, a platform's own DMA calls.
    static func ofThePlatform(_ machine: Machine) -> [Diagnosis] {
        machine.topology.platformFindings.map { finding in
            let severity: Severity =
                finding.code == .confidentialGuest && finding.isBlocking
                ? .blocks : finding.isBlocking ? .limits : .unknown
            return Diagnosis(severity, finding.code.rawValue, nil, finding.detail, remedy: finding.remedy)
        }
    }

    /// An IOMMU that translates what goes through the host bridge.
    static func translation(_ machine: Machine) -> [Diagnosis] {
        let nics = Set(machine.rdma.flatMap(\.attachment.functions)).sorted()
            .compactMap { machine.topology.function(at: $0) }
        let translated = nics.filter(\.iommu.translates)
        guard !translated.isEmpty else { return [] }
        let names = NameList.text(translated.map { machine.name(of: $0.address) })
        return [
            Diagnosis(
                .note, Finding.Code.iommu.rawValue, translated.map { "\($0.address)" }.joined(separator: ", "),
                "an IOMMU translates the addresses of \(names): what goes through the host bridge is slower on some "
                    + "machines",
                remedy: "boot with \(machine.topology.passthroughParameter) where devices need no protection from "
                    + "each other: it ends translation, not ACS redirection")
        ]
    }
}

extension Topology {
    /// What ends the IOMMU's translation; the short name is x86's.
    var passthroughParameter: String {
        cpu != nil && cpu?.vendor == nil ? "iommu.passthrough=1" : "iommu=pt"
    }
}
