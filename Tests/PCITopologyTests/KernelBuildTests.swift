// SPDX-License-Identifier: Apache-2.0

import PeerMRCore
import TestSupport
import Testing

@testable import PCITopology

/// Whether the kernel was built with peer-to-peer DMA: what is believed, and what is not.
@Suite struct KernelBuildTests {
    private static let yes = "# a comment\nCONFIG_PCI_P2PDMA=y\nCONFIG_PCI_HYPERV=m\n"
    private static let no = "# a comment\n# CONFIG_PCI_P2PDMA is not set\n"

    /// Type information with the function, or without.
    private static func types(_ hasDecision: Bool) -> [UInt8] {
        var types = TestTypeInformation()
        types.function("pci_enable_device")
        types.function(hasDecision ? "pci_p2pdma_distance_many" : "dma_pci_p2pdma_supported")
        return types.file
    }

    /// A list of symbols with the function, or without, to its end or cut off.
    private static func symbols(_ hasDecision: Bool, isWhole: Bool = true) -> String {
        "0000000000000000 T _stext\n" + (hasDecision ? "0000000000000000 T pci_p2pdma_distance_many\n" : "")
            + "0000000000000000 T pci_p2pdma_distance_many_more\n" + (isWhole ? "0000000000000000 T _etext\n" : "")
    }

    private func build(
        _ release: String = "6.9.0", config: String? = nil, types: Bool? = nil, symbols: String? = nil,
        pool: Bool = false, in folder: String = "boot/config-"
    ) -> KernelBuild {
        var tree = CapturedTree()
        func put(_ path: String, _ bytes: [UInt8]) {
            _ = tree.insert(.file(bytes: bytes, claimedBytes: bytes.count), at: path)
        }
        put("proc/sys/kernel/osrelease", Array(release.utf8))
        if let config { put("\(folder)\(release)\(folder.hasPrefix("boot") ? "" : "/config")", Array(config.utf8)) }
        if let types { put("sys/kernel/btf/vmlinux", Self.types(types)) }
        if let symbols { put("proc/kallsyms", Array(symbols.utf8)) }
        let root = SystemRoot(tree)
        let build = KernelBuild(
            root: root, kernel: KernelIdentity(release: release), evidence: KernelEvidence(root: root),
            publishesMemory: { pool })
        // A capture tells the same, for the same reason.
        let captured = SystemRoot(Snapshot.capture(root))
        let again = KernelBuild(
            root: captured, kernel: KernelIdentity(release: release), evidence: KernelEvidence(root: captured),
            publishesMemory: { pool })
        #expect(again == build)
        return build
    }

    @Test(arguments: ["boot/config-", "lib/modules/", "usr/lib/modules/"])
    func theConfigurationTells(_ folder: String) {
        #expect(build(config: Self.yes, in: folder).hasPeerToPeer == true)
        #expect(build(config: Self.no, in: folder).hasPeerToPeer == false)
        #expect(build(config: Self.no, in: folder).source == "by its configuration")
        for text in ["", "CONFIG_PCI=y\n", "CONFIG_PCI_P2PDMA=y", "# CONFIG_PCI_P2PDMA is not set", Self.yes + Self.no,
            "XCONFIG_PCI_P2PDMA=y\n", "CONFIG_PCI_P2PDMA=n\n"]
        {
            #expect(build(config: text, in: folder).hasPeerToPeer == nil)
        }
    }

    @Test func oneSourceAloneProvesThatItIsThere() {
        #expect(build(types: true).hasPeerToPeer == true)
        #expect(build(symbols: Self.symbols(true)).hasPeerToPeer == true)
        #expect(build(symbols: Self.symbols(true, isWhole: false)).hasPeerToPeer == true)
        #expect(build(pool: true).hasPeerToPeer == true)
        #expect(build(config: Self.no, pool: true).hasPeerToPeer == true)
    }

    @Test func thatItIsMissingTakesTwo() {
        #expect(build(types: false).hasPeerToPeer == nil)
        #expect(build(symbols: Self.symbols(false)).hasPeerToPeer == nil)
        #expect(build(types: false, symbols: Self.symbols(false)).hasPeerToPeer == false)
        #expect(build(types: false, symbols: Self.symbols(false, isWhole: false)).hasPeerToPeer == nil)
        #expect(build(types: false, symbols: "").hasPeerToPeer == nil)
        #expect(build(types: false, symbols: Self.symbols(true)).hasPeerToPeer == true)
        #expect(build().hasPeerToPeer == nil)
    }

    @Test func whatContradictsTheRunningKernelIsNotBelieved() {
        #expect(build(config: Self.yes, types: true).hasPeerToPeer == true)
        #expect(build(config: Self.no, types: false).hasPeerToPeer == false)
        #expect(build(config: Self.no, types: true).hasPeerToPeer == nil)
        #expect(build(config: Self.yes, types: false).hasPeerToPeer == nil)
        #expect(build(config: Self.yes, types: false, symbols: Self.symbols(false)).hasPeerToPeer == nil)
        #expect(build(config: Self.yes, types: false, symbols: Self.symbols(true)).hasPeerToPeer == true)
    }

    @Test func itCameWith420() {
        for release in ["3.10.0", "3.10.0-1160.el7.x86_64", "4.19.0", "4.18.0-553.el8_10.x86_64", "4.15.0-213-generic"] {
            #expect(build(release).hasPeerToPeer == false, "\(release)")
            #expect(build(release, types: true).hasPeerToPeer == true, "what the kernel has is more than its number")
        }
        for release in ["4.20.0", "4.4.0", "4.19.0-gvisor", "nonsense", "5.10.0"] {
            #expect(build(release).hasPeerToPeer == nil, "\(release)")
        }
    }

    /// What a route says: yes and no are for those who know.
    @Test func aRouteWithoutThatKnowledge() throws {
        var machine = TestMachine(hasConfiguration: false)
        machine.bridge("0000:00:01.0", port: 4)
        for address in ["0000:01:00.0", "0000:01:00.1"] { machine.function(address, below: ["0000:00:01.0"]) }
        machine.bridge("0000:00:02.0", port: 4)
        machine.function("0000:02:00.0", below: ["0000:00:02.0"])
        let topology = Topology(root: machine.root)
        func route(_ a: String, _ b: String) throws -> Route {
            topology.route(from: try #require(PCIAddress(a)), to: try #require(PCIAddress(b)))
        }
        let near = try route("0000:01:00.0", "0000:01:00.1")
        #expect(near.verdict == Verdict(mapType: .busAddress, isSupported: nil, distance: 2))
        #expect(near.findings.map(\.code) == [.peerToPeerUnknown, .commonUpstream])
        #expect(near.findings.first?.isInconclusive == true && near.findings.first?.remedy != nil)
        let far = try route("0000:01:00.0", "0000:02:00.0")
        #expect(far.verdict.isSupported == false, "it is refused either way")
    }
}
