// SPDX-License-Identifier: Apache-2.0

import ArgumentParser
import CommandSupport
import PCITopology
import PeerMR
import PeerMRCore

struct NVMeTargetCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "nvmet",
        abstract: "Tells what the kernel's NVMe over Fabrics target does with peer memory.",
        subcommands: [CheckTarget.self])

    struct CheckTarget: ParsableCommand {
        static let configuration = CommandConfiguration(
            commandName: "check",
            abstract: "Tells for each namespace and port whether the target will use p2pmem, whose, or why not.",
            discussion: """
                The target has a switch for each namespace (p2pmem), and goes without it where it cannot: the data \
                then goes through host memory, and nothing says so. Data inside commands (in-capsule, small writes) \
                and admin commands never go through p2pmem. Exit status: 0 where all namespaces will use it, 1 where \
                one will not, 3 where that is unknown of one and none is known not to, 2 for a usage or input error, \
                or where there is no target.
                """)

        @Option(
            help: ArgumentHelp(
                "Answer as if this RDMA device served all RDMA ports, before you give it their addresses.",
                valueName: "name"),
            completion: Completions.clients)
        var device: String?
        @OptionGroup var common: CommonOptions

        func run() throws {
            try common.run { () throws(PeerMRError) -> Int32 in
                let root = try common.system()
                if let device, DeviceLinks.attachment(ofRDMADevice: device, root: root) == nil {
                    throw PeerMRError(
                        .notFound, reason: "there is no RDMA device \(device.quoted)",
                        remedy: "see peermr devices for those that there are")
                }
                let target = try Self.target(root)
                let answers = target.answers(Topology(root: root), root: root, by: device)
                let report = NVMeTargetReport(target: target, answers: answers, root: root)
                if common.json { printJSON(report.json) } else { writeAll(1, report.text(.standardOutput)) }
                return report.status
            }
        }

        private static func target(_ root: SystemRoot) throws(PeerMRError) -> NVMeTarget {
            switch NVMeTarget.state(root: root) {
            case .present(let target): return target
            case .notLoaded:
                throw PeerMRError(
                    .notFound, reason: "the kernel's NVMe over Fabrics target is not loaded here",
                    remedy: root.isLive ? "modprobe nvmet-rdma, where this machine is to be a target" : nil)
            case .noConfiguration:
                throw PeerMRError(
                    .notFound,
                    reason: root.isLive
                        ? "configfs is not mounted, so that there is no configuration of a target"
                        : "what was captured shows no configuration of a target (sys/kernel/config)",
                    remedy: root.isLive ? "mount -t configfs none /sys/kernel/config" : "peermr snapshot captures it")
            case .unreadable:
                throw PeerMRError(
                    .notPermitted, reason: "the target's configuration in /sys/kernel/config/nvmet cannot be read",
                    remedy: "ask as root")
            }
        }
    }
}
