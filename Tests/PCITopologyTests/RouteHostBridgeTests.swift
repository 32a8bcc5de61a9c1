// SPDX-License-Identifier: Apache-2.0

import PCITopology
import PeerMRCore
import Testing

/// The kernel's list of host bridges, and its rule for processors.
@Suite struct RouteHostBridgeTests {
    /// Two root ports on one bus, two on another; `first` is the first device of the one, `second` of the other.
    private func tree(
        first: UInt32, at address: String = "00:00.0", port: PortType? = .endpoint,
        class code: UInt32? = 0x060000, second: UInt32 = 0x8086_29c0
    ) -> RouteTree {
        var tree = RouteTree()
        tree.add(address, identity: first, class: code, port: port)
        for (port, drive) in [("00:1c.0", "01:00.0"), ("00:1d.0", "02:00.0")] {
            tree.bridge(port)
            tree.add(drive, below: port)
        }
        tree.add("80:00.0", on: "pci0000:80", identity: second, class: 0x060000)
        tree.bridge("80:01.0", on: "pci0000:80")
        tree.add("81:00.0", below: "80:01.0")
        return tree
    }

    /// Within the first bridge, and from it to the second.
    private func answers(_ tree: RouteTree) -> [String] {
        [tree.answer("01:00.0", "02:00.0"), tree.answer("01:00.0", "81:00.0"), tree.answer("81:00.0", "01:00.0")]
    }

    private let both = ["throughHostBridge 4", "throughHostBridge 4", "throughHostBridge 4"]
    private let within = ["throughHostBridge 4", "notSupported 4", "notSupported 4"]
    private let none = ["notSupported 4", "notSupported 4", "notSupported 4"]
    private let unknown = ["unknown? 4", "unknown? 4", "unknown? 4"]

    @Test(arguments: [0x2030, 0x2031, 0x2032, 0x2033, 0x2020, 0x09a2] as [UInt32])
    func servers(_ device: UInt32) {
        let identity = 0x8086_0000 | device
        #expect(answers(tree(first: identity, second: 0x8086_2020)) == both)
        #expect(answers(tree(first: identity)) == within)
    }

    /// Older ones are allowed under one bridge, and not from one to another, even of the same kind.
    @Test(arguments: [0x3c00, 0x3c01, 0x2f00, 0x2f01] as [UInt32])
    func sameBridgeOnly(_ device: UInt32) {
        let identity = 0x8086_0000 | device
        #expect(answers(tree(first: identity, second: identity)) == within)
        #expect(answers(tree(first: identity, second: 0x8086_2020)) == within)
    }

    @Test(arguments: [
        0x8086_29c0, 0x8086_2034, 0x1022_2030, 0x8086_3c02, 0x1ae1_0000, 0x10de_2f94, 0xffff_ffff,
    ] as [UInt32])
    func notListed(_ identity: UInt32) {
        #expect(answers(tree(first: identity, second: 0x8086_2020)) == none)
    }

    // MARK: Which device the bridge is known by

    @Test(arguments: [.endpoint, .rootPort, nil] as [PortType?])
    func anythingAtNumberZero(_ port: PortType?) {
        let tree = tree(first: 0x8086_2020, port: port, class: 0x020000, second: 0x8086_2020)
        #expect(answers(tree) == both)
    }

    @Test func aRootPortElsewhere() {
        let tree = tree(
            first: 0x8086_2030, at: "00:02.0", port: .rootPort, class: 0x060400, second: 0x8086_2020)
        #expect(answers(tree) == both)
    }

    @Test(arguments: ["00:02.0", "00:00.1"])
    func anythingElseElsewhere(_ address: String) {
        for port in [.endpoint, .upstream, .downstream] as [PortType] {
            let tree = tree(
                first: 0x8086_2030, at: address, port: port, class: 0x060400, second: 0x8086_2020)
            #expect(answers(tree) == none)
        }
    }

    /// Without privilege, and without a service below it, a bridge may be a root port or not.
    @Test func whatMayBeARootPort() {
        #expect(
            answers(tree(first: 0x8086_2030, at: "00:02.0", port: nil, class: 0x060400, second: 0x8086_2020))
                == unknown)
        #expect(
            answers(tree(first: 0x8086_2030, at: "00:02.0", port: nil, class: nil, second: 0x8086_2020))
                == unknown)
        #expect(
            answers(tree(first: 0x8086_29c0, at: "00:02.0", port: nil, class: 0x060400, second: 0x8086_2020))
                == none, "it is not on the list, whatever it is")
        #expect(
            answers(tree(first: 0x8086_2030, at: "00:02.0", port: nil, class: 0x020000, second: 0x8086_2020))
                == none, "it is no bridge")
    }

    /// The first device is the one that was found first: a function that was plugged in later stands behind the others.
    @Test func theOrderOfThingsDecides() throws {
        var tree = tree(first: 0x8086_2020, second: 0x8086_2020)
        let bus = try #require(RootBus(component: "pci0000:00"))
        tree.firstDevices = [bus: try #require(PCIAddress("00:1c.0"))]
        tree.firstDevices?[try #require(RootBus(component: "pci0000:80"))] = PCIAddress("80:00.0")
        #expect(answers(tree) == none, "a root port that is not listed comes first")
    }

    @Test func aFirstDeviceThatIsNotShown() throws {
        var tree = tree(first: 0x8086_2020, second: 0x8086_2020)
        tree.functions.removeAll { $0.address == PCIAddress("00:00.0") }
        tree.firstDevices = [
            try #require(RootBus(component: "pci0000:00")): try #require(PCIAddress("00:00.0")),
            try #require(RootBus(component: "pci0000:80")): try #require(PCIAddress("80:00.0")),
        ]
        #expect(answers(tree) == unknown)
    }

    // MARK: Processors

    @Test(arguments: [
        ("AuthenticAMD", 0x17, true), ("AuthenticAMD", 0x19, true), ("AuthenticAMD", 0x1a, true),
        ("AuthenticAMD", 0x16, false), ("AuthenticAMD", 0x15, false), ("AuthenticAMD", 6, false),
        ("HygonGenuine", 0x18, false), ("GenuineIntel", 0x17, false), ("GenuineIntel", 6, false),
        ("CentaurHauls", 0x17, false), ("authenticamd", 0x17, false), (nil, nil, false), (nil, 0x17, false),
    ] as [(String?, Int?, Bool)])
    func processors(_ vendor: String?, _ family: Int?, _ isAllowed: Bool) {
        var tree = tree(first: 0x8086_29c0)
        tree.cpu = CPU(vendor: vendor, family: family)
        #expect(answers(tree) == (isAllowed ? both : none))
    }

    @Test func aProcessorThatIsNotKnown() {
        var tree = tree(first: 0x8086_29c0)
        tree.cpu = nil
        #expect(answers(tree) == unknown)
        tree = self.tree(first: 0x8086_2020, second: 0x8086_2020)
        tree.cpu = nil
        #expect(answers(tree) == both, "the bridge is on the list, whatever the processor is")
        tree = self.tree(first: 0x8086_0b25)
        tree.cpu = .zen
        tree.kernel = KernelIdentity(release: "6.15.0")
        #expect(answers(tree) == both, "the processor is allowed, whatever the bridge is")
    }
}
