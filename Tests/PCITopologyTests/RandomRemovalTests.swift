// SPDX-License-Identifier: Apache-2.0

import PeerMRCore
import TestSupport
import Testing

@testable import PCITopology

/// Trees from which files are removed, or parts of them: what is still said is what the whole tree says.
@Suite struct RandomRemovalTests {
    /// 10,000 trees, in parts that run side by side.
    @Test(arguments: 0..<8 as Range<UInt64>) func neverAWrongYesOrNo(_ part: UInt64) {
        var random = SeededGenerator(seed: 10_000 + part)
        var counts: [String: Int] = [:]
        var trees = 0
        while trees < 1250 {
            let model = KernelModel.random(&random, kernels: [(7, 3)], most: 8)
            guard !model.ends.isEmpty else { continue }
            let whole = RandomMachine(model, &random)
            let full = Topology(root: KernelModel.captured(whole.files))
            for _ in 0..<5 {
                trees += 1
                var files = whole.files
                let removed = (0...Int(random.next() % 4)).map { _ in whole.remove(from: &files, &random) }
                let topology = Topology(root: KernelModel.captured(files))
                for _ in 0..<3 {
                    guard let a = model.ends.randomElement(using: &random),
                        let b = model.ends.randomElement(using: &random)
                    else { continue }
                    let (provider, client) = (model.functions[a].address, model.functions[b].address)
                    // Without its link a function is not there, as on another machine.
                    guard topology.function(at: provider) != nil, topology.function(at: client) != nil else { continue }
                    let wanted = full.route(from: client, to: provider).verdict.isSupported
                    let found = topology.route(from: client, to: provider)
                    counts["\(word(wanted)) \(word(found.verdict.isSupported))", default: 0] += 1
                    let hasSource = found.verdict.isSupported != false || found.findings.contains(where: \.isBlocking)
                    let isKnownWhy =
                        found.verdict.isSupported != nil || found.findings.contains(where: \.isInconclusive)
                    if found.verdict.isSupported != nil && found.verdict.isSupported != wanted || !hasSource
                        || !isKnownWhy
                    {
                        Issue.record(
                            """
                            tree \(trees), without \(removed): \(client) to \(provider) \(found), \
                            not \(full.route(from: client, to: provider)), \(whole.summary)
                            """)
                        return
                    }
                }
            }
        }
        print("figure: \(trees) trees with losses: \(counts.sorted { $0.key < $1.key })")
        #expect(["yes yes", "no no", "yes unknown", "no unknown", "unknown unknown"].allSatisfy { counts[$0] ?? 0 > 50 })
        #expect(counts.keys.allSatisfy { !["unknown yes", "unknown no", "yes no", "no yes"].contains($0) })
    }

    private func word(_ isSupported: Bool?) -> String { isSupported.map { $0 ? "yes" : "no" } ?? "unknown" }
}

/// A machine with what tells of its kernel, drawn at random; nothing in it contradicts anything else.
private struct RandomMachine {
    var files: [String: CapturedTree.Content]
    let summary: String
    /// What is never taken away: the order of devices where one was plugged in late, which nothing else tells.
    private let kept: Set<String>

    /// Kernels, with the layouts that their type information may show; nil for those that have none.
    private static let kernels: [(release: String, layouts: [HostBridgeList.Layout?])] = [
        ("7.3.4", [.init(entryBytes: 12, count: 26)]), ("7.3.4+deb13-amd64", [.init(entryBytes: 12, count: 26)]),
        ("7.2.13", [.init(entryBytes: 12, count: 22)]), ("7.1.3", [.init(entryBytes: 12, count: 22)]),
        ("7.1.1", [.init(entryBytes: 12, count: 12)]), ("7.0.13", [.init(entryBytes: 8, count: 11)]),
        ("6.12.117+deb13-amd64", [.init(entryBytes: 8, count: 11)]), ("6.1.0-18-amd64", [.init(entryBytes: 8, count: 11)]),
        ("6.12.0-237.el10.x86_64", [.init(entryBytes: 8, count: 21), .init(entryBytes: 8, count: 11)]),
        ("6.8.0-1030-azure", [.init(entryBytes: 8, count: 11), .init(entryBytes: 12, count: 26)]),
        ("5.14.0-70.el9_0.x86_64", [.init(entryBytes: 8, count: 10)]),
        ("5.14.0-503.el9_5.x86_64", [.init(entryBytes: 8, count: 11)]),
        ("7.4.2", [.init(entryBytes: 12, count: 26), .init(entryBytes: 12, count: 34)]),
        ("7.4.0-1001-azure", [.init(entryBytes: 12, count: 34)]),
        ("5.10.0", [.init(entryBytes: 8, count: 10)]), ("5.4.0-150-generic", [.init(entryBytes: 8, count: 6)]),
        ("5.3.0", [nil]), ("4.19.0", [nil]), ("3.10.0-1160.el7.x86_64", [nil]),
    ]

