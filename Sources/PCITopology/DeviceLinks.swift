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

    /// A name is one component of a path, and leads nowhere else.
    static func isName(_ name: String) -> Bool {
        !name.isEmpty && name != "." && name != ".." && !name.utf8.contains { $0 == 0x2f || $0 == 0 }
    }
}
