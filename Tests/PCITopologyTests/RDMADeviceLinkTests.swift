// SPDX-License-Identifier: Apache-2.0

import PCITopology
import SystemPackage
import PeerMRCore
import TestSupport
import Testing

/// From an RDMA device to the PCI function that does its DMA.
@Suite struct RDMADeviceLinkTests {
    let folder = TemporaryFolder()
    private let port = "pci0000:00/0000:00:01.0"

    private func function(of name: String) -> String? {
        DeviceLinks.function(ofRDMADevice: name, root: folder.root)?.description
    }

    private func isSoftware(_ name: String) -> Bool {
        DeviceLinks.isSoftware(rdmaDevice: name, root: folder.root)
    }

    @Test func aNICHasItsFunction() {
        folder.device("\(port)/0000:01:00.0", driver: "mlx5_core")
        folder.rdmaDevice("mlx5_0", below: "\(port)/0000:01:00.0")
        #expect(function(of: "mlx5_0") == "0000:01:00.0")
        #expect(!isSoftware("mlx5_0"))
    }

    @Test func aVirtualFunctionHasItsOwn() {
        folder.device("\(port)/0000:01:00.2", driver: "mlx5_core")
        folder.rdmaDevice("mlx5_2", below: "\(port)/0000:01:00.2")
        #expect(function(of: "mlx5_2") == "0000:01:00.2")
        #expect(!isSoftware("mlx5_2"))
    }

    /// A subfunction's device is an auxiliary one; DMA is done by the function above it.
    @Test func aSubfunctionHasThatOfItsParent() {
        folder.device("\(port)/0000:01:00.0", driver: "mlx5_core")
        folder.device("\(port)/0000:01:00.0/mlx5_core.sf.4", driver: "mlx5_core.sf")
        folder.rdmaDevice("mlx5_4", below: "\(port)/0000:01:00.0/mlx5_core.sf.4")
        #expect(function(of: "mlx5_4") == "0000:01:00.0")
        #expect(!isSoftware("mlx5_4"))
    }

    @Test func theFunctionBehindAVMDHasItsWideDomain() {
        let path = "pci0000:00/0000:00:0e.0/pci10000:e0/10000:e0:01.0/10000:e1:00.0"
        folder.device(path, driver: "mlx5_core")
        folder.rdmaDevice("mlx5_0", below: path)
        #expect(function(of: "mlx5_0") == "10000:e1:00.0")
    }

    @Test func softRoCEHasNoDeviceLink() {
        folder.classEntry("infiniband", "rxe0", at: "virtual/infiniband/rxe0")
        #expect(function(of: "rxe0") == nil)
        #expect(isSoftware("rxe0"))
    }

    @Test func aDeviceWithoutDriverIsNoSoftware() {
        folder.device("\(port)/0000:06:00.0")
        folder.rdmaDevice("irdma0", below: "\(port)/0000:06:00.0")
        #expect(function(of: "irdma0") == "0000:06:00.0")
        #expect(!isSoftware("irdma0"))
    }

    @Test func aDeviceOfAnotherBusHasNoFunction() {
        folder.device("platform/HISI00D1:00", driver: "hns_roce")
        folder.rdmaDevice("hns_0", below: "platform/HISI00D1:00")
        #expect(function(of: "hns_0") == nil)
        #expect(!isSoftware("hns_0"))
    }

    @Test func whatIsNotThereHasNoFunction() {
        #expect(function(of: "mlx5_9") == nil)
        folder.link("sys/class/infiniband/gone", to: "../../devices/gone")
        #expect(function(of: "gone") == nil)
    }

    /// A NIC that does DMA and is taken for software loses its flush: doubt must not read as software.
    @Test func whatCannotBeReadIsNoSoftware() {
        #expect(!isSoftware("mlx5_9"))
        folder.classEntry("infiniband", "mlx5_0", at: "\(port)/0000:01:00.0/infiniband/mlx5_0")
        folder.link("sys/class/infiniband/mlx5_0/device", to: "../../../gone")
        #expect(function(of: "mlx5_0") == nil)
        #expect(!isSoftware("mlx5_0"))
    }

    /// A tree kept in a folder that is named like a function must not lend its name to every device.
    @Test func theFoldersAboveTheTreeDoNotCount() {
        let capture = "captures/0000:7f:00.0"
        folder.folder("\(capture)/sys/devices/platform/soc/infiniband/hns_0")
        folder.link(
            "\(capture)/sys/class/infiniband/hns_0", to: "../../devices/platform/soc/infiniband/hns_0")
        folder.link("\(capture)/sys/devices/platform/soc/infiniband/hns_0/device", to: "../..")
        let root = SystemRoot(folder.path.appending(capture))
        #expect(DeviceLinks.function(ofRDMADevice: "hns_0", root: root) == nil)
    }
}
