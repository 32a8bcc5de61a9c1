// SPDX-License-Identifier: Apache-2.0

import PeerMR
import TestSupport
import Testing

/// The driver that decides what a NIC can do.
@Suite struct RegistrationInfoTests {
    @Test func aFunctionHasItsDriver() {
        var machine = TestMachine()
        machine.function("0000:01:00.0", classCode: 0x020000, driver: "mlx5_core")
        machine.named("mlx5_0", kind: "infiniband", on: "pci0000:00/0000:01:00.0")
        #expect(RegistrationInfo.driver(ofRDMADevice: "mlx5_0", root: machine.root) == "mlx5_core")
    }

    /// Its own driver, mlx5_core.sf, says nothing of what it can do.
    @Test func aSubfunctionHasThatOfItsFunction() {
        var machine = TestMachine()
        machine.function("0000:01:00.0", classCode: 0x020000, driver: "mlx5_core")
        let subfunction = "pci0000:00/0000:01:00.0/mlx5_core.sf.4"
        machine.link("sys/devices/\(subfunction)/driver", "../../../../bus/auxiliary/drivers/mlx5_core.sf")
        machine.named("mlx5_4", kind: "infiniband", on: subfunction)
        #expect(RegistrationInfo.driver(ofRDMADevice: "mlx5_4", root: machine.root) == "mlx5_core")
    }

    @Test func aDeviceOnAnotherBusHasItsOwn() {
        var machine = TestMachine()
        machine.link("sys/devices/platform/HISI00D1:00/driver", "../../../bus/platform/drivers/hns_roce")
        machine.named("hns_0", kind: "infiniband", on: "platform/HISI00D1:00")
        #expect(RegistrationInfo.driver(ofRDMADevice: "hns_0", root: machine.root) == "hns_roce")
        #expect(RegistrationInfo.driver(ofRDMADevice: "rxe0", root: machine.root) == nil)
    }
}
