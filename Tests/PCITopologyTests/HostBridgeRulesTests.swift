// SPDX-License-Identifier: Apache-2.0

import PCITopology
import PeerMRCore
import Testing

/// What the kernel itself and its version tell of the list of host bridges, and of the rules around it.
@Suite struct HostBridgeRulesTests {
    /// Two root ports on one bus, each with a drive, and what is first on the bus.
    private func tree(
        first: UInt32, at address: String = "00:00.0", port: PortType? = .endpoint, class code: UInt32 = 0x060000
    ) -> RouteTree {
        var tree = RouteTree()
        tree.add(address, identity: first, class: code, port: port)
        for (port, drive) in [("00:1c.0", "01:00.0"), ("00:1d.0", "02:00.0")] {
            tree.bridge(port)
            tree.add(drive, below: port)
        }
        return tree
    }

    private func answer(_ tree: RouteTree) -> String {
        switch tree.answer("01:00.0", "02:00.0") {
        case "throughHostBridge 4": "yes"
        case "notSupported 4": "no"
        case "unknown? 4": "unknown"
        case let other: other
        }
    }

    /// Without type information the version tells: of a plain kernel and Debian's what it has and what it has not, of
    /// others what it has.
    @Test(arguments: [
        // Accelerators: 7.2, and 7.1.3.
        (0x8086_0b25, "6.1.0", "no"), (0x8086_0b25, "6.12.117", "no"), (0x8086_0b25, "6.12.118", "unknown"),
        (0x8086_0b25, "6.13.0", "no"), (0x8086_0b25, "6.18.2", "unknown"), (0x8086_0b25, "6.1.0-18-amd64", "unknown"),
        (0x8086_0b25, "6.12.117+deb13-amd64", "no"), (0x8086_0b25, "7.0.13", "no"), (0x8086_0b25, "7.1.0", "no"),
        (0x8086_0b25, "7.1.2", "no"), (0x8086_0b25, "7.1.3", "yes"), (0x8086_0b25, "7.1.3+deb14-amd64", "yes"),
        (0x8086_0b25, "7.2.0-rc1", "unknown"), (0x8086_0b25, "7.2.0", "yes"), (0x8086_4948, "7.3.4", "yes"),
        (0x8086_4948, "8.0.0", "yes"), (0x8086_0b25, "6.12.0-237.el10.x86_64", "unknown"),
        (0x8086_0b25, "6.17.0-20-generic", "unknown"), (0x8086_0b25, "7.3.4-custom", "yes"),
        (0x8086_0b25, "7.2.6-1010-azure", "yes"), (0x8086_0b25, "7.1.3-1-cloud-amd64", "unknown"),
        // Google: 7.1.
        (0x1ae0_1234, "7.0.13", "no"), (0x1ae0_1234, "7.1.0", "yes"), (0x1ae0_ffff, "7.2.0", "yes"),
        (0x1ae0_1234, "6.8.0-1030-gcp", "unknown"),
        // Vera Rubin: 7.3.
        (0x10de_2f95, "7.2.13", "no"), (0x10de_2f95, "7.2.14", "unknown"), (0x10de_2f98, "7.3.0", "yes"),
        (0x10de_2f95, "6.8.0-1021-nvidia-64k", "unknown"),
        // 5.18, and el9 from 9.1 on.
        (0x8086_09a2, "5.15.0", "no"), (0x8086_09a2, "5.15.150", "unknown"), (0x8086_09a2, "5.17.0", "no"),
        (0x8086_09a2, "5.18.0", "yes"), (0x8086_09a2, "5.15.0-119-generic", "unknown"),
        (0x8086_09a2, "5.14.0-70.el9_0.x86_64", "no"), (0x8086_09a2, "5.14.0-162.6.1.el9_1.x86_64", "yes"),
        (0x8086_09a2, "5.14.0-503.el9.x86_64", "yes"), (0x8086_09a2, "5.15.0-3.60.5.el9uek.x86_64", "unknown"),
        (0x8086_2030, "5.5.0", "no"), (0x8086_2030, "5.6.0", "yes"), (0x8086_2031, "5.6.0", "no"),
        (0x8086_2030, "5.3.0", "no"), (0x8086_2030, "4.20.0", "no"), (0x8086_2030, "6.1.0", "yes"),
        // Queued for 7.4.
        (0x1d17_1008, "7.3.4", "no"), (0x1d17_1008, "7.3.9", "unknown"), (0x1d17_1008, "7.4.0", "unknown"),
        (0x1ded_8000, "6.6.0-an8", "unknown"),
        // On no list that was read.
        (0x8086_29c0, "7.3.4", "no"), (0x8086_29c0, "6.17.0-20-generic", "no"), (0x8086_29c0, "7.4.0", "unknown"),
        (0x8086_29c0, "7.4.0-1001-azure", "unknown"), (0x8086_29c0, "5.10.0", "no"), (0x8086_29c0, "5.3.0", "no"),
    ] as [(UInt32, String, String)])
    func versions(_ identity: UInt32, _ kernel: String, _ wanted: String) {
        var tree = tree(first: identity)
        tree.kernel = KernelIdentity(release: kernel)
        #expect(answer(tree) == wanted)
    }

