// SPDX-License-Identifier: Apache-2.0

public import SystemPackage
public import PeerMRCore

/// From the devices that people name (`rxe0`, `/dev/nvme0n1`) to the PCI functions that do the DMA.
public enum DeviceLinks {
    /// The PCI function behind a path of sysfs: the last PCI address among its components; nil where there is none.
    ///
    /// A block device, a partition or an auxiliary device sits below the function whose driver made it.
    /// Components of `root` itself do not count: a captured tree may lie anywhere.
    public static func function(of path: FilePath, root: SystemRoot = .live) -> PCIAddress? {
        let above = root.realPath("")?.string.split(separator: "/").count ?? 0
        return path.string.split(separator: "/").dropFirst(above).reversed().lazy
            .compactMap { $0.utf8.count >= 12 ? PCIAddress($0) : nil }.first
    }

    /// What does the DMA of an RDMA device; nil where there is none of that name.
    ///
    /// Soft-RoCE and Soft-iWARP have no `device` link. hfi1 and ib_qib have one, yet their bytes are moved by the CPU:
    /// they register through rdmavt, without a DMA device.
    public static func attachment(
        ofRDMADevice name: String, root: SystemRoot = .live
    ) -> Attachment? {
        let entry = "sys/class/infiniband/\(name)"
        guard isName(name) else { return nil }
        guard let place = root.realPath(entry) else {
            return root.linkTarget(entry) == nil ? nil : .unreadable
        }
        if let path = root.realPath("\(entry)/device") {
            if SoftwareDevice.isOne(at: entry, root) { return .software }
            return function(of: path, root: root).map { .function($0) } ?? .notPCI
        }
        if root.linkTarget("\(entry)/device") != nil { return .unreadable }
        // A device below a PCI function whose link is missing from a captured tree.
        return function(of: place, root: root) == nil ? .software : .unreadable
    }

    /// What does the DMA of a block device, by its kernel name (`nvme0n1`); nil where there is none of that name.
    ///
    /// With NVMe multipath the block device belongs to a virtual subsystem, whose controllers are its paths.
    public static func attachment(
        ofBlockDevice name: String, root: SystemRoot = .live
    ) -> Attachment? {
        let entry = "sys/class/block/\(name)"
        guard isName(name) else { return nil }
        guard let path = root.realPath(entry) else {
            return root.linkTarget(entry) == nil ? nil : .unreadable
        }
        if let address = function(of: path, root: root) { return .function(address) }
        let parts = root.entries("\(entry)/slaves") ?? []
        if !parts.isEmpty { return .stacked(parts) }
        let controllers = (root.entries("\(entry)/device") ?? []).filter(isController)
            .compactMap { root.realPath("\(entry)/device/\($0)") }
        let functions = controllers.compactMap { function(of: $0, root: root) }
        // A path over a network does no DMA to a peer, and the kernel may take it.
        guard let first = functions.first, functions.count == controllers.count else { return .notPCI }
        return Set(functions).count == 1 ? .function(first) : .paths(Set(functions).sorted())
    }

    /// What does the DMA of an NVMe controller, by its kernel name (`nvme0`); nil where there is none of that name.
    public static func attachment(
        ofController name: String, root: SystemRoot = .live
    ) -> Attachment? {
        let entry = "sys/class/nvme/\(name)"
        guard isName(name) else { return nil }
        guard let path = root.realPath(entry) else {
            return root.linkTarget(entry) == nil ? nil : .unreadable
        }
        return function(of: path, root: root).map { .function($0) } ?? .notPCI
    }

    /// The disk that a partition is of; the name itself where it is no partition.
    public static func disk(ofBlockDevice name: String, root: SystemRoot = .live) -> String {
        guard isName(name), root.exists("sys/class/block/\(name)/partition"),
            let path = root.realPath("sys/class/block/\(name)"),
            let disk = path.removingLastComponent().lastComponent?.string
        else { return name }
        return disk
    }

    /// The PCI function that does DMA for an RDMA device; nil for a software device or one on another bus.
    public static func function(ofRDMADevice name: String, root: SystemRoot = .live) -> PCIAddress? {
        attachment(ofRDMADevice: name, root: root)?.function
    }

    /// Whether a NIC does the DMA itself, or the CPU copies for it in the kernel.
    ///
    /// What cannot be looked at counts as hardware: that only costs a flush, the other way round loses data.
    public static func isSoftware(rdmaDevice name: String, root: SystemRoot = .live) -> Bool {
        attachment(ofRDMADevice: name, root: root) == .software
    }

    /// The PCI function of a block device, by its kernel name (`nvme0n1`); nil where it is not on PCI.
    public static func function(ofBlockDevice name: String, root: SystemRoot = .live) -> PCIAddress? {
        attachment(ofBlockDevice: name, root: root)?.function
    }

    /// `nvme0`, and not `nvme0n1`, which stands beside it in a subsystem.
    private static func isController(_ name: String) -> Bool {
        name.hasPrefix("nvme") && name.count > 4 && name.utf8.dropFirst(4).allSatisfy { (0x30...0x39).contains($0) }
    }

    /// A name is one component of a path, and leads nowhere else.
    private static func isName(_ name: String) -> Bool {
        !name.isEmpty && name != "." && name != ".." && !name.utf8.contains { $0 == 0x2f || $0 == 0 }
    }
}