    init(_ model: KernelModel, _ random: inout SeededGenerator) {
        var files = model.files()
        func chance(_ one: UInt64) -> Bool { random.next() % one == 0 }
        func text(_ path: String, _ text: String) { files[path] = .text(text + "\n") }
        let (release, layouts) = Self.kernels.randomElement(using: &random) ?? Self.kernels[0]
        files = files.filter { !$0.key.hasPrefix("boot/") }
        text("proc/sys/kernel/osrelease", release)
        // A whole copy has its command line.
        text("sys/kernel/uevent_seqnum", "1")
        let isOld = release.hasPrefix("4") || release.hasPrefix("3")
        let isBuilt = !isOld && !chance(5)
        if !chance(3) { text("boot/config-\(release)", isBuilt ? "CONFIG_PCI_P2PDMA=y" : "# CONFIG_PCI_P2PDMA is not set") }
        if !chance(3) {
            files["proc/kallsyms"] = .text(
                "0 T _stext\n" + (isBuilt ? "0 T pci_p2pdma_distance_many\n" : "") + "0 T _etext\n0 D _edata\n")
        }
        let layout = layouts.randomElement(using: &random) ?? nil
        // Another rule about ACS is in no kernel that is older than those that were read.
        let isDirectional = release.hasPrefix("7.4") && chance(2)
        if !chance(4) {
            files["sys/kernel/btf/vmlinux"] = .file(
                bytes: Self.types(isBuilt && (files["proc/kallsyms"] == nil || !chance(4)), isBuilt ? layout : nil,
                    isDirectional && isBuilt), claimedBytes: 1 << 20)
        }
        let commandLine = ["ro quiet", "ro swiotlb=force", "mem_encrypt=on"][chance(3) ? Int(random.next() % 3) : 0]
        text("proc/cmdline", commandLine)
        let flags = chance(4) ? "hypervisor" + (["", " sev_snp", " sev", " tdx_guest"].randomElement(using: &random) ?? "") : ""
        files["proc/cpuinfo"] = .text(
            "processor\t: 0\nvendor_id\t: \(model.cpuVendor)\ncpu family\t: \(model.cpuFamily)\n"
                + "flags\t\t: fpu sev sev_es sev_snp \(flags)\nbugs\t\t:\n\n")
        if chance(2) { text("sys/class/dmi/id/sys_vendor", ["QEMU", "VMware, Inc."][Int(random.next() % 2)]) }
        if chance(10) {
            for (name, value) in ["type": "xen", "guest_type": ["PV", "HVM"][Int(random.next() % 2)], "uuid": "-"] {
                text("sys/hypervisor/\(name)", value)
            }
        }
        Self.addDevices(to: &files, model, isBuilt, &random)
        self.files = files
        let isInOrder = model.hosts.allSatisfy { host in
            let addresses = host.devices.map { model.functions[$0].address }
            return addresses == addresses.sorted()
        }
        kept = isInOrder ? [] : ["proc/bus/pci/devices"]
        summary = "\(release), built \(isBuilt), \(String(describing: layout)), \(commandLine), \(flags)"
    }

    private static func addDevices(
        to files: inout [String: CapturedTree.Content], _ model: KernelModel, _ isBuilt: Bool,
        _ random: inout SeededGenerator
    ) {
        let hasGroups = random.next() % 2 == 0
        if hasGroups { for group in 90..<99 { files["sys/kernel/iommu_groups/\(group)/type"] = .text("DMA\n") } }
        for (number, function) in model.functions.enumerated() {
            guard case .link(let target)? = files["sys/bus/pci/devices/\(function.address)"] else { continue }
            let folder = "sys/" + target.dropFirst("../../../".count)
            if !function.isBridge { files["\(folder)/driver"] = .link("../bus/pci/drivers/\(["nvme", "mlx5_core"][number % 2])") }
            if hasGroups {
                files["\(folder)/iommu_group"] = .link("../../kernel/iommu_groups/\(number)")
                files["sys/kernel/iommu_groups/\(number)/type"] = .text(number % 3 == 0 ? "identity\n" : "DMA-FQ\n")
            }
            if isBuilt, !function.isBridge, random.next() % 8 == 0 {
                files["\(folder)/p2pmem/size"] = .text("65536\n")
                files["\(folder)/p2pmem/allocate"] = .text("")
            }
        }
    }

    /// What says that the copy is a whole one, of which one is left.
    private static let signs = [
        "proc/cmdline", "proc/kallsyms", "sys/class/dmi/id/sys_vendor", "sys/kernel/btf/vmlinux",
        "sys/kernel/uevent_seqnum",
    ]

    private static func types(_ hasDecision: Bool, _ layout: HostBridgeList.Layout?, _ isDirectional: Bool) -> [UInt8] {
        var types = TestTypeInformation()
        types.function("pci_enable_device")
        if hasDecision { types.function("pci_p2pdma_distance_many") }
        if let layout {
            let row = types.structure("pci_p2pdma_whitelist_entry", size: UInt32(layout.entryBytes), ["vendor", "device"])
            types.table(of: row, count: UInt32(layout.count))
        }
        if isDirectional { types.structure("pci_p2pdma_acs_path", size: 16, ["client"]) }
        return types.file
    }

    /// Takes a file away, empties it, or cuts it off; what stays is a tree of which less was read.
    func remove(from files: inout [String: CapturedTree.Content], _ random: inout SeededGenerator) -> String {
        let signs = Self.signs.filter { files[$0] != nil }
        let all = files.keys.filter { !kept.contains($0) && [$0] != signs }.sorted()
        let ofTheKernel = all.filter { !$0.hasPrefix("sys/devices/") && !$0.hasPrefix("sys/bus/") }
        guard let path = (random.next() % 2 == 0 ? all : ofTheKernel).randomElement(using: &random) else { return "" }
        switch (files[path], random.next() % 5) {
        case (.file(let bytes, let claimed), 0...1) where path != "sys/class/dmi/id/sys_vendor":
            let kept = Int(random.next() % UInt64(bytes.count + 1))
            // 256 bytes are a whole configuration space of a function without an extended one.
            let cut = Array(bytes.prefix(path.hasSuffix("/config") && kept == 256 ? 255 : kept))
            files[path] = .file(bytes: cut, claimedBytes: path.hasSuffix("/config") ? cut.count : claimed)
            return "\(path) behind \(cut.count)"
        case (.file(_, let claimed), 2): files[path] = .file(bytes: [], claimedBytes: claimed)
        default: files[path] = nil
        }
        return path
    }
}
