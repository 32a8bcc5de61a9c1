// SPDX-License-Identifier: Apache-2.0

import PCITopology
import PeerMR
import SystemPackage
import PeerMRCore

/// From what people write on the command line to devices that exist.
enum DeviceArgument {
    /// A provider: the address of a function that sysfs lists.
    static func provider(_ text: String, _ root: SystemRoot) throws(PeerMRError) -> PCIAddress {
        guard let address = PCIAddress(text) else { throw malformed(text) }
        try validate(address, root)
        return address
    }

    /// A client: the address of a function, an RDMA device, or a drive by its name or its path.
    static func client(_ text: String, _ root: SystemRoot) throws(PeerMRError) -> Client {
        if let address = PCIAddress(text) {
            try validate(address, root)
            return .function(address)
        }
        let isPath = text.utf8.contains(0x2f)
        if text.utf8.contains(0x3a) && !isPath { throw malformed(text) }
        let name = isPath ? try blockName(text, root) : text
        if !isPath, DeviceLinks.attachment(ofRDMADevice: name, root: root) != nil {
            return .rdmaDevice(name)
        }
        if DeviceLinks.attachment(ofController: name, root: root) != nil { return .controller(name) }
        let disk = DeviceLinks.disk(ofBlockDevice: name, root: root)
        guard DeviceLinks.attachment(ofBlockDevice: disk, root: root) != nil else {
            // Where nothing is shown, nothing is missing.
            if !Topology.isShown(in: root) { return name.hasPrefix("nvme") ? .blockDevice(name) : .rdmaDevice(name) }
            throw PeerMRError(
                .notFound,
                reason: "there is no RDMA device, block device, NVMe controller or PCI function \(text.quoted)",
                remedy: "see peermr devices for those that there are")
        }
        return .blockDevice(disk)
    }

    /// The kernel's name for a node of /dev: links such as /dev/disk/by-id lead to it. Another machine's nodes are
    /// known by name only.
    private static func blockName(_ text: String, _ root: SystemRoot) throws(PeerMRError) -> String {
        let path = FilePath(text)
        // A controller's node is no block device.
        if text.hasPrefix("/dev/nvme"), let name = path.lastComponent?.string,
            DeviceLinks.attachment(ofController: name, root: root) != nil
        {
            return name
        }
        if root.isLive {
            if let number = blockNumber(of: path),
                let node = root.realPath("sys/dev/block/\(number.major):\(number.minor)"),
                let name = node.lastComponent?.string
            {
                return name
            }
            throw PeerMRError(
                .notFound, reason: "\(text.quoted) is no block device",
                remedy: "name a disk or a partition, such as /dev/nvme0n1")
        }
        guard let name = path.lastComponent?.string else { throw malformed(text) }
        return name
    }

    private static func validate(_ address: PCIAddress, _ root: SystemRoot) throws(PeerMRError) {
        let folder = "sys/bus/pci/devices/\(address)"
        guard Topology.isShown(in: root) else { return }
        guard root.exists(folder) || root.linkTarget(folder) != nil else {
            throw PeerMRError(
                .notFound, reason: "there is no PCI function \(address)",
                remedy: "see peermr devices, or lspci -D, for those that there are")
        }
    }

    private static func malformed(_ text: String) -> PeerMRError {
        PeerMRError(
            .invalidArgument, reason: "\(text.quoted) is no PCI address",
            remedy: "write it as lspci -D does, for example 0000:03:00.0")
    }
}
