// SPDX-License-Identifier: Apache-2.0
//
// peermr: whether one PCI device can reach another's memory, and why not.
//
//   peermr check 0000:03:00.0 mlx5_0      the four answers for a provider and a client
//   peermr topology                       all clients against all providers
//   peermr register --device mlx5_0 --memory vfio:0000:03:00.0:2 --prove
//   peermr bench registration --device mlx5_0         what registering costs
//   peermr doctor                         why NICs cannot use peer memory here
//   peermr nvmet check                    whether the kernel's NVMe-oF target uses peer memory
//   peermr snapshot machine.tar.gz        an archive that answers the same elsewhere (--root)
//   peermr vfio bind 0000:03:00.0        gives a function to vfio-pci, so that its memory can be exported

import ArgumentParser
import CommandSupport
import PeerMR

struct PeerMRCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "peermr",
        abstract: "Tells whether one PCI device can reach another's memory, and why not.",
        discussion: """
            Exit status: 0 supported or nothing found, 1 not supported or something found, 2 for a usage or \
            input error, 3 unknown.
            Completions: peermr --generate-completion-script bash (or zsh, fish). They list this machine's devices; \
            bash completes PCI addresses whole after COMP_WORDBREAKS=${COMP_WORDBREAKS//:/}.
            """,
        version: "peermr 0.1.0",
        subcommands: [
            Devices.self, TopologyCommand.self, Check.self, Register.self, BenchCommand.self, Doctor.self,
            NVMeTargetCommand.self, SnapshotCommand.self, VFIOCommand.self,
        ])
}

/// What says its errors, and ends with ``Status/badInput`` for them.
let program = Program("peermr") { _ in Status.badInput }

@main
enum Main {
    static func main() { program.main(PeerMRCommand.self, usage: Status.badInput) }
}

/// What the process ends with.
enum Status {
    static let supported: Int32 = 0
    static let notSupported: Int32 = 1
    static let badInput: Int32 = 2
    static let unknown: Int32 = 3
}
