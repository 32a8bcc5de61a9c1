// SPDX-License-Identifier: Apache-2.0

import CommandSupport
import PCITopology
import PeerMRCore
import SystemPackage
import TestSupport
import Testing

@testable import PeerMRCommand

/// What people read of machines of all sizes: no line is too wide, and nothing is said twice.
@Suite struct ReadableTests {
    enum Shape: CaseIterable {
        /// One switch for each: a GPU, a NIC and a drive.
        case switches
        /// A root port for each device.
        case ports
        /// All that can be read below one switch each, and no configuration space.
        case unreadable
        /// On a processor whose host bridges are allowed.
        case amd
    }

    /// A machine of this many GPUs, NICs and drives.
    static func machine(_ count: Int, _ shape: Shape, name: String = "mlx5_", group: Bool = true) -> TestMachine {
        var machine =
            shape == .amd ? TestMachine(vendor: "AuthenticAMD", family: 25) : TestMachine(kernel: "6.8.0")
        let isReadable = shape != .unreadable
        for index in 0..<count {
            let domain = "000" + String(index / 32, radix: 16)
            let bus = "\(domain):\(hex(index % 32 * 8))"
            let bridge = "\(bus):00.0"
            machine.function(bridge, bus: bus, vendor: 0x8086, device: 0x1234, classCode: 0x060000, driver: nil)
            for slot in 0..<3 {
                var way = ["\(bus):01.0"]
                if shape == .ports { way = ["\(bus):0\(slot + 1).0"] }
                if shape == .ports || slot == 0 {
                    machine.bridge(way[0], bus: bus, port: 4, acs: 0x1d, isReadable: isReadable)
                }
                if shape != .ports {
                    way.append("\(domain):\(hex(index % 32 * 8 + 1)):00.0")
                    if slot == 0 { machine.bridge(way[1], below: [way[0]], bus: bus, port: 5, isReadable: isReadable) }
                    way.append("\(domain):\(hex(index % 32 * 8 + 2)):0\(slot).0")
                    machine.bridge(
                        way[2], below: Array(way.dropLast()), bus: bus, port: 6, acs: 0x1d, isReadable: isReadable)
                }
                let address = "\(domain):\(hex(index % 32 * 8 + 3 + slot)):00.0"
                let classes: [UInt32] = [0x030200, 0x020700, 0x010802]
                machine.function(
                    address, below: way, bus: bus, classCode: classes[slot],
                    driver: ["nvidia", "mlx5_core", "nvme"][slot], isReadable: isReadable,
                    group: group ? "\(index * 3 + slot)" : nil)
                let place = (["pci\(bus)"] + way + [address]).joined(separator: "/")
                if slot == 1 { machine.named("\(name)\(index)", kind: "infiniband", on: place) }
                if slot == 2 { machine.named("nvme\(index)n1", kind: "block", on: place) }
            }
        }
        return machine
    }

    private static func hex(_ value: Int) -> String { (value < 16 ? "0" : "") + String(value, radix: 16) }

    private func texts(_ machine: Machine, _ routes: RouteProblems, _ style: TextStyle) -> [String: String] {
        let diagnoses = Diagnosis.ofTheKernel(machine) + Diagnosis.ofTheDevices(machine)
        return [
            "topology": MatrixText(Matrix(machine, all: machine.rdma.count == 8)).text(style),
            "doctor": DoctorReport(machine: machine, diagnoses: diagnoses, routes: routes).text(style),
        ]
    }

    private static let longName = "roce-port-with-a-name-that-somebody-gave-it-in-a-udev-rule-and-longer-than-all-else-"

    @Test(arguments: [1, 8, 64], Shape.allCases)
    func noLineIsTooWideAndNothingIsSaidTwice(_ count: Int, _ shape: Shape) {
        // A build for debugging takes a second for the routes of 64 switches.
        if count == 64 && shape != .switches { return }
        for name in ["mlx5_", Self.longName].prefix(count == 64 ? 1 : 2) {
            let machine = Machine(Self.machine(count, shape, name: name).root)
            let routes = RouteProblems(machine)
            for columns in [100, 60] {
                for (command, text) in texts(machine, routes, TextStyle(columns: columns, hasColor: false)) {
                    let lines = text.split(separator: "\n").map(String.init)
                    #expect(lines.allSatisfy { $0.count <= columns }, "\(command) \(count) \(shape)")
                    #expect(!lines.contains { $0.hasSuffix(" ") })
                    if command != "doctor" || name != "mlx5_" || columns != 100 { continue }
                    #expect(lines.count < 60, "\(count) \(shape)")
                    // Each sentence stands once, whatever it is about.
                    for sentence in ["meet nowhere", "to the root complex", "is not on the", "cannot be read"] {
                        #expect(text.components(of: sentence) <= 2, "\(sentence) \(count) \(shape)")
                    }
                }
            }
        }
    }

    @Test func aRegularMachineIsAFewVerdicts() throws {
        let machine = Machine(Self.machine(64, .switches).root)
        let text = MatrixText(Matrix(machine, all: false)).text(.plain)
        let places = text.split(separator: "\n").filter { $0.contains("below") && $0.contains("mlx5_") }
        #expect(places.count == 64)
        // One kind of place: its own functions and those of another one are refused alike.
        let routes = text.split(separator: "\n").filter { $0.contains("another of 1 … 64") }
        #expect(routes.count == 1 && routes[0].hasSuffix("no"))
        let amd = MatrixText(Matrix(Machine(Self.machine(8, .amd).root), all: false)).text(.plain)
        for part in ["its own place", "HOST:4", "another of 1 … 8", "HOST:8", "248 routes, all allowed"] {
            #expect(amd.contains(part), "\(part)")
        }
    }

