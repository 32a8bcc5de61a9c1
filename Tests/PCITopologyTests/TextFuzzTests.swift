// SPDX-License-Identifier: Apache-2.0

import PeerMRCore
import TestSupport
import Testing

@testable import PCITopology

/// Texts and bytes that come from sysfs, procfs and command lines: nearly right, and anything else. No input may crash
/// a reader, and what a reader takes is what it writes.
@Suite struct TextFuzzTests {
    private static let rounds = 100_000 * Fuzz.factor

    /// Nearly one of the texts, as text.
    private static func damaged(_ texts: [String], _ random: inout SeededGenerator) -> String {
        let valid = Array((texts.randomElement(using: &random) ?? "").utf8)
        return String(decoding: random.next() % 8 == 0 ? random.bytes(upTo: 40) : random.mutated(valid), as: UTF8.self)
    }

    @Test func addresses() {
        var random = SeededGenerator(seed: 60)
        let texts = ["0000:03:00.0", "ffff:ff:1f.7", "10000:e1:00.0", "03:00.0", "pci0000:00", "pci10000:e0", "\u{0}"]
        for _ in Fuzz.inputs(Self.rounds, "PCI addresses and root buses") {
            let text = Self.damaged(texts, &random)
            if let address = PCIAddress(text) {
                guard PCIAddress("\(address)") == address else { Issue.record("\(text.debugDescription)"); return }
            }
            if let bus = RootBus(component: text) {
                guard RootBus(component: "pci\(bus)") == bus else { Issue.record("\(text.debugDescription)"); return }
            }
        }
    }

    @Test func sizes() {
        var random = SeededGenerator(seed: 61)
        let texts = ["4096", "64K", "2M", "1G", "18446744073709551615", "16777215T", "0x10", "1.5G", "-1"]
        for _ in Fuzz.inputs(Self.rounds, "sizes") {
            let text = Self.damaged(texts, &random)
            guard let count = ByteCount.parse(text) else { continue }
            guard ByteCount.parse("\(count)") == count, !ByteCount.describe(count).isEmpty else {
                Issue.record("\(text.debugDescription)")
                return
            }
        }
    }

    @Test func kernels() {
        var random = SeededGenerator(seed: 62)
        let texts = [
            "6.12.48+deb13-amd64", "5.14.0-503.11.1.el9_5.x86_64", "6.8.0-45-generic", "7.3.4", "4.18.0-553.el8",
            "99999999999999999999.1", "6.6.0-rc1", "6.1.0-13-cloud-arm64",
        ]
        for _ in Fuzz.inputs(Self.rounds, "kernel releases") {
            let text = Self.damaged(texts, &random)
            _ = RedHatKernel(release: text)
            _ = KernelIdentity(release: text)
            if let release = KernelRelease(release: text) {
                guard KernelRelease(release: "\(release)") == release else {
                    Issue.record("\(text.debugDescription)")
                    return
                }
            }
        }
    }

    @Test func commandLines() {
        var random = SeededGenerator(seed: 63)
        let texts = [
            "ro quiet pci=disable_acs_redir=0000:00:01.0;0000:00:02.0 iommu=pt", "\"pci=config_acs=xx0x@1:2.0\"",
            "pci=noats,config_acs=1@pci:8086:1234 swiotlb=force mem_encrypt=on", "pci==,=;=@ \" pci=\"", "\n\n  ",
        ]
        for _ in Fuzz.inputs(Self.rounds, "kernel command lines") {
            for (name, _) in ACSParameter.options(in: Self.damaged(texts, &random)) {
                guard ACSParameter.options.contains(name) else { Issue.record("\(name)"); return }
            }
        }
    }

    @Test func processors() {
        var random = SeededGenerator(seed: 64)
        let texts = [
            "processor\t: 0\nvendor_id\t: GenuineIntel\ncpu family\t: 6\nmodel\t\t: 143\nflags\t\t: fpu hypervisor\n\n",
            "processor\t: 0\nvendor_id\t: AuthenticAMD\ncpu family\t: 25\nmodel\t\t: 17\n\n",
            "processor\t: 0\nCPU implementer\t: 0x41\nCPU architecture: 8\n\n", ":::\n\t:\n",
        ]
        for _ in Fuzz.inputs(Self.rounds / 10, "processors") {
            var tree = CapturedTree()
            let text = Self.damaged(texts, &random)
            _ = tree.insert(.file(bytes: Array(text.utf8), claimedBytes: 0), at: "proc/cpuinfo")
            let root = SystemRoot(tree)
            _ = PlatformDMA(root: root, cpu: CPU(root: root))
        }
    }

    @Test func configurationSpaces() {
        var random = SeededGenerator(seed: 65)
        var machine = TestMachine()
        machine.bridge("0000:00:01.0", port: 4, acs: 0x1d)
        let whole = machine.root.contents("sys/bus/pci/devices/0000:00:01.0/config", limit: 4096) ?? []
        #expect(whole.count == 4096)
        for _ in Fuzz.inputs(Self.rounds, "configuration spaces") {
            var bytes = whole
            // Where capabilities begin, and their lists go on.
            for _ in 0...Int.random(in: 0...4, using: &random) {
                let places = [0x06, 0x0e, 0x34, 0x40, 0x41, 0x50, 0x51, 0x52, 0x100, 0x103, 0x150, 0x152, 0x153, 0x160]
                bytes[places.randomElement(using: &random) ?? 0] = UInt8(truncatingIfNeeded: random.next())
            }
            if random.next() % 4 == 0 { bytes.removeLast(Int.random(in: 0...4096, using: &random)) }
            let claimed: Int? = [nil, 0, 64, 256, 4096, .max].randomElement(using: &random) ?? nil
            let space = ConfigurationSpace(bytes: bytes, claimedBytes: claimed)
            let sparse = ConfigurationSpace(
                reading: { offset, count in Array(bytes.dropFirst(max(0, offset)).prefix(max(0, count))) },
                claimedBytes: claimed)
            guard space.accessControl == sparse.accessControl, space.portType == sparse.portType else {
                Issue.record("\(bytes.count) bytes of \(claimed.debugDescription): \(space.accessControl)")
                return
            }
        }
    }

    @Test func shownTexts() {
        var random = SeededGenerator(seed: 66)
        for _ in Fuzz.inputs(Self.rounds, "texts to be shown") {
            let text = String(decoding: random.bytes(upTo: 24), as: UTF8.self)
            let shown = text.printable
            guard shown.unicodeScalars.allSatisfy(\.isPrintable), shown.printable == shown,
                shown.unicodeScalars.count == text.unicodeScalars.count, text.quoted.utf8.count >= 2
            else {
                Issue.record("\(text.debugDescription)")
                return
            }
        }
    }
}