    /// With type information the version does not matter.
    @Test(arguments: ["6.12.0-237.el10.x86_64", "7.4.0-1001-azure", "6.1.0", nil])
    func typeInformation(_ kernel: String?) {
        func listed(_ identity: UInt32, _ entryBytes: Int, _ count: Int) -> String {
            var tree = tree(first: identity)
            tree.kernel = kernel.flatMap { KernelIdentity(release: $0) }
            tree.evidence = KernelEvidence(hasDecision: true, hostBridges: .init(entryBytes: entryBytes, count: count))
            return answer(tree)
        }
        #expect(listed(0x8086_09a2, 8, 10) == "no" && listed(0x8086_2030, 8, 10) == "yes")
        #expect(listed(0x8086_0b25, 8, 21) == "yes" && listed(0x1ae0_0001, 8, 21) == "no")
        #expect(listed(0x8086_0b25, 12, 12) == "no" && listed(0x1ae0_0001, 12, 12) == "yes")
        #expect(listed(0x10de_2f95, 12, 22) == "no" && listed(0x8086_4948, 12, 22) == "yes")
        #expect(listed(0x10de_2f95, 12, 26) == "yes" && listed(0x1d17_1008, 12, 26) == "no")
        #expect(listed(0x8086_29c0, 12, 26) == "no", "all rows are known, whatever the version")
        // More than was seen: the rows of the version are there, others may be.
        #expect(listed(0x8086_29c0, 12, 27) == "unknown" && listed(0x1d17_1008, 12, 34) == "unknown")
        #expect(listed(0x8086_2030, 12, 27) == (kernel == nil ? "unknown" : "yes"))
        // In 5.7 as many rows were others.
        #expect(listed(0x8086_09a2, 8, 11) == (kernel == nil ? "unknown" : "yes"))
        #expect(listed(0x8086_0b25, 8, 11) == (kernel == nil ? "unknown" : "no"))
    }

    @Test func layoutsOfOldKernelsAreNotThoseOfNewerOnes() {
        var tree = tree(first: 0x8086_09a2)
        tree.kernel = KernelIdentity(release: "5.7.0")
        tree.evidence = KernelEvidence(hasDecision: true, hostBridges: .init(entryBytes: 8, count: 11))
        #expect(answer(tree) == "no")
        let counts = HostBridgeList.layouts.map { "\($0.layout.entryBytes) \($0.layout.count)" }
        #expect(counts == ["8 10", "8 11", "8 21", "12 12", "12 22", "12 26"])
    }

    @Test func aKernelThatIsNotKnown() {
        var tree = tree(first: 0x8086_2030)
        // A program that names some version is no kernel of that version.
        for kernel in [nil, "4.4.0", "4.19.0-gvisor"] {
            tree.kernel = kernel.flatMap { KernelIdentity(release: $0) }
            for cpu in [CPU.skylake, .zen] {
                tree.cpu = cpu
                #expect(answer(tree) == "unknown")
            }
        }
        #expect(tree.answer("01:00.0", "01:00.0") == "busAddress 0")
    }

    // MARK: Which device the bridge is known by

    /// Root ports count since 5.19, and in el9 with 9.2. Before 5.14 it was the device at 00.0.
    @Test(arguments: [
        ("7.3.4", "yes"), ("5.19.0", "yes"), ("5.18.0", "no"), ("5.15.150", "no"), ("5.15.0-119-generic", "unknown"),
        ("5.14.0-162.6.1.el9_1.x86_64", "no"), ("5.14.0-284.11.1.el9_2.x86_64", "yes"), ("5.13.0", "no"),
        ("5.4.0-150-generic", "unknown"), (nil, "unknown"),
    ] as [(String?, String)])
    func aRootPortElsewhere(_ kernel: String?, _ wanted: String) {
        var tree = tree(first: 0x8086_2030, at: "00:02.0", port: .rootPort, class: 0x060400)
        tree.kernel = kernel.flatMap { KernelIdentity(release: $0) }
        #expect(answer(tree) == wanted)
    }

