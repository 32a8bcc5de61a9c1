// SPDX-License-Identifier: Apache-2.0

import Foundation
import FoundationXML
import MachineArchive
import PCITopology
import PeerMRCore
import SystemPackage
import TestSupport
import Testing

/// Names that would move a terminal's cursor, hide text, or break JSON, DOT and XML, through every output.
@Suite struct ForeignTextTests {
    /// A part of a name of each class. A file's name has no zero byte and no slash.
    static let parts: [(what: String, text: String)] = [
        ("escape", "\u{1b}[2J\u{1b}]0;title\u{7}"), ("line", "\n0000:ff:00.0  BUS:1\r\t"), ("delete", "\u{7f}\u{8}"),
        ("C1", "\u{9b}31m\u{85}\u{90}"), ("separators", "\u{2028}\u{2029}"),
        ("bidirectional", "\u{202e}0_5xlm\u{202c}\u{2066}\u{2069}\u{61c}\u{200f}"),
        ("invisible", "\u{200b}\u{feff}\u{3164}\u{e0041}\u{ad}"), ("noncharacter", "\u{fffe}\u{ffff}\u{1fffe}"),
        ("private", "\u{e000}\u{f0000}"), ("markup", "<b>&amp;&#27;&#xfffe;<text>]]>\"'"),
        ("label", "\\N\\G\\n\\l\"];x"),
        ("script", "'`$(id)`';|{}^_@%s%n"), ("wide", "漢字 ü 🦉 e\u{301}"),
    ]

    /// The machine of ``CheckTests`` in which all names have a part of one class.
    private static func machine(_ text: String) -> TestMachine {
        let kernel = "7.3.4"
        var machine = TestMachine(
            kernel: nil,
            cpu: "processor\t: 0\nvendor_id\t: GenuineIntel\(text)\ncpu family\t: 6\nmodel name\t: \(text)\n\n",
            commandLine: "ro pci=config_acs=xx1xx1x@\(text)0000:00:01.0;\(text) \(text)\n")
        machine.file("proc/sys/kernel/osrelease", kernel + text)
        machine.file("lib/modules/\(kernel)\(text)/config", "CONFIG_PCI_P2PDMA=y\n\(text)")
        machine.bridge("0000:00:01.0", port: 4, acs: 0x1d)
        machine.bridge("0000:01:00.0", below: ["0000:00:01.0"], port: 5)
        let way = ["0000:00:01.0", "0000:01:00.0"]
        for index in 0..<3 { machine.bridge("0000:02:0\(index).0", below: way, port: 6, acs: 0x1d) }
        machine.function(
            "0000:03:00.0", below: way + ["0000:02:00.0"], driver: "nvme\(text)", pool: 1 << 24, group: "1\(text)")
        machine.function(
            "0000:04:00.0", below: way + ["0000:02:01.0"], classCode: 0x020000, driver: "mlx5_core\(text)")
        machine.function("0000:05:00.0", below: way + ["0000:02:02.0"], classCode: 0x030000, driver: text)
        machine.link("sys/bus/pci/devices/0000:09:00.0\(text)", "../../../devices/\(text)")
        machine.link("sys/bus/pci/devices/0000:0a:00.0", "../../../devices/\(text)")
        let nic = "pci0000:00/\(way.joined(separator: "/"))/0000:02:01.0/0000:04:00.0"
        let drive = "pci0000:00/\(way.joined(separator: "/"))/0000:02:00.0/0000:03:00.0"
        machine.named("mlx5_0\(text)", kind: "infiniband", on: nic)
        machine.named("rxe\(text)", kind: "infiniband", on: nil)
        machine.named("nvme0n1\(text)", kind: "block", on: drive)
        machine.named("loop\(text)", kind: "block", on: nil)
        machine.stack("dm-0\(text)", of: ["nvme0n1\(text)", "loop\(text)"], md: nil)
        machine.stack("md0\(text)", of: ["nvme0n1\(text)"], md: "raid5\(text)")
        machine.link("sys/class/nvme/nvme0\(text)", "../../devices/\(drive)/nvme/nvme0\(text)")
        machine.link("sys/devices/\(drive)/nvme/nvme0\(text)/device", "../../../\(text)")
        return machine
    }

    private func isSafe(_ text: String) -> Bool {
        text.unicodeScalars.allSatisfy { $0 == "\n" || $0.isPrintable }
    }

    private static let commands: [[String]] = [
        ["devices"], ["topology"], ["topology", "--all"], ["topology", "--dot"], ["topology", "--all", "--dot"],
        ["doctor"], ["doctor", "--boot-parameters"],
    ]

