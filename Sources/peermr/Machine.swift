// SPDX-License-Identifier: Apache-2.0

import CommandSupport
import PCITopology
import PeerMR
import PeerMRCore

/// A device of the machine as the tables show it.
struct NamedDevice {
    let name: String
    let attachment: Attachment
    var function: PCIAddress? { attachment.function }
}

/// A machine, with its clients and providers.
struct Machine {
    let root: SystemRoot
    let topology: Topology
    /// RDMA devices, by name.
    let rdma: [NamedDevice]
    private let names: [PCIAddress: [String]]
    /// Disks that are on a PCI function, or are made of such, by name.
    let disks: [NamedDevice]

    init(_ root: SystemRoot) {
        self.root = root
        let topology = Topology(root: root)
        self.topology = topology
        func named(_ devices: [String: Attachment]) -> [NamedDevice] {
            devices.map { NamedDevice(name: $0, attachment: $1) }.sorted { $0.name < $1.name }
        }
        rdma = named(topology.rdmaDevices)
        disks = named(topology.blockDevices).filter {
            if case .notPCI = $0.attachment { false } else { true }
        }
        names = Dictionary(
            (rdma + disks).flatMap { device in device.attachment.functions.map { ($0, [device.name]) } },
            uniquingKeysWith: +)
    }

    /// Functions whose memory others may use: those that publish p2pmem; display and processing devices; NVMe
    /// controllers.
    var providers: [PCIAddress] {
        topology.functions.filter { $0.poolBytes != nil || $0.isLikelyProvider }.map(\.address)
    }

    /// The clients: the functions that do the DMA of RDMA devices and NVMe drives.
    var clients: [PCIAddress] {
        let behindRDMA = rdma.compactMap(\.function)
        let drives = topology.functions.filter(\.isNVMe).map(\.address)
        return Set(behindRDMA + drives).sorted()
    }

    /// Functions that are no bridges.
    var endpoints: [PCIAddress] { topology.functions.filter { !$0.isBridge }.map(\.address) }

    /// What people know a function by: the names of the devices on it, or its address.
    func name(of address: PCIAddress) -> String {
        let names = names(of: address)
        return names.isEmpty ? "\(address)" : names.joined(separator: ",")
    }

    /// The names of RDMA devices and disks on a function.
    func names(of address: PCIAddress) -> [String] {
        names[address] ?? []
    }
}

extension Machine {
    /// What is said where sysfs does not show PCI devices at all; nil where it does.
    func notShownText(_ style: TextStyle) -> String? {
        let finding = Finding.notShown
        return topology.isShown ? nil : style.paragraph("\(finding.detail); \(finding.remedy ?? "")")
    }

    /// The functions that sysfs lists without their place in the tree; empty where there are none.
    func unlocatedText(_ style: TextStyle) -> String {
        let addresses = topology.unlocated.sorted().map { "\($0)" }
        if addresses.isEmpty { return "" }
        return "\n"
            + style.paragraph(
                "\(NumberFormat.count(addresses.count, "function")) without a place in the tree: "
                    + "\(NameList.text(addresses, limit: 12)). Sysfs lists them, and shows no path below "
                    + "/sys/devices/pci* for them: capture all of /sys/bus/pci and /sys/devices.")
    }
}

extension PCIFunction {
    /// What it is, in a word.
    var kind: String {
        guard let classCode else { return "unknown" }
        switch classCode >> 8 {
        case 0x0108: return "nvme"
        case 0x0200, 0x0207: return "network"
        case let other:
            switch other >> 8 {
            case 0x01: return "storage"
            case 0x02: return "network"
            case 0x03: return "display"
            case 0x06: return "bridge"
            case 0x0b where other == 0x0b40: return "coprocessor"
            case 0x12: return "accelerator"
            default: return "device"
            }
        }
    }
}

extension IOMMUMode {
    /// For a cell of a table.
    var word: String {
        switch self {
        case .none: "none"
        case .domain(let type, _): type
        }
    }
}
