// SPDX-License-Identifier: Apache-2.0

import PCITopology
import PeerMRCore
import SystemPackage
import TestSupport
import Testing

/// From a block device to the PCI function that does its DMA.
@Suite struct BlockDeviceLinkTests {
    let folder = TemporaryFolder()
    private let drive = "pci0000:00/0000:00:03.0/0000:02:00.0"

    private func function(of name: String) -> String? {
        DeviceLinks.function(ofBlockDevice: name, root: folder.root)?.description
    }

    @Test func aNamespaceHasItsDrivesFunction() {
        folder.blockDevice("nvme0n1", at: "\(drive)/nvme/nvme0/nvme0n1")
        #expect(function(of: "nvme0n1") == "0000:02:00.0")
    }

    @Test func aPartitionHasThatOfItsDrive() {
        folder.blockDevice("nvme0n1", at: "\(drive)/nvme/nvme0/nvme0n1")
        folder.classEntry("block", "nvme0n1p2", at: "\(drive)/nvme/nvme0/nvme0n1/nvme0n1p2")
        #expect(function(of: "nvme0n1p2") == "0000:02:00.0")
    }

    /// With multipath the namespace belongs to a virtual subsystem, and the controllers are its links.
    @Test func aMultipathNamespaceHasThatOfItsFirstPath() {
        let subsystem = "virtual/nvme-subsystem/nvme-subsys0"
        folder.device("\(drive)/nvme/nvme0")
        folder.blockDevice("nvme0n1", at: "\(subsystem)/nvme0n1")
        folder.link("sys/devices/\(subsystem)/nvme0", to: "../../../\(drive)/nvme/nvme0")
        #expect(function(of: "nvme0n1") == "0000:02:00.0")
    }

    @Test func aMultipathNamespaceOverTheNetworkHasNone() {
        let subsystem = "virtual/nvme-subsystem/nvme-subsys1"
        folder.device("virtual/nvme-fabrics/ctl/nvme1")
        folder.blockDevice("nvme1n1", at: "\(subsystem)/nvme1n1")
        folder.link("sys/devices/\(subsystem)/nvme1", to: "../../nvme-fabrics/ctl/nvme1")
        folder.link("sys/devices/\(subsystem)/nvme2", to: "../../nvme-fabrics/ctl/gone")
        #expect(function(of: "nvme1n1") == nil)
    }

    @Test func aDiskOfVirtioOverPCIHasItsFunction() {
        folder.blockDevice("vda", at: "pci0000:00/0000:00:04.0/virtio1/block/vda", device: "../..")
        #expect(function(of: "vda") == "0000:00:04.0")
    }

    @Test func aDiskOfVirtioWithoutPCIHasNone() {
        folder.blockDevice(
            "vda", at: "platform/a003e00.virtio_mmio/virtio0/block/vda", device: "../..")
        #expect(function(of: "vda") == nil)
    }

    @Test func theFunctionBehindAVMDHasItsWideDomain() {
        let path = "pci0000:00/0000:00:0e.0/pci10000:e0/10000:e0:01.0/10000:e1:00.0"
        folder.blockDevice("nvme0n1", at: "\(path)/nvme/nvme0/nvme0n1")
        #expect(function(of: "nvme0n1") == "10000:e1:00.0")
    }

    @Test func virtualDevicesHaveNone() {
        folder.classEntry("block", "dm-0", at: "virtual/block/dm-0")
        folder.classEntry("block", "loop0", at: "virtual/block/loop0")
        #expect(function(of: "dm-0") == nil)
        #expect(function(of: "loop0") == nil)
    }

    @Test func whatIsNotThereOrDanglesHasNone() {
        #expect(function(of: "nvme9n1") == nil)
        #expect(function(of: "") == nil)
        folder.link("sys/class/block/nvme3n1", to: "../../devices/gone/nvme3n1")
        #expect(function(of: "nvme3n1") == nil)
    }
}

/// The address in a path.
@Suite struct FunctionOfPathTests {
    @Test(arguments: [
        ("/sys/devices/pci0000:00/0000:00:01.0/0000:01:00.0/nvme/nvme0", "0000:01:00.0"),
        ("/sys/devices/pci0000:00/0000:00:1c.0", "0000:00:1c.0"),
        ("/sys/devices/pci0000:00", nil), ("/sys/devices/virtual/net/lo", nil), ("/", nil), ("", nil),
        // A short form, as i2c or acpi folders may look like, is no function of sysfs.
        ("/sys/devices/platform/00:01.0/x", nil),
        ("/sys/devices/pci0000:00/0000:00:01.0/0000:00:01.0:pcie001", "0000:00:01.0"),
    ] as [(String, String?)])
    func theLastAddressCounts(_ path: String, _ address: String?) {
        #expect(DeviceLinks.function(of: FilePath(path))?.description == address)
    }
}