    @Test(arguments: parts.map(\.what))
    func nothingOfItReachesATerminal(_ what: String) throws {
        let text = try #require(Self.parts.first { $0.what == what }?.text)
        let folder = TemporaryFolder()
        let machine = Self.machine(text)
        let root = folder.path.appending("root\(text)").string
        machine.write(to: folder, below: "root\(text)")
        let archive = folder.path.appending("machine\(text).tar").string
        try MachineArchive.write(machine.tree, to: FilePath(archive), compression: .none)
        for place in [root, archive] {
            for command in Self.commands {
                let outcome = try Tool.run(command + ["--root", place])
                #expect(
                    isSafe(outcome.output) && isSafe(outcome.complaint),
                    "\(command): \(outcome.output.debugDescription)")
                #expect(!outcome.output.isEmpty, "\(command): \(outcome.complaint)")
                let lines = outcome.output.split(separator: "\n")
                #expect(!lines.contains { $0.hasPrefix("0000:ff:00.0") }, "a forged row")
            }
            for client in [
                "mlx5_0\(text)", "rxe\(text)", "nvme0n1\(text)", "nvme0\(text)", "dm-0\(text)", "md0\(text)",
                "no\(text)",
            ] {
                for json in [[], ["--json"]] {
                    let outcome = try Tool.run(["check", "0000:03:00.0", client, "--root", place] + json)
                    #expect(isSafe(outcome.output) && isSafe(outcome.complaint), "\(outcome.output.debugDescription)")
                    #expect(json.isEmpty || !outcome.json.isEmpty, "\(outcome.output)")
                    // What is no name is not in the machine, and in no line of its own.
                    #expect(outcome.complaint.split(separator: "\n").count <= 1)
                }
            }
            // JSON gives the names back as they were.
            let devices = try Tool.run("devices", "--json", "--root", place)
            let names = (devices.json["rdma"] as? [[String: Any]] ?? []).compactMap { $0["name"] as? String }
            #expect(
                isSafe(devices.output)
                    && Set(names.map(\.unicodeScalars.description))
                        == Set(["mlx5_0\(text)", "rxe\(text)"].map(\.unicodeScalars.description))
            )
            for command in [
                ["topology", "--json"], ["topology", "--pairs"], ["doctor", "--json"],
                ["doctor", "--boot-parameters", "--json"],
            ] {
                let outcome = try Tool.run(command + ["--root", place])
                #expect(isSafe(outcome.output) && !outcome.json.isEmpty, "\(command): \(outcome.output)")
            }
            let svg = try Tool.run("topology", "--svg", "--all", "--root", place)
            #expect(
                svg.status == 0 && isSafe(svg.output) && XMLParser(data: Data(svg.output.utf8)).parse(),
                "\(svg.complaint)")
        }
        // A path that is not there, and an archive that is none, are quoted.
        for path in ["/nonexistent/\(text)", "/dev/null"] {
            let outcome = try Tool.run("devices", "--root", path)
            #expect(
                outcome.status == 2 && isSafe(outcome.complaint) && outcome.complaint.split(separator: "\n").count == 1)
        }
        let written = try Tool.run("snapshot", folder.path.appending("new\(text).tar").string, "--root", root)
        #expect(written.status == 0 && isSafe(written.output) && written.output.split(separator: "\n").count == 1)
        let unwritten = try Tool.run("snapshot", "/nonexistent/\(text)", "--root", root)
        #expect(unwritten.status == 2 && isSafe(unwritten.complaint))
    }

    /// What root pastes into GRUB's configuration holds nothing of a capture but addresses and bits.
    @Test(arguments: parts.map(\.what))
    func bootParametersRunNothing(_ what: String) throws {
        let text = try #require(Self.parts.first { $0.what == what }?.text)
        let folder = TemporaryFolder()
        Self.machine(text).write(to: folder)
        let outcome = try Tool.run("doctor", "--boot-parameters", "--json", "--root", folder.path.string)
        let line = try #require(outcome.json["parameter"] as? String)
        #expect(line.wholeMatch(of: /pci=[a-z_]+=[0-9a-zA-Z:;.\/@]+/) != nil, "\(line.debugDescription)")
    }

    /// ArgumentParser quotes words as they are.
    @Test(arguments: ["peermr", "nic-to-nvme", "ping-pong"])
    func wordsOfTheCommandLineAreShown(_ program: String) throws {
        for (_, text) in Self.parts {
            for arguments in [["--\(text)"], [text, text], ["--root=\(text)", "--x=\(text)"]] {
                let outcome = try Tool.run(Tool.path(of: program), arguments: arguments)
                #expect(
                    outcome.status != 0 && isSafe(outcome.complaint) && isSafe(outcome.output),
                    "\(outcome.complaint.debugDescription)")
            }
        }
    }
}
