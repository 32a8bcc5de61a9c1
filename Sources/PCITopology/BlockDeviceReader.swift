// SPDX-License-Identifier: Apache-2.0

internal import PeerMRCore
internal import SystemPackage

/// Finds what does the DMA of block devices, each device once: arrays are made of arrays, and a tree that was made up
/// may name each of them in all others.
final class BlockDeviceReader {
    /// How many block devices may be stacked: a tree that was made up could go on for ever.
    private static let depthLimit = 8
    /// The most functions of one device; md takes fewer members.
    private static let functionLimit = 2048
    /// The most functions of all devices together, and the most devices that are looked at on all ways to them.
    private static let totalLimit = 1 << 20
    private static let stepLimit = 1 << 16

    private let root: SystemRoot
    private var known: [String: Attachment?] = [:]
    private var total = 0
    private var steps = 0
    /// How often a limit has ended the search: what was found then is not kept for other ways to the same device.
    private var cuts = 0

    init(_ root: SystemRoot) { self.root = root }

    /// What does the DMA of a block device; nil where there is none of that name.
    func attachment(of name: String) -> Attachment? { attachment(of: name, depth: 0) }

    private func attachment(of name: String, depth: Int) -> Attachment? {
        if let found = known[name] { return found }
        steps += 1
        guard steps <= Self.stepLimit else { return cut() }
        let before = cuts
        var found = find(name, depth: depth)
        let count = found?.functions.count ?? 0
        total += count
        if count > Self.functionLimit || total > Self.totalLimit { found = cut() }
        if cuts == before || depth == 0 { known[name] = .some(found) }
        return found
    }

    private func cut() -> Attachment {
        cuts += 1
        return .unreadable
    }

    private func find(_ name: String, depth: Int) -> Attachment? {
        let entry = "sys/class/block/\(name)"
        guard DeviceLinks.isName(name) else { return nil }
        guard let path = root.realPath(entry) else {
            return root.linkTarget(entry) == nil ? nil : .unreadable
        }
        if let address = DeviceLinks.function(of: path, root: root) { return .function(address) }
        guard depth < Self.depthLimit else { return cut() }
        let disk = DeviceLinks.disk(ofBlockDevice: name, root: root)
        if disk != name { return attachment(of: disk, depth: depth + 1) ?? .unreadable }
        let parts = root.entries("\(entry)/slaves") ?? []
        if !parts.isEmpty { return stack(of: parts, name, depth) }
        let controllers = (root.entries("\(entry)/device") ?? []).filter(Self.isController)
            .compactMap { root.realPath("\(entry)/device/\($0)") }
        let functions = controllers.compactMap { DeviceLinks.function(of: $0, root: root) }
        // A path over a network does no DMA to a peer, and the kernel may take it.
        guard !functions.isEmpty, functions.count == controllers.count else { return .notPCI }
        return .paths(Set(functions).sorted())
    }

    private func stack(of parts: [String], _ name: String, _ depth: Int) -> Attachment {
        let entry = "sys/class/block/\(name)"
        let isArray = root.exists("\(entry)/md") || name.hasPrefix("md") && !root.exists("\(entry)/dm")
        guard isArray else { return .stacked(parts) }
        let level = root.attribute("\(entry)/md/level")
        if let level, !["raid0", "raid1", "raid10"].contains(level) { return .stacked(parts) }
        var functions: Set<PCIAddress> = []
        var isKnown = level != nil
        for part in parts {
            switch attachment(of: part, depth: depth + 1) {
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
