// SPDX-License-Identifier: Apache-2.0

internal import PeerMRCore
internal import SystemPackage

/// RDMA devices that have a device in sysfs, and whose bytes the CPU moves all the same.
///
/// The kernel's test is `ib_uses_virt_dma` (include/rdma/ib_verbs.h): a device that was registered without a DMA
/// device. Sysfs does not show that, so it is told from the driver.
enum SoftwareDevice {
    /// The modules that use rdmavt, the part of the kernel that registers a device without a DMA device
    /// (drivers/infiniband/sw/rdmavt/vt.c, `rvt_register_device`).
    static let users = "sys/module/rdmavt/holders"
    /// Those of Linux 7.3 and before, for a machine that does not show its modules, and kernels that have rdmavt
    /// built in.
    private static let knownDrivers: Set<String> = ["hfi1", "ib_qib", "qib"]
    /// What siw calls its devices (drivers/infiniband/sw/siw/siw_main.c).
    static let softIWARP = "Software iWARP"

    /// Whether the RDMA device at a folder of /sys/class/infiniband is one.
    static func isOne(at entry: String, _ root: SystemRoot) -> Bool {
        if let driver = root.linkTarget("\(entry)/device/driver")?.lastComponent?.string,
            knownDrivers.contains(driver) || drivers(root).contains(driver)
        {
            return true
        }
        // Before Linux 5.11 Soft-RoCE and Soft-iWARP had the function of their network interface for a device.
        // Soft-RoCE alone has an attribute with that interface's name.
        return root.exists("\(entry)/parent") || root.attribute("\(entry)/node_desc")?.hasPrefix(softIWARP) == true
    }

    /// The drivers of the modules that use rdmavt: most have the module's name.
    private static func drivers(_ root: SystemRoot) -> Set<String> {
        var names: Set<String> = []
        for module in root.entries(users) ?? [] {
            names.insert(module)
            // "pci:ib_qib": the bus, and the driver on it.
            for driver in root.entries(drivers(of: module)) ?? [] {
                names.insert(driver.split(separator: ":").last.map(String.init) ?? driver)
            }
        }
        return names
    }

    /// Where the kernel names a module's drivers.
    static func drivers(of module: String) -> String { "sys/module/\(module)/drivers" }
}
