// SPDX-License-Identifier: Apache-2.0

internal import SystemPackage
public import PeerMRCore

extension DeviceLinks {
    /// What does the DMA of a block device, by its kernel name (`nvme0n1`); nil where there is none of that name.
    ///
    /// With NVMe multipath the block device belongs to a virtual subsystem, whose controllers are its paths. An md
    /// array of level 0, 1 or 10 passes peer memory on where all its members take it (drivers/md/raid0.c, raid1.c and
    /// raid10.c, `BLK_FEAT_PCI_P2PDMA`); other levels and device mapper do not.
    public static func attachment(ofBlockDevice name: String, root: SystemRoot = .live) -> Attachment? {
        BlockDeviceReader(root).attachment(of: name)
    }

    /// The PCI function of a block device, by its kernel name (`nvme0n1`); nil where it is not on PCI.
    public static func function(ofBlockDevice name: String, root: SystemRoot = .live) -> PCIAddress? {
        attachment(ofBlockDevice: name, root: root)?.function
    }

    /// The disk that a partition is of; the name itself where it is no partition.
    public static func disk(ofBlockDevice name: String, root: SystemRoot = .live) -> String {
        guard isName(name), root.exists("sys/class/block/\(name)/partition"),
            let path = root.realPath("sys/class/block/\(name)"),
            let disk = path.removingLastComponent().lastComponent?.string
        else { return name }
        return disk
    }
}
