// SPDX-License-Identifier: Apache-2.0

import PCITopology
import PeerMRCore
import TestSupport
import Testing

/// Arrays of md: those that pass peer memory on take their worst member, the others none at all.
@Suite struct ArrayTests {
    /// A provider and two drives below one root port, a drive below another, a disk of AHCI, and a loop device.
    static func machine(level: String?, of members: [String], name: String = "md0") -> TestMachine {
        var machine = TestMachine()
        machine.function("0000:00:00.0", vendor: 0x8086, device: 0x29c0, classCode: 0x060000, driver: nil)
        machine.bridge("0000:00:01.0", port: 4, acs: 0)
        machine.bridge("0000:00:02.0", port: 4, acs: 0)
        for function in ["0000:01:00.0", "0000:01:00.1", "0000:01:00.2"] {
            machine.function(function, below: ["0000:00:01.0"], pool: function == "0000:01:00.0" ? 1 << 20 : nil)
        }
        machine.function("0000:02:00.0", below: ["0000:00:02.0"])
        machine.function("0000:01:00.3", below: ["0000:00:01.0"], classCode: 0x010601, driver: "ahci")
        machine.named("nvme1n1", kind: "block", on: "pci0000:00/0000:00:01.0/0000:01:00.1")
        machine.named("nvme2n1", kind: "block", on: "pci0000:00/0000:00:01.0/0000:01:00.2")
        machine.named("nvme3n1", kind: "block", on: "pci0000:00/0000:00:02.0/0000:02:00.0")
        machine.named("sda", kind: "block", on: "pci0000:00/0000:00:01.0/0000:01:00.3")
        machine.named("loop0", kind: "block", on: nil)
        machine.stack(name, of: members, md: level)
        return machine
    }

    private static func route(_ machine: TestMachine, _ name: String = "md0") throws -> Route {
        let provider = try #require(PCIAddress("0000:01:00.0"))
        let found = Topology(root: machine.root).route(fromBlockDevice: name, to: provider)
        let captured = Topology(root: SystemRoot(Snapshot.capture(machine.root)))
        #expect(captured.route(fromBlockDevice: name, to: provider) == found, "a snapshot keeps it")
        return found
    }

    @Test(arguments: ["raid0", "raid1", "raid10"])
    func takesItsWorstMember(_ level: String) throws {
        let near = try Self.route(Self.machine(level: level, of: ["nvme1n1", "nvme2n1"]))
        #expect(near.verdict.mapType == .busAddress && near.findings.first?.code == .paths)
        #expect(near.findings.first?.detail.contains("md0 is a \(level) array") == true)
        for members in [["nvme1n1", "nvme3n1"], ["nvme3n1", "nvme1n1"]] {
            let far = try Self.route(Self.machine(level: level, of: members))
            #expect(far.verdict.isSupported == false && far.findings.contains { $0.code == .hostBridgeNotListed })
        }
    }

    @Test(arguments: ["raid4", "raid5", "raid6", "linear", "container", ""])
    func otherLevelsTakeNone(_ level: String) throws {
        let found = try Self.route(Self.machine(level: level, of: ["nvme1n1", "nvme2n1"]))
        #expect(found.verdict.isSupported == false && found.findings.map(\.code) == [.composed])
    }

    @Test func aMemberThatIsOnNoFunctionKeepsAllFromIt() throws {
        let found = try Self.route(Self.machine(level: "raid1", of: ["nvme1n1", "loop0"]))
        #expect(found.verdict.isSupported == false && found.findings.map(\.code) == [.composed])
    }

    /// A level that is not shown, and a member that is not: neither yes nor no.
    @Test func whatIsNotShownIsUnknown() throws {
        let levelless = try Self.route(Self.machine(level: nil, of: ["nvme1n1"]))
        #expect(levelless.verdict.isSupported == nil && levelless.findings.map(\.code) == [.placeUnreadable])
        let gone = try Self.route(Self.machine(level: "raid0", of: ["nvme1n1", "nvme9n1"]))
        #expect(gone.verdict.isSupported == nil)
        // It does not matter then.
        let other = try Self.route(Self.machine(level: "raid0", of: ["nvme9n1", "loop0"]))
        #expect(other.verdict.isSupported == false)
    }

    @Test func deviceMapperTakesNone() throws {
        var machine = Self.machine(level: "raid0", of: ["nvme1n1"])
        machine.stack("dm-0", of: ["nvme1n1"], md: nil)
        machine.stack("dm-1", of: ["md0"], md: nil)
        for name in ["dm-0", "dm-1"] {
            #expect(try Self.route(machine, name).findings.map(\.code) == [.composed])
        }
        machine.stack("md1", of: ["dm-0"], md: "raid1")
        #expect(try Self.route(machine, "md1").verdict.isSupported == false)
    }

    @Test func anArrayOfArraysAndItsPartition() throws {
        var machine = Self.machine(level: "raid1", of: ["nvme1n1", "nvme2n1"])
        machine.stack("md1", of: ["md0"], md: "raid0")
        machine.file("sys/devices/virtual/block/md1/md1p1/partition", "1")
        machine.link("sys/class/block/md1p1", "../../devices/virtual/block/md1/md1p1")
        for name in ["md1", "md1p1"] {
            let found = DeviceLinks.attachment(ofBlockDevice: name, root: machine.root)
            #expect(found?.functions.map(\.description) == ["0000:01:00.1", "0000:01:00.2"])
        }
        #expect(try Self.route(machine, "md1").verdict.mapType == .busAddress)
    }

    /// A tree may be anything.
    @Test func anArrayOfItselfEnds() throws {
        let found = try Self.route(Self.machine(level: "raid0", of: ["md0", "nvme1n1"]))
        #expect(found.verdict.isSupported == nil)
    }
}
