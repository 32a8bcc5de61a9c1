// SPDX-License-Identifier: Apache-2.0

import TestSupport

/// Builds what the kernel shows of a machine: device folders, and class entries that are relative links to them.
extension TemporaryFolder {
    /// A device folder below `sys/devices`, with its driver.
    func device(_ path: String, driver: String? = nil) {
        folder("sys/devices/\(path)")
        guard let driver else { return }
        folder("sys/bus/drivers/\(driver)")
        link("sys/devices/\(path)/driver", to: up(path) + "bus/drivers/\(driver)")
    }

    /// An RDMA device below the device that its `device` link names.
    func rdmaDevice(_ name: String, below parent: String) {
        classEntry("infiniband", name, at: "\(parent)/infiniband/\(name)")
        link("sys/devices/\(parent)/infiniband/\(name)/device", to: "../..")
    }

    /// A block device, whose `device` link names what is above it.
    func blockDevice(_ name: String, at path: String, device: String = "..") {
        classEntry("block", name, at: path)
        link("sys/devices/\(path)/device", to: device)
    }

    /// A class entry: a link to the device's folder.
    func classEntry(_ kind: String, _ name: String, at path: String) {
        folder("sys/devices/\(path)")
        link("sys/class/\(kind)/\(name)", to: "../../devices/\(path)")
    }

    /// From a device folder to `sys`.
    private func up(_ path: String) -> String {
        String(repeating: "../", count: path.split(separator: "/").count + 1)
    }
}