    /// A device that was plugged in before the one at 00.0.
    @Test func theDeviceAtNumberZeroOfOldKernels() throws {
        var tree = tree(first: 0x8086_2030)
        tree.add("00:05.0")
        tree.firstDevices = [try #require(RootBus(component: "pci0000:00")): try #require(PCIAddress("00:05.0"))]
        #expect(answer(tree) == "no")
        tree.kernel = KernelIdentity(release: "5.13.0")
        #expect(answer(tree) == "yes")
        tree.kernel = KernelIdentity(release: "5.4.0-150-generic")
        #expect(answer(tree) == "unknown")
    }

    // MARK: Processors and guests

    /// The rule came with 5.9; before, Zen's host bridges were on the list.
    @Test(arguments: [
        ("5.9.0", "yes"), ("5.8.0", "no"), ("5.4.0-150-generic", "unknown"), ("4.18.0-553.el8_10.x86_64", "unknown"),
        ("5.14.0-70.el9_0.x86_64", "yes"), ("5.3.0", "no"), ("8.0.0", "yes"),
    ])
    func processorsOfOldKernels(_ kernel: String, _ wanted: String) {
        var tree = tree(first: 0x8086_29c0)
        tree.cpu = .zen
        tree.kernel = KernelIdentity(release: kernel)
        #expect(answer(tree) == wanted)
    }

    @Test(arguments: [("5.8.0", "yes"), ("5.4.0", "yes"), ("5.3.0", "unknown"), ("4.20.0", "no")])
    func theHostBridgeOfTheFirstZen(_ kernel: String, _ wanted: String) {
        var tree = tree(first: 0x1022_1450)
        tree.cpu = .zen
        tree.kernel = KernelIdentity(release: kernel)
        #expect(answer(tree) == wanted)
    }

    /// A rule for guests of two hypervisors is queued for 7.4.
    @Test(arguments: [
        ("7.4.0", .vmware, "unknown"), ("7.4.0", .hyperV, "unknown"), ("7.4.0", .unknown, "unknown"),
        ("7.4.0", .other, "no"), ("7.4.0", .none, "no"), ("7.3.4", .hyperV, "no"),
    ] as [(String, PlatformDMA.Hypervisor, String)])
    func guestsOfNewerKernels(_ kernel: String, _ hypervisor: PlatformDMA.Hypervisor, _ wanted: String) {
        var tree = tree(first: 0x8086_29c0)
        tree.kernel = KernelIdentity(release: kernel)
        tree.evidence = KernelEvidence(hasDecision: true, hostBridges: .init(entryBytes: 12, count: 26))
        tree.platform.hypervisor = hypervisor
        #expect(answer(tree) == wanted)
    }

    // MARK: The other rule about ACS

    @Test func theOtherRuleMakesWhatDependsOnACSUnknown() {
        var tree = tree(first: 0x8086_2030)
        tree.switch("03:00.0", below: "00:1c.0", bus: "04", downstream: [.absent, .isolating])
        tree.add("05:00.0", below: "04:00.0")
        tree.add("05:00.1", below: "04:00.0")
        tree.add("06:00.0", below: "04:01.0")
        tree.evidence = KernelEvidence(hasDecision: true, hostBridges: .init(entryBytes: 12, count: 26))
        #expect(tree.answer("05:00.0", "06:00.0") == "throughHostBridge 4")
        tree.evidence = KernelEvidence(
            hasDecision: true, hostBridges: .init(entryBytes: 12, count: 26), hasDirectionalACS: true)
        #expect(tree.answer("05:00.0", "06:00.0") == "unknown? 4")
        #expect(tree.route("05:00.0", "06:00.0").findings.contains { $0.code == .otherACSRule && $0.isInconclusive })
        #expect(tree.answer("05:00.0", "05:00.1") == "busAddress 2", "there is no ACS on this way")
        #expect(answer(tree) == "yes", "nothing is asked about ACS where they meet nowhere")
    }
}
