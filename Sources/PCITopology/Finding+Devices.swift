// SPDX-License-Identifier: Apache-2.0

internal import PeerMRCore

// Why there is no route from or to a device, or none that can be told.
extension Finding {
    static func noSuchFunction(_ address: PCIAddress) -> Finding {
        Finding(
            .noSuchDevice, "\(address)", "there is no PCI function \(address)",
            remedy: "see lspci -D for those that there are")
    }

    static func noSuchRDMADevice(_ name: String) -> Finding {
        Finding(
            .noSuchDevice, name, "there is no RDMA device \(name)",
            remedy: "see rdma link show for those that there are")
    }

    static func noSuchBlockDevice(_ name: String) -> Finding {
        Finding(
            .noSuchDevice, name, "there is no block device \(name)",
            remedy: "see lsblk for those that there are")
    }

    /// The kernel's own sysfs shows PCI devices wherever it shows anything; a container may hide it.
    package static let notShown = Finding(
        .notShown, nil, "sysfs shows no PCI devices here (/sys/bus/pci is missing), as in a container that hides them",
        remedy: "ask on the host itself, or show sysfs here (-v /sys:/sys:ro)")

    static func bridge(_ address: PCIAddress) -> Finding {
        Finding(
            .isBridge, "\(address)",
            "\(address) is a bridge: it offers no memory and does no DMA of its own",
            remedy: "name a device below it")
    }

    static func unlocated(_ address: PCIAddress) -> Finding {
        Finding(
            .placeUnreadable, "\(address)",
            "where \(address) is in the PCI tree cannot be read: it leads to no path below /sys/devices/pci*",
            remedy: "capture the whole of /sys/bus/pci and /sys/devices")
    }

    static func software(_ name: String) -> Finding {
        Finding(
            .softwareDevice, name,
            "\(name) is a software device: the CPU moves its bytes, no DMA from device to device takes place",
            remedy: "use an RDMA device with hardware of its own")
    }

    static func notPCI(_ name: String) -> Finding {
        Finding(
            .notPCI, name, "\(name) is on no PCI function: it does no DMA to another one's memory",
            remedy: "use a device on PCI, such as an NVMe drive")
    }

    static func paths(_ name: String, _ functions: [PCIAddress]) -> Finding {
        Finding(
            .paths, name,
            "\(name) has several paths (\(functions.map { "\($0)" }.joined(separator: ", "))), of which the kernel may "
                + "take any: the answer is that of the worst one")
    }

    static func array(_ name: String, _ level: String, _ functions: [PCIAddress]) -> Finding {
        Finding(
            .paths, name,
            "\(name) is a \(level) array of drives (\(functions.map { "\($0)" }.joined(separator: ", "))), any of "
                + "which may do its DMA: the answer is that of the worst one")
    }

    static func stacked(_ name: String, _ parts: [String]) -> Finding {
        let names = parts.joined(separator: ", ")
        return Finding(
            .composed, name,
            "\(name) is made of \(names), and takes no peer memory: of stacked devices only md arrays of level 0, 1 "
                + "and 10 do, over drives that do",
            remedy: "use its parts themselves: \(names)")
    }

    static func unreadable(_ name: String) -> Finding {
        Finding(
            .placeUnreadable, name, "which PCI function \(name) belongs to cannot be read",
            remedy: "capture the whole of /sys/class and /sys/devices")
    }
}
