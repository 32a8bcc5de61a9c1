// SPDX-License-Identifier: Apache-2.0

import PCITopology
import PeerMRCore
import TestSupport
import Testing

/// NVMe multipath: the kernel takes any of a drive's paths, so that all of them count.
@Suite struct PathsTests {
    /// A provider and a controller below one root port, a controller below another, and a namespace on both.
    private func machine(_ controllers: [String]) -> TestMachine {
        var machine = TestMachine()
        machine.function("0000:00:00.0", vendor: 0x8086, device: 0x29c0, classCode: 0x060000, driver: nil)
        machine.bridge("0000:00:01.0", port: 4, acs: 0)
        machine.bridge("0000:00:02.0", port: 4, acs: 0)
        for function in ["0000:01:00.0", "0000:01:00.1", "0000:01:00.2"] {
            machine.function(function, below: ["0000:00:01.0"], pool: 1 << 20)
        }
        machine.function("0000:02:00.0", below: ["0000:00:02.0"])
        let subsystem = "sys/devices/virtual/nvme-subsystem/nvme-subsys0"
        machine.file("\(subsystem)/nvme0n1/size", "8")
        machine.link("\(subsystem)/nvme0n1/device", "..")
        machine.link("sys/class/block/nvme0n1", "../../devices/virtual/nvme-subsystem/nvme-subsys0/nvme0n1")
        for (number, place) in controllers.enumerated() {
            machine.file("sys/devices/\(place)/nvme/nvme\(number)/cntlid", "\(number)")
            machine.link("\(subsystem)/nvme\(number)", "../../../\(place)/nvme/nvme\(number)")
            machine.link("sys/class/nvme/nvme\(number)", "../../devices/\(place)/nvme/nvme\(number)")
        }
        return machine
    }

    private static let near = ["pci0000:00/0000:00:01.0/0000:01:00.1", "pci0000:00/0000:00:01.0/0000:01:00.2"]
    private static let far = "pci0000:00/0000:00:02.0/0000:02:00.0"

    private func route(_ machine: TestMachine, _ name: String = "nvme0n1") throws -> Route {
        let topology = Topology(root: machine.root)
        return topology.route(fromBlockDevice: name, to: try #require(PCIAddress("0000:01:00.0")))
    }

    @Test func allPathsAllowedIsAllowed() throws {
        let found = try route(machine(Self.near))
        #expect(found.verdict.mapType == .busAddress && found.findings.first?.code == .paths)
        #expect(found.findings.first?.detail.contains("0000:01:00.1, 0000:01:00.2") == true)
    }

    @Test func onePathRefusedIsRefused() throws {
        for controllers in [[Self.near[0], Self.far], [Self.far, Self.near[0]]] {
            let found = try route(machine(controllers))
            #expect(found.verdict.isSupported == false)
            #expect(found.findings.contains { $0.code == .hostBridgeNotListed })
        }
    }

    @Test func onePathOnly() throws {
        let found = try route(machine([Self.far]))
        #expect(found.verdict.isSupported == false && !found.findings.contains { $0.code == .paths })
    }

    @Test func aPathOverANetworkIsNoDMA() throws {
        let found = try route(machine([Self.near[0], "virtual/nvme-fabrics/ctl"]))
        #expect(found.findings.map(\.code) == [.notPCI])
    }

    @Test func snapshotsKeepAllPaths() throws {
        let machine = machine([Self.near[0], Self.far])
        let captured = Topology(root: .init(Snapshot.capture(machine.root)))
        #expect(captured.blockDevices == Topology(root: machine.root).blockDevices)
        #expect(
            DeviceLinks.attachment(ofController: "nvme1", root: .init(Snapshot.capture(machine.root)))
                == .function(try #require(PCIAddress("0000:02:00.0"))))
    }
}
