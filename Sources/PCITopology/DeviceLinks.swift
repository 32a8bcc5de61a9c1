// SPDX-License-Identifier: Apache-2.0

public import SystemPackage
public import SystemSupport

/// From the devices that people name (`rxe0`, `/dev/nvme0n1`) to the PCI functions that do the DMA.
public enum DeviceLinks {
    /// The PCI function behind a path of sysfs: the last PCI address among its components; nil where there is none.
    ///
    /// A block device, a partition or an auxiliary device sits below the function whose driver made it.
    /// Components of `root` itself do not count: a captured tree may lie anywhere.
    public static func function(of path: FilePath, root: SystemRoot = .live) -> PCIAddress? {
        let above = root.realPath("")?.components.count ?? 0
        for component in path.components.dropFirst(above).reversed() {
            if let address = PCIAddress(component.string), component.string.count >= 12 {
                return address
            }
        }
        return nil
    }

    /// The PCI function that does DMA for an RDMA device; nil for a software device or one on another bus.
    ///
    /// Soft-RoCE and Soft-iWARP have no `device` link. hfi1 has one, yet moves its bytes by CPU
    /// (drivers/infiniband/hw/hfi1, rdmavt registers no DMA device).
    public static func function(ofRDMADevice name: String, root: SystemRoot = .live) -> PCIAddress? {
        let link = "sys/class/infiniband/\(name)/device"
        guard let path = root.realPath(link) else { return nil }
        if root.linkTarget("\(link)/driver")?.lastComponent?.string == "hfi1" { return nil }
        return function(of: path, root: root)
    }

    /// Whether a NIC does the DMA itself, or the CPU copies for it in the kernel.
    ///
    /// The kernel's test is `ib_uses_virt_dma` (include/rdma/ib_verbs.h): a device without a DMA device.
    public static func isSoftware(rdmaDevice name: String, root: SystemRoot = .live) -> Bool {
        let link = "sys/class/infiniband/\(name)/device"
        // What cannot be looked at counts as hardware: that only costs a flush, the other way round loses data.
        guard root.exists("sys/class/infiniband/\(name)") else { return false }
        guard root.linkTarget(link) != nil else { return true }
        return root.linkTarget("\(link)/driver")?.lastComponent?.string == "hfi1"
    }

    /// The PCI function of a block device, by its kernel name (`nvme0n1`); nil where it is not on PCI.
    ///
    /// With NVMe multipath the block device belongs to a virtual subsystem; its first path is taken.
    public static func function(ofBlockDevice name: String, root: SystemRoot = .live) -> PCIAddress? {
        guard let path = root.realPath("sys/class/block/\(name)") else { return nil }
        if let address = function(of: path, root: root) { return address }
        guard let controllers = root.entries("sys/class/block/\(name)/device") else { return nil }
        for entry in controllers where entry.hasPrefix("nvme") {
            if let path = root.realPath("sys/class/block/\(name)/device/\(entry)"),
                let address = function(of: path, root: root)
            {
                return address
            }
        }
        return nil
    }
}
