// SPDX-License-Identifier: Apache-2.0

import CommandSupport
import Glibc
import MachineArchive
import PCITopology
import PeerMRCore
import SystemPackage
import TestSupport
import Testing

@testable import PeerMRCommand

/// What exceeds the limits of a machine that is shown is refused with a sentence. What that takes in memory and time is
/// measured by Tests/archives.py.
@Suite struct LimitTests {
    /// So many functions of one class on root buses, and nothing else.
    private static func machine(_ count: Int, classCode: UInt32 = 0x020000) -> TestMachine {
        var machine = TestMachine()
        for number in 0..<count {
            let domain = String(number / 8192 + 0x1000, radix: 16)
            let bus = String(number % 8192 / 256 + 0x100, radix: 16).dropFirst()
            let device = String(number % 256 / 8 + 0x100, radix: 16).dropFirst()
            machine.function(
                "\(domain):\(bus):\(device).\(number % 8)", bus: "\(domain):00", classCode: classCode, driver: nil)
        }
        return machine
    }

    /// An archive of it: writing thousands of files takes long.
    private static func file(_ machine: TestMachine, in folder: TemporaryFolder) throws -> String {
        let path = folder.path.appending("machine.tar.gz")
        try MachineArchive.write(machine.tree, to: path, compression: .gzip)
        return path.string
    }

    @Test func pairsThatArePrinted() throws {
        let folder = TemporaryFolder()
        let machine = Machine(Self.machine(1025).root)
        let error = #expect(throws: PeerMRError.self) { _ = try RoutePairs(machine, clients: nil) }
        #expect(error?.code == .resourceLimit && error?.reason.contains("1050625 pairs of functions") == true)
        #expect(error?.remedy?.contains("--client") == true)
        // Those of one client are few.
        let file = try Self.file(Self.machine(1025), in: folder)
        let one = try Tool.run(
            "topology", "--pairs", "--client", "1000:00:00.1", "--root", file)
        #expect(one.status == 0 && (one.json["pairs"] as? [Any])?.count == 1025)
        let all = try Tool.run("topology", "--pairs", "--root", file)
        #expect(all.status == 2 && all.output.isEmpty && all.complaint.contains("1048576"))
        // JSON of one client has its row alone.
        let row = try Tool.run("topology", "--all", "--json", "--client", "1000:00:00.1", "--root", file)
        #expect((row.json["clients"] as? [String]) == ["1000:00:00.1"])
        #expect((row.json["mapTypes"] as? [[String]])?.map(\.count) == [1025])
        #expect((row.json["distances"] as? [[Any]])?.count == 1)
    }

    @Test func pairsThatAreKept() throws {
        try MachineLimits.validate(clients: 4096, providers: 4096, isByPlaces: true)
        for (clients, providers) in [(4097, 4096), (Int.max, 2), (1 << 25, 1)] {
            let error = #expect(throws: PeerMRError.self) {
                try MachineLimits.validate(clients: clients, providers: providers, isByPlaces: false)
            }
            #expect(error?.code == .resourceLimit && error?.remedy?.contains("--all") == true)
        }
        // Places are of clients and providers together.
        try MachineLimits.validate(clients: 10_000, providers: 10, isByPlaces: false)
        #expect(throws: PeerMRError.self) {
            try MachineLimits.validate(clients: 10_000, providers: 10, isByPlaces: true)
        }
    }

    @Test func boxesThatAreDrawn() throws {
        let folder = TemporaryFolder()
        // Bridges have a box each.
        var machine = TestMachine()
        for number in 0..<1100 {
            let domain = String(number / 256 + 0x1000, radix: 16)
            let bus = String(number % 256 + 0x100, radix: 16).dropFirst()
            machine.bridge("\(domain):\(bus):00.0", bus: "\(domain):00", port: 4, acs: 0)
            machine.function("\(domain):\(bus):01.0", below: ["\(domain):\(bus):00.0"], bus: "\(domain):00")
        }
        let file = try Self.file(machine, in: folder)
        let drawn = try Tool.run("topology", "--svg", "--root", file)
        #expect(drawn.status == 2 && drawn.complaint.contains("boxes to draw"))
        let text = try Tool.run("topology", "--dot", "--root", file)
        #expect(text.status == 0 && text.output.hasSuffix("}\n") && text.output.utf8.count < 4 << 20)
    }

    @Test func functionsThatAreRead() throws {
        let folder = TemporaryFolder()
        // Names are enough: what is beyond the limit would be missing from every answer.
        folder.folder("sys/bus/pci/devices")
        let place = folder.path.appending("sys/bus/pci/devices").string
        for number in 0...65_536 { symlink("x", "\(place)/\(String(number + 0x1_0000, radix: 16)):00:00.0") }
        for command in [["devices"], ["topology"], ["doctor"], ["check", "10000:00:00.0", "10001:00:00.0"]] {
            let outcome = try Tool.run(command + ["--root", folder.path.string])
            #expect(outcome.status == 2 && outcome.complaint.contains("65537 PCI functions"), "\(command)")
        }
    }

    @Test func routesThatTheDoctorLooksAt() {
        var machine = Self.machine(30, classCode: 0x010802)
        for number in 0..<30 {
            let bus = String(number + 0x100, radix: 16).dropFirst()
            machine.function("2000:\(bus):00.0", bus: "2000:00", classCode: 0x020000, driver: "mlx5_core")
            machine.named("mlx5_\(number)", kind: "infiniband", on: "pci2000:00/2000:\(bus):00.0")
        }
        let found = Machine(machine.root)
        #expect(RouteProblems(found).unexamined == 0)
        let routes = RouteProblems(found, limit: 100)
        #expect(routes.total == 100 && routes.unexamined == 800)
        let report = DoctorReport(machine: found, diagnoses: [], routes: routes)
        #expect(report.text(.plain).split { $0.isWhitespace }.joined(separator: " ").contains("800 of 900 routes"))
    }

    /// A stream is what the same values are at once, however large.
    @Test func aStreamIsTheSameJSON() {
        let values = (0..<20_000).map { JSONValue.list([.integer(Int64($0)), .text("\"\u{1b}\($0)")]) }
        var pieces: [String] = []
        let write = { (text: String) -> Bool in
            pieces.append(text)
            return true
        }
        JSONStream.object(to: write) { stream in
            stream.field("a", .null)
            stream.list("b", count: values.count) { values[$0] }
            stream.list("c", count: 0) { _ in .null }
        }
        let whole = JSONValue.object([("a", .null), ("b", .list(values)), ("c", .list([]))]).encoded
        #expect(pieces.joined() == whole && pieces.count > 2)
        #expect(pieces.allSatisfy { $0.utf8.count < 70_000 })
    }

    /// Nothing more is made when nobody reads.
    @Test func aStreamEndsWhereNobodyReads() {
        var made = 0
        JSONStream.object(to: { _ in false }) { stream in
            stream.list("a", count: 1 << 30) { _ in
                made += 1
                return .text(String(repeating: "x", count: 1 << 10))
            }
        }
        #expect(made < 100)
    }
}
