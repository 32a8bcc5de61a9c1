// SPDX-License-Identifier: Apache-2.0

internal import Synchronization
public import PeerMRCore

/// What the running kernel itself tells of its peer-to-peer code, whatever its version says: distributions carry newer
/// code under older numbers.
///
/// It comes from the kernel's type information (BTF), which is megabytes: some milliseconds. That of the running kernel
/// is read once in a process, since a kernel does not change while it runs.
public struct KernelEvidence: Hashable, Sendable {
    /// Whether the kernel has the function that decides about routes, which is there with CONFIG_PCI_P2PDMA alone.
    public let hasDecision: Bool
    /// The list of host bridges; nil where the kernel has none, or several things of that name.
    public let hostBridges: HostBridgeList.Layout?
    /// Whether the kernel has the other rule about ACS, which looks at the two ports alone where the paths part.
    ///
    /// It was under discussion when 7.3 was the newest, and is not built here: answers that depend on ACS are unknown.
    public let hasDirectionalACS: Bool

    /// Evidence given by its parts.
    public init(hasDecision: Bool, hostBridges: HostBridgeList.Layout?, hasDirectionalACS: Bool = false) {
        self.hasDecision = hasDecision
        self.hostBridges = hostBridges
        self.hasDirectionalACS = hasDirectionalACS
    }

    /// A function that is there with the option alone, and is no inline one without it.
    static let decision = "pci_p2pdma_distance_many"
    private static let listEntry = "pci_p2pdma_whitelist_entry"
    private static let directionalACS = "pci_p2pdma_acs_path"

    private static let ofTheRunningKernel = Mutex<KernelEvidence?>(nil)

    /// Reads a machine's; nil where its kernel has no type information that can be understood.
    public init?(root: SystemRoot) {
        guard root.isLive else {
            guard let found = Self(captured: root) ?? TypeInformation(root: root).map({ Self($0) }) else { return nil }
            self = found
            return
        }
        if let known = Self.ofTheRunningKernel.withLock({ $0 }) {
            self = known
            return
        }
        // What could not be read is not remembered: it may be readable later.
        guard let types = TypeInformation(root: root) else { return nil }
        self.init(types)
        let found = self
        Self.ofTheRunningKernel.withLock { $0 = found }
    }

    init(_ types: TypeInformation) {
        hasDecision = types.hasFunction(Self.decision)
        hasDirectionalACS = !types.structures(named: Self.directionalACS).isEmpty
        let sizes = Set(types.structures(named: Self.listEntry).map(\.byteCount))
        let counts = Set(types.arrayCounts(ofStructure: Self.listEntry))
        hostBridges =
            if sizes.count == 1, counts.count == 1, let size = sizes.first, let count = counts.first {
                HostBridgeList.Layout(entryBytes: size, count: count)
            } else { nil }
    }
}

// MARK: - Captures

extension KernelEvidence {
    /// What a capture keeps of the kernel's type information: lines of a name and what was found.
    static let captured = "peermr/kernel-types"

    /// What a capture says of a name; nil where this is no capture, or it says nothing.
    static func captured(_ name: String, _ root: SystemRoot) -> String? {
        guard let text = root.attribute(captured) else { return nil }
        let prefix = name + " "
        return text.split(separator: "\n").first { $0.hasPrefix(prefix) }.map { String($0.dropFirst(prefix.count)) }
    }

    private init?(captured root: SystemRoot) {
        guard let decision = Self.captured(Self.decision, root).flatMap({ Self.flag($0) }),
            let list = Self.captured(Self.listEntry, root),
            let directional = Self.captured(Self.directionalACS, root).flatMap({ Self.flag($0) })
        else { return nil }
        let numbers = list.split(separator: " ").compactMap { Int($0) }
        guard list == "-" || numbers.count == 2 else { return nil }
        self.init(
            hasDecision: decision,
            hostBridges: list == "-" ? nil : HostBridgeList.Layout(entryBytes: numbers[0], count: numbers[1]),
            hasDirectionalACS: directional)
    }

    private static func flag(_ text: String) -> Bool? { text == "yes" ? true : text == "no" ? false : nil }

    /// What a capture keeps of a machine's; empty where there is nothing to be kept.
    static func text(_ root: SystemRoot) -> String {
        var text = ""
        if let found = KernelEvidence(root: root) {
            let list = found.hostBridges.map { "\($0.entryBytes) \($0.count)" } ?? "-"
            text += "\(decision) \(found.hasDecision ? "yes" : "no")\n\(listEntry) \(list)\n"
            text += "\(directionalACS) \(found.hasDirectionalACS ? "yes" : "no")\n"
        }
        if let isChecked = checksOnDemandMappings(root: root) {
            text += "\(onDemandStructure) \(isChecked ? "map" : "dma_list")\n"
        }
        return text
    }
}