    @Test func placesSayWhatTheMatrixSays() throws {
        for shape in Shape.allCases {
            let topology = Machine(Self.machine(4, shape).root).topology
            let ends = topology.functions.filter { !$0.isBridge }.map(\.address)
            let verdicts = topology.verdicts(from: ends, to: ends)
            let places = Places(ends, topology.verdictMatrix(from: ends, to: ends))
            #expect(places.places.flatMap(\.members).sorted() == ends)
            for (row, client) in ends.enumerated() {
                for (column, provider) in ends.enumerated() where client != provider {
                    let from = try #require(places.kinds.first { $0.holds(client) })
                    let to = try #require(places.kinds.first { $0.holds(provider) })
                    let told: Verdict?
                    if from.places.map(\.number) != to.places.map(\.number) {
                        told = places.verdict(from: from, to: to)
                    } else if let place = from.places.first(where: { $0.members.contains(client) }),
                        place.members.contains(provider)
                    {
                        told = place.within
                    } else {
                        told = from.between
                    }
                    #expect(told == verdicts[row][column], "\(shape) \(client) \(provider)")
                }
            }
        }
    }

    @Test func functionsThatRedirectAreOneReason() throws {
        var machine = TestMachine()
        machine.function("0000:00:00.0", vendor: 0x8086, device: 0x29c0, classCode: 0x060000, driver: nil)
        machine.bridge("0000:00:01.0", port: 4, acs: 0)
        machine.bridge("0000:01:00.0", below: ["0000:00:01.0"], port: 5)
        let way = ["0000:00:01.0", "0000:01:00.0"]
        for slot in ["00", "01"] { machine.bridge("0000:02:\(slot).0", below: way, port: 6, acs: 0x1d) }
        machine.function("0000:03:00.0", below: way + ["0000:02:00.0"], pool: 1 << 24)
        machine.function("0000:04:00.0", below: way + ["0000:02:01.0"], classCode: 0x020000, driver: "mlx5_core")
        let folder = TemporaryFolder()
        machine.write(to: folder)
        let check = try Tool.run("check", "0000:03:00.0", "0000:04:00.0", "--json", "--root", folder.path.string).json
        let route = try #require((check["answers"] as? [String: [String: Any]])?["route"]?["reason"] as? String)
        #expect(route.hasPrefix("0000:02:00.0 and 0000:02:01.0 send peer-to-peer requests up to the root complex; "))
        let findings = try #require(check["findings"] as? [[String: Any]])
        #expect(findings.filter { $0["code"] as? String == "acsRedirect" }.count == 2)
    }

    @Test func jsonKeepsItsShape() throws {
        let folder = TemporaryFolder()
        Self.machine(2, .switches).write(to: folder)
        let doctor = try Tool.run("doctor", "--json", "--root", folder.path.string)
        let ailments = try #require(doctor.json["ailments"] as? [[String: Any]])
        #expect(ailments.allSatisfy { Set(["weight", "code", "device", "detail", "remedy"]).isSubset(of: $0.keys) })
        let redirects = ailments.filter { $0["code"] as? String == "acsRedirect" }
        #expect(redirects.count == 6, "one for each function that redirects")
        #expect(Set(redirects.compactMap { $0["remedy"] as? String }).count == 1)
        #expect(redirects.allSatisfy { ($0["routes"] as? [[String: String]])?.isEmpty == false })
        let topology = try Tool.run("topology", "--json", "--root", folder.path.string).json
        let keys = ["clients", "providers", "mapTypes", "supported", "distances", "names", "withoutFunction"]
        #expect(Set(keys).isSubset(of: topology.keys))
    }

    @Test func pipesHaveNoColors() throws {
        let folder = TemporaryFolder()
        Self.machine(2, .switches).write(to: folder)
        for command in ["doctor", "topology", "devices"] {
            #expect(try !Tool.run(command, "--root", folder.path.string).output.contains("\u{1b}"))
        }
    }

    @Test func coprocessorsAndFunctionsWithoutAPlaceAreListed() throws {
        var machine = Self.machine(1, .switches)
        machine.function("0000:00:05.0", classCode: 0x0b4000, driver: "neuron")
        machine.function("0000:00:06.0", classCode: 0x120000, driver: "habanalabs")
        machine.link("sys/bus/pci/devices/0000:77:00.0", "../../../devices/pci0000:70/0000:77:00.0")
        let found = Machine(machine.root)
        let text = MatrixText(Matrix(found, all: false)).text(.plain)
        for part in ["0000:00:05.0", "coprocessor", "0000:00:06.0", "accelerator", "0000:77:00.0", "without a place"] {
            #expect(text.contains(part), "\(part)")
        }
        var json = ""
        JSONStream.object(
            to: { text in
                json += text
                return true
            }, Matrix(found, all: false).write)
        #expect(json.contains("\"withoutPlace\": [\"0000:77:00.0\"]"))
    }
}

extension Places.Kind {
    fileprivate func holds(_ address: PCIAddress) -> Bool { places.contains { $0.members.contains(address) } }
}

extension String {
    fileprivate func components(of text: String) -> Int { ranges(of: text).count }
}
