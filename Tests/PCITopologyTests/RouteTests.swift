// SPDX-License-Identifier: Apache-2.0

import PCITopology
import PeerMRCore
import Testing

/// The kernel's decision over trees that are put together by hand.
@Suite struct RouteTests {
    /// Two drives below one switch, one below a root port, two functions of one device on the root bus.
    private var tree: RouteTree {
        var tree = RouteTree()
        tree.add("00:00.0", identity: 0x8086_29c0, class: 0x060000)
        tree.bridge("00:02.0")
        tree.switch("01:00.0", below: "00:02.0", bus: "02")
        tree.add("03:00.0", below: "02:00.0")
        tree.add("04:00.0", below: "02:01.0")
        tree.bridge("00:03.0")
        tree.add("05:00.0", below: "00:03.0")
        tree.add("05:00.1", below: "00:03.0")
        tree.add("00:08.0")
        tree.add("00:08.1")
        return tree
    }

    @Test(arguments: [
        ("03:00.0", "03:00.0", "busAddress 0"), ("03:00.0", "04:00.0", "busAddress 4"),
        ("04:00.0", "03:00.0", "busAddress 4"), ("05:00.0", "05:00.1", "busAddress 2"),
        ("03:00.0", "05:00.0", "notSupported 6"), ("05:00.0", "03:00.0", "notSupported 6"),
        ("00:08.0", "00:08.1", "notSupported 2"), ("00:08.0", "00:08.0", "busAddress 0"),
        ("00:08.0", "03:00.0", "notSupported 5"),
    ])
    func onIntelOnlyWhatMeetsBelowTheRoot(_ provider: String, _ client: String, _ answer: String) {
        #expect(tree.answer(provider, client) == answer)
    }

    @Test(arguments: [
        ("03:00.0", "03:00.0", "busAddress 0"), ("03:00.0", "04:00.0", "busAddress 4"),
        ("03:00.0", "05:00.0", "throughHostBridge 6"), ("00:08.0", "00:08.1", "throughHostBridge 2"),
    ])
    func onZenAll(_ provider: String, _ client: String, _ answer: String) {
        var tree = tree
        tree.cpu = .zen
        #expect(tree.answer(provider, client) == answer)
    }

    @Test func cascadedSwitches() {
        var tree = RouteTree()
        tree.bridge("00:01.0")
        tree.switch("01:00.0", below: "00:01.0", bus: "02")
        tree.add("03:00.0", below: "02:00.0")
        tree.switch("04:00.0", below: "02:01.0", bus: "05")
        tree.add("06:00.0", below: "05:00.0")
        tree.add("07:00.0", below: "05:01.0")
        #expect(tree.answer("03:00.0", "06:00.0") == "busAddress 6")
        #expect(tree.answer("06:00.0", "07:00.0") == "busAddress 4")
        #expect(tree.findings("06:00.0", "07:00.0") == ["commonUpstream 0000:04:00.0"])
    }

    // MARK: ACS

    /// A switch below a root port, each with its control, and two drives.
    private func controlled(
        root: AccessControl = .absent, up: AccessControl = .absent, down: AccessControl = .absent,
        drive: AccessControl = .absent
    ) -> RouteTree {
        var tree = RouteTree()
        tree.add("00:00.0", identity: 0x8086_29c0, class: 0x060000)
        tree.bridge("00:02.0", control: root)
        tree.switch("01:00.0", below: "00:02.0", bus: "02", control: up, downstream: [down, .absent])
        tree.add("03:00.0", below: "02:00.0", control: drive)
        tree.add("04:00.0", below: "02:01.0")
        return tree
    }

    @Test(arguments: [0x04, 0x08, 0x20, 0x0c, 0x1d, 0xffff] as [UInt16])
    func redirectOnTheWayRefuses(_ bits: UInt16) {
        for tree in [
            controlled(up: .bits(bits)), controlled(down: .bits(bits)), controlled(drive: .bits(bits)),
        ] {
            #expect(tree.answer("03:00.0", "04:00.0") == "notSupported 4")
            #expect(tree.answer("04:00.0", "03:00.0") == "notSupported 4")
        }
    }

    @Test(arguments: [0x00, 0x01, 0x02, 0x10, 0x40, 0x53, 0xffd3] as [UInt16])
    func otherBitsDoNotCount(_ bits: UInt16) {
        let all = AccessControl.bits(bits)
        let tree = controlled(root: all, up: all, down: all, drive: all)
        #expect(tree.answer("03:00.0", "04:00.0") == "busAddress 4")
    }

    /// The requests of a switch's drives do not come as far as the root port.
    @Test func redirectAboveTheMeetingDoesNotCount() {
        let tree = controlled(root: .isolating)
        #expect(tree.answer("03:00.0", "04:00.0") == "busAddress 4")
        #expect(tree.findings("03:00.0", "04:00.0") == ["commonUpstream 0000:01:00.0"])
    }

    /// The provider is on its own way, as it is where it meets itself.
    @Test func aDriveThatRedirectsDoesNotReachItself() {
        let tree = controlled(drive: .bits(0x04))
        #expect(tree.answer("03:00.0", "03:00.0") == "notSupported 0")
        #expect(tree.answer("04:00.0", "04:00.0") == "busAddress 0")
    }

    @Test func redirectOnZenGoesThroughTheHostBridge() {
        var tree = controlled(down: .isolating)
        tree.cpu = .zen
        #expect(tree.answer("03:00.0", "04:00.0") == "throughHostBridge 4")
    }

