// SPDX-License-Identifier: Apache-2.0

import PeerMR
import TestSupport
import Testing

@Suite struct NICKindTests {
    let folder = TemporaryFolder()

    @Test func aDeviceLinkMakesItADevice() {
        let function = "pci0000:00/0000:00:01.0"
        folder.folder("sys/devices/\(function)/infiniband/mlx5_0")
        folder.link("sys/class/infiniband/mlx5_0", to: "../../devices/\(function)/infiniband/mlx5_0")
        folder.link("sys/devices/\(function)/infiniband/mlx5_0/device", to: "../..")
        #expect(NICKind(of: Device(name: "mlx5_0"), root: folder.root) == .device)
    }

    @Test func noneMakesItSoftware() {
        folder.folder("sys/devices/virtual/infiniband/rxe0")
        folder.link("sys/class/infiniband/rxe0", to: "../../devices/virtual/infiniband/rxe0")
        #expect(NICKind(of: Device(name: "rxe0"), root: folder.root) == .software)
    }

    /// Doubt must not take the flush of peer writes away.
    @Test func aMachineWithoutSysfsHasNoSoftwareDevices() {
        #expect(NICKind(of: Device(name: "mlx5_0"), root: folder.root) == .device)
    }

    @Test func theNamesAreThoseOfTheReport() {
        #expect(NICKind.device.rawValue == "device")
        #expect(NICKind.software.rawValue == "software")
        #expect(Method.allCases.map(\.rawValue) == ["pinned", "onDemand", "dmaBuf", "deviceMemory"])
        #expect(MemoryKind.allCases.map(\.rawValue) == ["host", "p2pmem", "dmabuf", "nic"])
    }
}
