// SPDX-License-Identifier: Apache-2.0

import CommandSupport
import PCITopology
import PeerMRCore
import TestSupport
import Testing

@testable import PeerMRCommand

/// Why no device publishes p2pmem: what is known, what is not, and what can be carried out.
@Suite struct PoolDiagnosisTests {
    private static let place = "pci0000:00/0000:00:01.0/0000:01:00.0"

    private static func machine(driver: String?, attributes: [String: String] = [:]) -> TestMachine {
        var machine = TestMachine()
        machine.bridge("0000:00:01.0", port: 4, acs: 0)
        machine.function("0000:01:00.0", below: ["0000:00:01.0"], driver: driver)
        guard driver == "nvme" else { return machine }
        machine.named("nvme0", kind: "nvme", on: place)
        for (name, text) in attributes { machine.file("sys/devices/\(place)/nvme/nvme0/\(name)", text) }
        return machine
    }

    private func diagnosis(_ machine: TestMachine) throws -> Diagnosis {
        let captured = Machine(SystemRoot(Snapshot.capture(machine.root)))
        let found = try #require(Diagnosis.ofThePool(captured))
        // A capture tells the same.
        #expect(found.json.encoded == Diagnosis.ofThePool(Machine(machine.root))?.json.encoded)
        return found
    }

    @Test(arguments: ["vfio-pci", "uio_pci_generic", nil])
    func aDriveThatAnotherDriverHoldsIsGivenBack(_ driver: String?) throws {
        let found = try diagnosis(Self.machine(driver: driver))
        #expect(found.device == "0000:01:00.0" && found.detail.contains(driver ?? "no driver"))
        let remedy = try #require(found.remedy)
        let steps = ["echo > /sys/bus/pci/devices/$d/driver_override", "echo $d > /sys/bus/pci/drivers_probe"]
        for step in steps { #expect(remedy.contains(step)) }
        #expect(remedy.contains("driver/unbind") == (driver != nil))
        #expect(remedy.contains("peermr vfio unbind") == (driver == "vfio-pci"))
        #expect(!remedy.contains("nvme/bind"))
    }

    @Test(
        arguments: [
            ([:], "is not shown here", "cat /sys/class/nvme"),
            (["transport": "pcie"], "the NVMe drive has no controller memory buffer", "use a drive"),
            (["transport": "pcie", "cmbsz": "4123"], "buffer of 4 KiB, and the kernel does not publish it", "dmesg"),
            (["cmb": "cmbloc : x00000002\ncmbsz  : x0001021b"], "buffer of 16 MiB, and the kernel", "dmesg"),
            (["cmbsz": "66049"], "for queues", "use a drive"),
        ] as [([String: String], String, String)])
    func aBufferThatIsNotPublishedIsThereAllTheSame(
        _ attributes: [String: String], _ words: String, _ remedy: String
    ) throws {
        let found = try diagnosis(Self.machine(driver: "nvme", attributes: attributes))
        #expect(found.detail.contains(words), "\(found.detail)")
        #expect(found.remedy?.contains(remedy) == true)
        #expect(found.severity == .blocks)
    }

    @Test func itLimitsWhereOthersExport() throws {
        var machine = Self.machine(driver: "nvme")
        machine.function("0000:00:05.0", classCode: 0x030200, driver: "nvidia")
        #expect(try diagnosis(machine).severity == .limits)
    }
}
