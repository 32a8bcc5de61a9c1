// SPDX-License-Identifier: Apache-2.0

import CommandSupport
import PCITopology
import PeerMRCore
import TestSupport
import Testing

@testable import PeerMRCommand

/// `peermr doctor --boot-parameters`: one line that the kernel and the boot loader understand.
@Suite struct BootParametersTests {
    private static func machine(
        kernel: String = "7.3.4", acs: UInt16? = 0x1d, commandLine: String? = "ro quiet", isReadable: Bool = true,
        vendor: String = "GenuineIntel"
    ) -> TestMachine {
        var machine = TestMachine(
            vendor: vendor, family: vendor == "GenuineIntel" ? 6 : 25, kernel: kernel,
            commandLine: commandLine.map { $0 + "\n" }, seqnum: nil)
        machine.function("0000:00:00.0", vendor: 0x8086, device: 0x29c0, classCode: 0x060000, driver: nil)
        machine.bridge("0000:00:01.0", port: 4)
        let way = ["0000:00:01.0", "0000:01:00.0"]
        machine.bridge("0000:01:00.0", below: [way[0]], port: 5)
        for index in 0..<2 {
            machine.bridge("0000:02:0\(index).0", below: way, port: 6, acs: acs, isReadable: isReadable)
        }
        machine.function("0000:03:00.0", below: way + ["0000:02:00.0"], pool: 1 << 20)
        machine.function("0000:04:00.0", below: way + ["0000:02:01.0"], classCode: 0x020000, driver: "mlx5_core")
        machine.named(
            "mlx5_0", kind: "infiniband",
            on: "pci0000:00/0000:00:01.0/0000:01:00.0/0000:02:01.0/0000:04:00.0")
        return machine
    }

    private func parameters(_ machine: TestMachine) -> BootParameters {
        let machine = Machine(machine.root)
        return BootParameters(machine, RouteProblems(machine))
    }

    private static let old = "pci=disable_acs_redir=0000:02:00.0;0000:02:01.0"
    private static let new = "pci=config_acs=x0100x1@0000:02:00.0;x0100x1@0000:02:01.0"

    @Test(
        arguments: [
            ("5.15.0", old), ("6.8.0-60-generic", old), ("6.11.2", old), ("6.12.0-55.el10_0.x86_64", old),
            ("6.12.22", old), ("6.12.117+deb13-amd64", new), ("6.13.10", old), ("6.13.11", new), ("6.14.1", old),
            ("6.14.2", new), ("6.15.0", new), ("7.3.4+deb13-amd64", new),
        ])
    func theFormIsOneThatTheKernelReadsRight(_ kernel: String, _ line: String) {
        let found = parameters(Self.machine(kernel: kernel))
        #expect(found.parameter == line && found.status == 0)
        let text = found.text(.plain)
        #expect(text.hasPrefix(line + "\n") && text.contains("isolation"))
        // The quotes have to reach grub.cfg through a shell that reads them in quotes.
        let value = line.split(separator: "=", maxSplits: 2)[2]
        #expect(text.contains("=\\\"\(value)\\\"\"\n"))
        let isFaulty = ["6.11.2", "6.12.0-55.el10_0.x86_64", "6.12.22", "6.13.10", "6.14.1"].contains(kernel)
        #expect(text.contains("Linux 6.11 to 6.14") == isFaulty)
    }

    @Test func whatTheCommandLineHasAlreadyIsKept() {
        let before = "quiet pci=nomsi,disable_acs_redir=0000:77:00.0;0000:02:00.0 pci=noats"
        let found = parameters(Self.machine(kernel: "6.8.0", commandLine: before))
        #expect(found.parameter == "pci=disable_acs_redir=0000:77:00.0;0000:02:00.0;0000:02:01.0")
        #expect(found.text(.plain).contains("already"))
        let bits = "\"pci=config_acs=xx000x1@0000:77:00.0;1@0000:02:00.0\""
        #expect(
            parameters(Self.machine(commandLine: bits)).parameter
                == "pci=config_acs=xx000x1@0000:77:00.0;x0100x1@0000:02:00.0;x0100x1@0000:02:01.0")
        // The last one counts, and an empty one is none.
        let twice = "pci=disable_acs_redir=0000:55:00.0 pci=disable_acs_redir=0000:66:00.0"
        #expect(
            parameters(Self.machine(kernel: "6.8.0", commandLine: twice)).parameter
                == "pci=disable_acs_redir=0000:66:00.0;0000:02:00.0;0000:02:01.0")
    }

    /// What it has already would be lost, and nobody can see it.
    @Test func aCommandLineThatCannotBeRead() {
        let found = parameters(Self.machine(commandLine: nil))
        #expect(found.parameter == Self.new && found.text(.plain).contains("cannot be read from /proc/cmdline"))
        #expect(found.json.encoded.contains("\"commandLineRead\": false"))
        let known = parameters(Self.machine())
        #expect(!known.text(.plain).contains("/proc/cmdline"))
        #expect(known.json.encoded.contains("\"commandLineRead\": true"))
    }

    @Test func whereNoneHelpsThereIsNone() {
        let open = parameters(Self.machine(acs: 0))
        #expect(open.parameter == nil && open.status == 1 && open.text(.plain).contains("No boot parameter"))
        let hidden = parameters(Self.machine(isReadable: false))
        #expect(hidden.parameter == nil && hidden.status == 3 && hidden.text(.plain).contains("as root"))
    }

    @Test func aDetourIsShortened() {
        // An AMD processor allows it either way.
        let found = parameters(Self.machine(vendor: "AuthenticAMD"))
        #expect(found.parameter == Self.new && found.text(.plain).contains("Nothing is refused"))
        let json = found.json.encoded
        #expect(json.contains("\"mends\": false") && json.contains("\"redirection\": \"\(Self.old)\""))
    }

    @Test func aLineThatIsTooLongIsSaid() {
        let long = String(repeating: "a", count: 2040)
        #expect(parameters(Self.machine(commandLine: long)).text(.plain).contains("2048 bytes"))
        #expect(!parameters(Self.machine(commandLine: "quiet")).text(.plain).contains("2048 bytes"))
    }
}