    @Test func eachThatRedirectsIsNamed() {
        let tree = controlled(root: .isolating, up: .bits(4), down: .bits(8), drive: .bits(0x20))
        #expect(
            tree.findings("03:00.0", "04:00.0") == [
                "commonUpstream 0000:01:00.0", "acsRedirect 0000:03:00.0", "acsRedirect 0000:02:00.0",
                "acsRedirect 0000:01:00.0", "hostBridgeNotListed 0000:00",
            ])
    }

    @Test func redirectWithoutAMeetingIsNotAsked() {
        var tree = controlled(root: .unknown(.needsPrivilege), down: .unknown(.needsPrivilege))
        tree.add("00:08.0", control: .unknown(.needsPrivilege))
        #expect(tree.answer("03:00.0", "00:08.0") == "notSupported 5")
        tree.cpu = .zen
        #expect(tree.answer("03:00.0", "00:08.0") == "throughHostBridge 5")
    }

    // MARK: What cannot be read

    @Test(arguments: [.needsPrivilege, .cutOff, .unreadable, .dead] as [AccessControl.UnreadableReason])
    func anUnknownControlMakesTheAnswerUnknown(_ reason: AccessControl.UnreadableReason) {
        let tree = controlled(down: .unknown(reason))
        #expect(tree.answer("03:00.0", "04:00.0") == "unknown? 4")
        #expect(tree.answer("04:00.0", "04:00.0") == "busAddress 0")
    }

    @Test func onZenItIsAllowedAllTheSame() {
        var tree = controlled(down: .unknown(.needsPrivilege))
        tree.cpu = .zen
        #expect(tree.answer("03:00.0", "04:00.0") == "unknown! 4")
    }

    /// A redirect that is known decides, whatever else is not.
    @Test func aKnownRedirectDecides() {
        let tree = controlled(up: .bits(4), down: .unknown(.needsPrivilege))
        #expect(tree.answer("03:00.0", "04:00.0") == "notSupported 4")
    }

    @Test func aBridgeThatIsNamedButNotListedIsUnknown() {
        var tree = controlled()
        tree.functions.removeAll { $0.address == PCIAddress("01:00.0") }
        #expect(tree.answer("03:00.0", "04:00.0") == "unknown? 4")
        tree = controlled(root: .bits(4))
        tree.functions.removeAll { $0.address == PCIAddress("01:00.0") }
        #expect(tree.answer("03:00.0", "04:00.0") == "unknown? 4", "the root port lies above the meeting")
        tree = controlled()
        tree.functions.removeAll { $0.address == PCIAddress("00:02.0") }
        #expect(tree.answer("03:00.0", "04:00.0") == "busAddress 4", "it is not on the way")
    }

    // MARK: Ends of a route

    @Test func whatIsNotThereAndBridgesHaveNoRoute() {
        for (provider, client) in [("00:09.0", "03:00.0"), ("03:00.0", "00:09.0")] {
            #expect(tree.route(provider, client).verdict.isSupported == false)
            #expect(tree.findings(provider, client) == ["noSuchDevice 0000:00:09.0"])
        }
        for (provider, client) in [("02:00.0", "03:00.0"), ("03:00.0", "02:00.0")] {
            #expect(tree.route(provider, client).verdict.isSupported == false)
            #expect(tree.findings(provider, client) == ["isBridge 0000:02:00.0"])
        }
    }

    @Test func aKernelWithoutPeerToPeerRefusesAll() {
        var tree = tree
        tree.cpu = .zen
        tree.hasPeerToPeer = false
        #expect(tree.answer("03:00.0", "03:00.0") == "notSupported 0")
        #expect(tree.answer("03:00.0", "04:00.0") == "notSupported 4")
        #expect(tree.answer("03:00.0", "05:00.0") == "notSupported 6")
        #expect(tree.findings("03:00.0", "04:00.0").first == "noPeerToPeer -")
    }

    // MARK: Virtual functions, domains of their own

    /// A virtual function hangs where its physical function does.
    @Test func virtualFunctions() {
        var tree = RouteTree()
        tree.add("00:00.0", identity: 0x8086_29c0, class: 0x060000)
        tree.bridge("00:02.0")
        tree.add("01:00.0", below: "00:02.0")
        tree.add("01:00.4", below: "00:02.0")
        tree.add("02:02.1", below: "00:02.0")  // a bus of its own, past 32 devices
        #expect(tree.answer("01:00.0", "01:00.4") == "busAddress 2")
        #expect(tree.answer("01:00.4", "01:00.4") == "busAddress 0")
        #expect(tree.answer("01:00.4", "02:02.1") == "busAddress 2")
    }

    /// One of a device that is integrated in the root complex has a bus that is no root bus, and is not its first
    /// device.
    @Test func virtualFunctionsOnTheRootBus() {
        var tree = RouteTree()
        tree.add("00:05.0", identity: 0x8086_2030)
        tree.add("01:00.0", identity: 0x8086_2030)
        #expect(tree.answer("00:05.0", "01:00.0") == "notSupported 2")
    }

    /// Behind a VMD the kernel sees another domain with a host bridge of its own.
    @Test func behindAVMD() {
        var tree = RouteTree()
        tree.add("00:00.0", identity: 0x8086_2020, class: 0x060000)
        tree.add("00:0e.0", identity: 0x8086_201d)
        tree.bridge("10000:e0:01.0", on: "pci10000:e0", identity: 0x8086_2030)
        tree.add("10000:e1:00.0", below: "10000:e0:01.0")
        tree.bridge("10000:e0:02.0", on: "pci10000:e0", identity: 0x8086_9999)
        tree.add("10000:e2:00.0", below: "10000:e0:02.0")
        tree.bridge("00:1c.0", identity: 0x8086_9999)
        tree.add("01:00.0", below: "00:1c.0")
        #expect(tree.answer("10000:e1:00.0", "10000:e2:00.0") == "throughHostBridge 4")
        #expect(tree.answer("10000:e1:00.0", "01:00.0") == "throughHostBridge 4")
    }
}
