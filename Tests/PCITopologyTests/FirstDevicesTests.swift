// SPDX-License-Identifier: Apache-2.0

import PeerMRCore
import TestSupport
import Testing

@testable import PCITopology

/// Which device of a root bus the kernel found first, where sysfs is not the kernel's own.
@Suite struct FirstDevicesTests {
    /// Two domains, each with a listed host bridge at 00.0 and two root ports with a drive.
    private func machine(order: String?) -> TestMachine {
        var machine = TestMachine()
        for domain in ["0001", "0002"] {
            let bus = "\(domain):00"
            machine.function(
                "\(bus):00.0", bus: bus, vendor: 0x8086, device: 0x2020, classCode: 0x060000, driver: nil)
            for number in 1...2 {
                machine.bridge("\(bus):0\(number).0", bus: bus, port: 4, acs: 0)
                machine.function("\(domain):0\(number):00.0", below: ["\(bus):0\(number).0"], bus: bus)
            }
        }
        if let order {
            let lines = order.split(separator: " ").map { "\($0)\t80862020\t0" }
            machine.file("proc/bus/pci/devices", lines.joined(separator: "\n"))
        }
        return machine
    }

    @Test(
        arguments: [
            (nil, true), ("0000 0008 0010 0100 0200 0000 0008 0010 0100 0200", true),
            // A 00.0 that was plugged in late, in one of the two: which one does not show.
            ("0000 0008 0010 0100 0200 0008 0010 0100 0200 0000", nil),
            ("0008 0010 0100 0200 0000 0008 0010 0100 0200 0000", nil),
        ] as [(String?, Bool?)])
    func domainsThatShareABusNumber(_ order: String?, _ isSupported: Bool?) throws {
        let root = machine(order: order).root
        let (client, provider) = try (#require(PCIAddress("0001:01:00.0")), #require(PCIAddress("0001:02:00.0")))
        for topology in [Topology(root: root), Topology(root: root, around: [client, provider])] {
            #expect(topology.route(from: client, to: provider).verdict.isSupported == isSupported)
        }
    }

    /// A number that one of them has alone is that one's; what sysfs does not show may be anybody's.
    @Test(
        arguments: [
            ("0010 0000 0018 0000", ["0000:00:02.0"]),
            ("0018 0010 0000 0000", ["0000:00:02.0", "0001:00:03.0"]),
            ("0000 0010 0018 0000", []), ("0000 0000 0010 0018", ["0000:00:00.0", "0001:00:00.0"]),
            ("0028 0010 0000 0018 0000", []), ("0010 0000 0028 0018 0000", ["0000:00:02.0"]),
            ("0010 0000 0018 0010 0000", []), ("0010 0000 0018", ["0000:00:02.0"]),
        ] as [(String, [String])])
    func domainsThatShareSomeNumbers(_ order: String, _ first: [String]) {
        var machine = TestMachine()
        for address in ["0000:00:00.0", "0000:00:02.0", "0001:00:00.0", "0001:00:03.0"] {
            machine.function(
                address, bus: String(address.prefix(7)), vendor: 0x8086, device: 0x2020, classCode: 0x060000,
                driver: nil)
        }
        let lines = order.split(separator: " ").map { "\($0)\t80862020\t0" }
        machine.file("proc/bus/pci/devices", lines.joined(separator: "\n"))
        #expect(Topology(root: machine.root).firstDevices.values.map { "\($0)" }.sorted() == first)
    }

    /// One domain has the bus: then the list tells.
    @Test func aBusOfOneDomain() throws {
        var machine = TestMachine()
        machine.function("0000:00:00.0", vendor: 0x8086, device: 0x2020, classCode: 0x060000, driver: nil)
        machine.function("0000:00:02.0")
        machine.file("proc/bus/pci/devices", "0010\t1af41000\t0\n0000\t80862020\t0")
        #expect(Topology(root: machine.root).firstDevices.values.map { "\($0)" } == ["0000:00:02.0"])
    }

    /// Linux before 5.14 goes by the device at 00.0: what a copy lacks in one place is no proof that there is none.
    @Test(arguments: [("", true, nil), ("0000\t80862020\t0", false, nil), ("0010\t1af41000\t0", false, false)])
    func aZeroThatIsNotListed(_ list: String, _ hasFolder: Bool, _ isSupported: Bool?) throws {
        var machine = TestMachine(kernel: "5.10.0")
        for number in ["02", "03"] { machine.function("0000:00:\(number).0") }
        if hasFolder { machine.file("sys/devices/pci0000:00/0000:00:00.0/vendor", "0x8086\n") }
        machine.file("proc/bus/pci/devices", list)
        let (client, provider) = try (#require(PCIAddress("0000:00:02.0")), #require(PCIAddress("0000:00:03.0")))
        for topology in [Topology(root: machine.root), Topology(root: machine.root, around: [client, provider])] {
            #expect(topology.route(from: client, to: provider).verdict.isSupported == isSupported)
            #expect(topology.unlocated.isEmpty == (isSupported == false))
        }
    }

    /// A device that the list has alone is of domain 0, where no other is shown; of another domain's bus it may not be.
    @Test(arguments: [("0000", ["0000:00:00.0"]), ("0001", [])])
    func aDeviceThatSysfsDoesNotList(_ domain: String, _ first: [String]) throws {
        var machine = TestMachine()
        machine.function("\(domain):00:02.0", bus: "\(domain):00")
        machine.file("proc/bus/pci/devices", "0000\t80862020\t0\n0010\t1af41000\t0")
        #expect(Topology(root: machine.root).firstDevices.values.map { "\($0)" } == first)
    }

    /// What a machine knows of itself goes into its snapshot.
    @Test func aCaptureHasTheAnswer() throws {
        var machine = machine(order: nil)
        machine.file(FirstDevices.captured, "0001:00 0001:00:01.0\n0002:00 -")
        let topology = Topology(root: machine.root)
        #expect(topology.firstDevices.map { "\($0) \($1)" } == ["0001:00 0001:00:01.0"])
        let again = Topology(root: SystemRoot(Snapshot.capture(machine.root)))
        #expect(again.firstDevices == topology.firstDevices)
    }

    /// The kernel numbers the directories of its sysfs as it makes them.
    @Test func theOldestOfTheRunningMachine() {
        let root = SystemRoot.live
        let devices = (root.entries("sys/bus/pci/devices") ?? []).compactMap { PCIAddress($0) }
        let byBus = Dictionary(grouping: devices) { RootBus(domain: $0.domain, bus: $0.bus) }
        let first = FirstDevices(root: root, devices).of(Set(byBus.keys))
        func age(_ device: PCIAddress) -> UInt64? {
            root.kernelNumber(ofDirectory: "sys/bus/pci/devices/\(device)")
        }
        for (bus, device) in first {
            #expect(byBus[bus]?.compactMap(age).min() == age(device), "\(device)")
        }
    }
}
