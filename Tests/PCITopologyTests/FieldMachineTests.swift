// SPDX-License-Identifier: Apache-2.0

import PeerMRCore
import TestSupport
import Testing

@testable import PCITopology

/// Machines of kinds that are in the field, with what the kernel's walk (drivers/pci/p2pdma.c) makes of each pair.
@Suite struct FieldMachineTests {
    private func answer(_ topology: Topology, _ client: String, _ provider: String) throws -> Verdict {
        let (client, provider) = (try #require(PCIAddress(client)), try #require(PCIAddress(provider)))
        return topology.route(from: client, to: provider).verdict
    }

    /// A switch below a port of another one: what a way goes over counts, each part with its own ACS.
    @Test(
        arguments: [
            ("0000:05:00.0", "0000:06:00.0", MapType.busAddress, 4), ("0000:05:00.0", "0000:07:00.0", .notSupported, 4),
            ("0000:06:00.0", "0000:07:00.0", .notSupported, 4), ("0000:05:00.0", "0000:08:00.0", .notSupported, 6),
            ("0000:06:00.0", "0000:08:00.0", .notSupported, 6), ("0000:08:00.0", "0000:09:00.0", .busAddress, 4),
        ])
    func nestedSwitches(_ client: String, _ provider: String, _ mapType: MapType, _ distance: Int) throws {
        var machine = TestMachine()
        machine.function("0000:00:00.0", vendor: 0x8086, device: 0x29c0, classCode: 0x060000, driver: nil)
        // Above all of them: no way goes over it.
        machine.bridge("0000:00:01.0", port: 4, acs: 0x1d)
        let outer = ["0000:00:01.0", "0000:01:00.0"]
        machine.bridge(outer[1], below: [outer[0]], port: 5)
        machine.bridge("0000:02:00.0", below: outer, port: 6, acs: 0x1d)
        let inner = outer + ["0000:02:00.0", "0000:03:00.0"]
        machine.bridge(inner[3], below: Array(inner[..<3]), port: 5)
        // Source validation redirects nothing, completion redirection does.
        for (port, acs) in [("0", 0x00), ("1", 0x01), ("2", 0x08)] as [(String, UInt16)] {
            machine.bridge("0000:04:0\(port).0", below: inner, port: 6, acs: acs)
        }
        for (port, bus) in [("0", "05"), ("1", "06"), ("2", "07")] {
            machine.function("0000:\(bus):00.0", below: inner + ["0000:04:0\(port).0"])
        }
        for (port, bus) in [("1", "08"), ("2", "09")] {
            machine.bridge("0000:02:0\(port).0", below: outer, port: 6, acs: 0)
            machine.function("0000:\(bus):00.0", below: outer + ["0000:02:0\(port).0"])
        }
        let topology = Topology(root: machine.root)
        for (client, provider) in [(client, provider), (provider, client)] {
            let found = try answer(topology, client, provider)
            #expect(found.mapType == mapType && found.distance == distance)
            #expect(found.isSupported == (mapType != .notSupported))
        }
    }

    /// A switch in Intel's VMD: below it bus addresses, out of it by two host bridges, each of which has to be listed.
    @Test(
        arguments: [
            ("10000:03:00.0", "10000:05:00.0", MapType.busAddress, 4),
            ("10000:03:00.0", "10000:04:00.0", .throughHostBridge, 4),
            ("0000:5e:00.0", "10000:03:00.0", .throughHostBridge, 6),
        ])
    func switchBelowVMD(_ client: String, _ provider: String, _ mapType: MapType, _ distance: Int) throws {
        func machine(listed device: UInt16) -> TestMachine {
            var machine = TestMachine()
            let (host, vmd) = ("0000:5d", "0000:5d/0000:5d:05.5/pci10000:00")
            machine.function(
                "0000:5d:00.0", bus: host, vendor: 0x8086, device: 0x2030, classCode: 0x060400, driver: "pcieport",
                port: 4)
            machine.function(
                "0000:5e:00.0", below: ["0000:5d:00.0"], bus: host, classCode: 0x020000, driver: "mlx5_core")
            machine.function(
                "0000:5d:05.5", bus: host, vendor: 0x8086, device: 0x201d, classCode: 0x010400, driver: "vmd")
            machine.function(
                "10000:00:02.0", bus: vmd, vendor: 0x8086, device: device, classCode: 0x060400, driver: "pcieport",
                port: 4)
            let way = ["10000:00:02.0", "10000:01:00.0"]
            machine.bridge(way[1], below: [way[0]], bus: vmd, port: 5)
            for (port, bus, acs) in [("0", "03", 0), ("1", "04", 0x1d), ("2", "05", 0)] as [(String, String, UInt16)] {
                machine.bridge("10000:02:0\(port).0", below: way, bus: vmd, port: 6, acs: acs)
                machine.function("10000:\(bus):00.0", below: way + ["10000:02:0\(port).0"], bus: vmd)
            }
            return machine
        }
        let found = try answer(Topology(root: machine(listed: 0x2032).root), client, provider)
        #expect(found.mapType == mapType && found.distance == distance && found.isSupported == true)
        let unlisted = try answer(Topology(root: machine(listed: 0x0db0).root), client, provider)
        #expect(unlisted.isSupported == (mapType == .busAddress))
    }

    /// A bridge that was pulled: its folder may still be above those that were behind it, its own entry is not.
    @Test func aBridgeThatIsGone() throws {
        var machine = TestMachine()
        machine.bridge("0000:00:01.0", port: 4)
        let way = ["0000:00:01.0", "0000:01:00.0"]
        machine.bridge(way[1], below: [way[0]], port: 5)
        machine.bridge("0000:02:01.0", below: way, port: 6)
        machine.function("0000:03:00.0", below: way + ["0000:02:00.0"])
        machine.function("0000:04:00.0", below: way + ["0000:02:01.0"])
        let route = Topology(root: machine.root).route(
            from: try #require(PCIAddress("0000:04:00.0")), to: try #require(PCIAddress("0000:03:00.0")))
        #expect(route.verdict.isSupported == nil)
        #expect(route.findings.contains { $0.code == .placeUnreadable })
    }

    /// The CPU's rule begins with AMD's family 17h, and asks for no other vendor's.
    @Test(
        arguments: [
            ("AuthenticAMD", 22, false), ("AuthenticAMD", 23, true), ("AuthenticAMD", 26, true),
            ("HygonGenuine", 24, false), ("GenuineIntel", 23, false), ("CentaurHauls", 23, false),
        ])
    func families(_ vendor: String, _ family: Int, _ isAllowed: Bool) throws {
        var machine = TestMachine(vendor: vendor, family: family)
        machine.function("0000:00:00.0", vendor: 0x1022, device: 0x1450, classCode: 0x060000, driver: nil)
        for number in 1...2 {
            machine.bridge("0000:00:0\(number).0", port: 4)
            machine.function("0000:0\(number):00.0", below: ["0000:00:0\(number).0"])
        }
        let found = try answer(Topology(root: machine.root), "0000:01:00.0", "0000:02:00.0")
        #expect(found.isSupported == isAllowed && found.distance == 4)
    }
}
