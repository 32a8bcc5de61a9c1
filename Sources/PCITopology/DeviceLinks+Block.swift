// SPDX-License-Identifier: Apache-2.0

internal import SystemPackage
public import PeerMRCore

extension DeviceLinks {
    /// How many block devices may be stacked: a tree that was made up could go on for ever.
    private static let depthLimit = 8

    /// What does the DMA of a block device, by its kernel name (`nvme0n1`); nil where there is none of that name.
    ///
    /// With NVMe multipath the block device belongs to a virtual subsystem, whose controllers are its paths. An md
    /// array of level 0, 1 or 10 passes peer memory on where all its members take it (drivers/md/raid0.c, raid1.c and
    /// raid10.c, `BLK_FEAT_PCI_P2PDMA`); other levels and device mapper do not.
    public static func attachment(ofBlockDevice name: String, root: SystemRoot = .live) -> Attachment? {
        attachment(ofBlockDevice: name, root, depth: 0)
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

    private static func attachment(ofBlockDevice name: String, _ root: SystemRoot, depth: Int) -> Attachment? {
        let entry = "sys/class/block/\(name)"
        guard isName(name) else { return nil }
        guard let path = root.realPath(entry) else {
            return root.linkTarget(entry) == nil ? nil : .unreadable
        }
        if let address = function(of: path, root: root) { return .function(address) }
        guard depth < depthLimit else { return .unreadable }
        let disk = disk(ofBlockDevice: name, root: root)
        if disk != name { return attachment(ofBlockDevice: disk, root, depth: depth + 1) ?? .unreadable }
        let parts = root.entries("\(entry)/slaves") ?? []
        if !parts.isEmpty { return stack(of: parts, name, root, depth) }
        let controllers = (root.entries("\(entry)/device") ?? []).filter(isController)
            .compactMap { root.realPath("\(entry)/device/\($0)") }
        let functions = controllers.compactMap { function(of: $0, root: root) }
        // A path over a network does no DMA to a peer, and the kernel may take it.
        guard !functions.isEmpty, functions.count == controllers.count else { return .notPCI }
        return .paths(Set(functions).sorted())
    }

    private static func stack(of parts: [String], _ name: String, _ root: SystemRoot, _ depth: Int) -> Attachment {
        let entry = "sys/class/block/\(name)"
        let isArray = root.exists("\(entry)/md") || name.hasPrefix("md") && !root.exists("\(entry)/dm")
        guard isArray else { return .stacked(parts) }
        let level = root.attribute("\(entry)/md/level")
        if let level, !["raid0", "raid1", "raid10"].contains(level) { return .stacked(parts) }
        var functions: Set<PCIAddress> = []
        var isKnown = level != nil
        for part in parts {
            switch attachment(ofBlockDevice: part, root, depth: depth + 1) {
            case .function(let address): functions.insert(address)
            case .paths(let addresses), .array(_, let addresses): functions.formUnion(addresses)
            // One member that takes no peer memory keeps the array from taking any.
            case .software, .notPCI, .stacked: return .stacked(parts)
            case .unreadable, nil: isKnown = false
            }
        }
        guard isKnown, let level else { return .unreadable }
        return .array(level: level, functions.sorted())
    }

    /// `nvme0`, and not `nvme0n1`, which stands beside it in a subsystem.
    private static func isController(_ name: String) -> Bool {
        name.hasPrefix("nvme") && name.count > 4 && name.utf8.dropFirst(4).allSatisfy { (0x30...0x39).contains($0) }
    }
}
