// SPDX-License-Identifier: Apache-2.0

import Foundation
import MachineArchive
import PCITopology
import PeerMRCore
import SystemPackage
import Testing
import TestSupport

/// What `peermr nvmet check` answers, in words, in JSON and by its exit status; and what `doctor` says of the target.
@Suite struct NVMeTargetCommandTests {
    /// The machine of the tests of `check`, whose drive is a target's namespace on the ports of these devices.
    private static func folder(p2pmem: String = "1", addresses: [String]) -> TemporaryFolder {
        var machine = CheckTests.machine()
        let nic = "pci0000:00/0000:00:01.0/0000:01:00.0/0000:02:01.0/0000:04:00.0"
        let drive = "pci0000:00/0000:00:01.0/0000:01:00.0/0000:02:00.0/0000:03:00.0"
        machine.file("sys/devices/\(drive)/p2pmem/published", "1")
        machine.named("nvme1n1", kind: "block", on: drive)
        machine.gid("mlx5_0", on: nic, 0, "0000:0000:0000:0000:0000:ffff:0a00:0001")
        machine.gid("rxe0", on: nil, 0, "0000:0000:0000:0000:0000:ffff:0a00:0002")
        machine.folder("sys/kernel/config/nvmet/ports")
        machine.targetSubsystem("nqn.a")
        machine.targetNamespace("nqn.a", 1, "/dev/nvme1n1", p2pmem: p2pmem)
        for (index, address) in addresses.enumerated() {
            machine.targetPort(index + 1, address, offers: ["nqn.a"])
        }
        let folder = TemporaryFolder()
        machine.write(to: folder)
        return folder
    }

    @Test(
        "The exit status is that of the worst answer",
        arguments: [
            (["10.0.0.1"], "1", 0, "yes  p2pmem of 0000:03:00.0"), (["10.0.0.2"], "1", 1, "rxe0 is a software device"),
            (["10.0.0.1", "10.0.0.2"], "1", 1, "although p2pmem is on"), (["10.0.0.3"], "1", 3, "is not shown"),
            (["10.0.0.1"], "0", 1, "p2pmem is off"), ([], "1", 1, "no port offers nqn.a"),
        ] as [([String], String, Int32, String)])
    func statuses(_ addresses: [String], _ p2pmem: String, _ status: Int32, _ words: String) throws {
        let folder = Self.folder(p2pmem: p2pmem, addresses: addresses)
        let said = try Tool.run("nvmet", "check", "--root", folder.path.string)
        #expect(said.status == status)
        #expect(said.output.contains(words), "\(said.output)")
        let json = try Tool.run("nvmet", "check", "--root", folder.path.string, "--json")
        #expect(json.status == status)
        let answers = try #require(json.json["answers"] as? [[String: Any]])
        #expect(answers.count == max(1, addresses.count))
        let archive = folder.path.appending("machine.tar.gz")
        try MachineArchive.write(Snapshot.capture(SystemRoot(folder.path)), to: archive, compression: .gzip)
        let again = try Tool.run("nvmet", "check", "--root", archive.string, "--json")
        #expect(again.status == status)
    }

    @Test("Another device may be asked about, if there is one")
    func device() throws {
        let folder = Self.folder(addresses: ["10.0.0.2"])
        let other = try Tool.run("nvmet", "check", "--device", "mlx5_0", "--root", folder.path.string)
        #expect(other.status == 0)
        let none = try Tool.run("nvmet", "check", "--device", "mlx5_7", "--root", folder.path.string)
        #expect(none.status == 2)
        #expect(none.complaint.contains("there is no RDMA device"))
    }

    @Test("What has no namespace, or hands a controller through, is named")
    func withoutNamespaces() throws {
        var machine = CheckTests.machine()
        machine.targetSubsystem("nqn.empty")
        machine.targetSubsystem("nqn.through", passthrough: true)
        machine.targetPort(7, "10.0.0.1", offers: [])
        let folder = TemporaryFolder()
        machine.write(to: folder)
        let said = try Tool.run("nvmet", "check", "--root", folder.path.string)
        #expect(said.status == 1)
        let words = ["has no namespace", "No subsystem is on port 7.", "in nqn.empty.", "handed through by nqn.through"]
        for word in words { #expect(said.output.contains(word), "\(said.output)") }
    }

    @Test("Where there is no target that is an error, and doctor says nothing of it")
    func missing() throws {
        let folder = TemporaryFolder()
        CheckTests.machine().write(to: folder)
        let said = try Tool.run("nvmet", "check", "--root", folder.path.string)
        #expect(said.status == 2)
        #expect(said.complaint.contains("no configuration of a target"))
        #expect(try !Tool.run("doctor", "--root", folder.path.string, "--json").output.contains("nvmetBounces"))
    }

    @Test("The doctor names what bounces although p2pmem is on, and nothing else")
    func doctor() throws {
        let both = Self.folder(addresses: ["10.0.0.1", "10.0.0.2"])
        let said = try Tool.run("doctor", "--root", both.path.string, "--json")
        #expect(said.output.components(separatedBy: "nvmetBounces").count == 2)
        #expect(said.output.contains("port 2"))
        let right = Self.folder(addresses: ["10.0.0.1"])
        #expect(try !Tool.run("doctor", "--root", right.path.string, "--json").output.contains("nvmetBounces"))
        let off = Self.folder(p2pmem: "0", addresses: ["10.0.0.2"])
        #expect(try !Tool.run("doctor", "--root", off.path.string, "--json").output.contains("nvmetBounces"))
    }
}
