// SPDX-License-Identifier: Apache-2.0

import Foundation
import MachineArchive
import PCITopology
import SystemPackage
import Testing
import TestSupport

/// What `peermr check` answers, in words, in JSON and by its exit status.
@Suite struct CheckTests {
    /// Below one switch a drive and a NIC, with ACS switched off and beside them one with it on; two more at root ports
    /// of their own.
    static func machine(isReadable: Bool = true) -> TestMachine {
        var machine = TestMachine()
        machine.function("0000:00:00.0", vendor: 0x8086, device: 0x29c0, classCode: 0x060000, driver: nil)
        machine.bridge("0000:00:01.0", port: 4, acs: 0, isReadable: isReadable)
        machine.bridge("0000:01:00.0", below: ["0000:00:01.0"], port: 5, isReadable: isReadable)
        let way = ["0000:00:01.0", "0000:01:00.0"]
        for (index, acs) in [0, 0, 0x1d].enumerated() {
            machine.bridge(
                "0000:02:0\(index).0", below: way, port: 6, acs: UInt16(acs), isReadable: isReadable)
        }
        machine.function("0000:03:00.0", below: way + ["0000:02:00.0"], pool: 1 << 24)
        machine.function("0000:04:00.0", below: way + ["0000:02:01.0"], classCode: 0x020000, driver: "mlx5_core")
        machine.function("0000:05:00.0", below: way + ["0000:02:02.0"])
        machine.bridge("0000:00:02.0", port: 4, acs: 0x1d, isReadable: isReadable)
        machine.function("0000:06:00.0", below: ["0000:00:02.0"])
        let switched = "pci0000:00/0000:00:01.0/0000:01:00.0"
        machine.named("mlx5_0", kind: "infiniband", on: "\(switched)/0000:02:01.0/0000:04:00.0")
        machine.named("rxe0", kind: "infiniband", on: nil)
        machine.named("nvme0n1", kind: "block", on: "pci0000:00/0000:00:02.0/0000:06:00.0")
        machine.named("loop0", kind: "block", on: nil)
        let disk = "sys/devices/pci0000:00/0000:00:02.0/0000:06:00.0/block/nvme0n1"
        machine.file("\(disk)/nvme0n1p1/partition", "1")
        machine.link("sys/class/block/nvme0n1p1", "../../devices/\(disk.dropFirst(12))/nvme0n1p1")
        return machine
    }

    private static func file(_ machine: TestMachine, in folder: TemporaryFolder) throws -> String {
        let path = folder.path.appending("machine.tar.gz")
        try MachineArchive.write(Snapshot.capture(machine.root), to: path, compression: .gzip)
        return path.string
    }

    @Test(
        arguments: [
            ("mlx5_0", 0, "busAddress", 4, "commonUpstream"), ("0000:04:00.0", 0, "busAddress", 4, "commonUpstream"),
            ("04:00.0", 0, "busAddress", 4, "commonUpstream"), ("0000:03:00.0", 0, "busAddress", 0, "sameFunction"),
            ("0000:05:00.0", 1, "notSupported", 4, "acsRedirect"),
            ("nvme0n1", 1, "notSupported", 6, "hostBridgeNotListed"),
            ("nvme0n1p1", 1, "notSupported", 6, "noCommonUpstream"),
            ("/dev/nvme0n1p1", 1, "notSupported", 6, "noCommonUpstream"),
            ("rxe0", 1, "notSupported", nil, "softwareDevice"), ("loop0", 1, "notSupported", nil, "notPCI"),
            ("0000:01:00.0", 1, "notSupported", nil, "isBridge"),
        ] as [(String, Int32, String, Int?, String)])
    func answers(_ client: String, _ status: Int32, _ mapType: String, _ distance: Int?, _ code: String) throws {
        let folder = TemporaryFolder()
        Self.machine().write(to: folder)
        let file = try Self.file(Self.machine(), in: folder)
        for place in [["--snapshot", file], ["--root", folder.path.string]] {
            let outcome = try Tool.run("check", "0000:03:00.0", client, place[0], place[1], "--json")
            let json = outcome.json
            #expect(outcome.status == status && outcome.complaint.isEmpty)
            #expect(json["provider"] as? String == "0000:03:00.0" && json["mapType"] as? String == mapType)
            #expect(json["distance"] as? Int == distance)
            let findings = json["findings"] as? [[String: Any]] ?? []
            #expect(findings.contains { $0["code"] as? String == code })
            #expect(findings.allSatisfy { Set($0.keys) == ["code", "device", "detail", "remedy"] })
            let answers = json["answers"] as? [String: [String: Any]] ?? [:]
            #expect(Set(answers.keys) == ["api", "exporter", "route", "data"])
            #expect(answers.values.allSatisfy { ["yes", "no", "unknown"].contains($0["answer"] as? String) })
            #expect(answers["exporter"]?["answer"] as? String == "yes")
            #expect(answers["data"]?["answer"] as? String == "unknown")
            #expect(answers["route"]?["answer"] as? String == (status == 0 ? "yes" : "no"))
            let words = try Tool.run("check", "0000:03:00.0", client, place[0], place[1])
            #expect(words.status == status && words.output.contains(code))
        }
    }

    /// What was printed, without the breaks that make it fit.
    private static func words(_ text: String) -> String {
        text.split { $0 == " " || $0 == "\n" }.joined(separator: " ")
    }

    /// The status is the route's; the first line does not promise what another answer denies.
    @Test func theHeadlineSaysWhatIsMissing() throws {
        let folder = TemporaryFolder()
        let good = try Tool.run("check", "0000:03:00.0", "mlx5_0", "--snapshot", try Self.file(Self.machine(), in: folder))
        #expect(good.status == 0 && Self.words(good.output).contains("0000:03:00.0: supported (busAddress, distance 4)"))
        // A machine whose kernel passes p2pmem to no drive, and a drive that has none.
        let machines = [("5.14.0-503.11.1.el9_5.x86_64", "0000:03:00.0", "API"), ("7.3.0", "0000:02:00.0", "exporter")]
        for (kernel, provider, missing) in machines {
            var machine = TestMachine(kernel: kernel)
            machine.bridge("0000:00:01.0", port: 4, acs: 0)
            machine.function("0000:02:00.0", below: ["0000:00:01.0"])
            machine.function("0000:03:00.0", below: ["0000:00:01.0"], pool: 1 << 20)
            machine.function("0000:04:00.0", below: ["0000:00:01.0"])
            machine.named("nvme1n1", kind: "block", on: "pci0000:00/0000:00:01.0/0000:04:00.0")
            let place = TemporaryFolder()
            machine.write(to: place)
            let outcome = try Tool.run("check", provider, "nvme1n1", "--root", place.path.string)
            #expect(outcome.status == 0, "the route's")
            let headline = Self.words(String(outcome.output.prefix { $0 != "\n" }))
            let all = Self.words(String(outcome.output.split(separator: "\n\n").first ?? ""))
            #expect(!headline.contains("supported") && headline.contains("not usable"))
            #expect(all.contains("the \(missing) is not there (busAddress, distance 2)") && !all.contains("supported"))
        }
    }

    /// A GPU whose driver does not ask the kernel, on a processor whose host bridge is not on its list.
    @Test func anExporterThatDoesNotAskIsUnknown() throws {
        var machine = TestMachine()
        machine.function("0000:00:00.0", vendor: 0x8086, device: 0x7d1b, classCode: 0x060000, driver: nil)
        machine.bridge("0000:00:01.0", port: 4, acs: 0)
        machine.bridge("0000:00:06.0", port: 4, acs: 0)
        machine.function(
            "0000:01:00.0", below: ["0000:00:01.0"], vendor: 0x10de, device: 0x2bb1, classCode: 0x030000,
            driver: "nvidia")
        machine.function("0000:02:00.0", below: ["0000:00:06.0"], classCode: 0x020000, driver: "mlx5_core")
        machine.named("mlx5_0", kind: "infiniband", on: "pci0000:00/0000:00:06.0/0000:02:00.0")
        let folder = TemporaryFolder()
        let file = try Self.file(machine, in: folder)
        let words = try Tool.run("check", "0000:01:00.0", "mlx5_0", "--snapshot", file)
        #expect(words.status == 3 && Self.words(words.output).contains("0000:01:00.0: unknown (notSupported, distance 4)"))
        #expect(Self.words(words.output).contains("nvidia does not ask the kernel about the route before"))
        let outcome = try Tool.run("check", "0000:01:00.0", "mlx5_0", "--snapshot", file, "--json")
        #expect(outcome.status == 3 && outcome.json["mapType"] as? String == "notSupported")
        #expect(outcome.json["supported"] is NSNull)
        let matrix = try Tool.run("topology", "--snapshot", file, "--json").json
        #expect(matrix["mapTypes"] as? [[String]] == [["notSupported"]])
        #expect((matrix["supported"] as? [[Any]])?.first?.first is NSNull)
        #expect(try Tool.run("topology", "--snapshot", file).output.contains("?"))
        let doctor = try Tool.run("doctor", "--snapshot", file, "--json").json["ailments"] as? [[String: Any]] ?? []
        #expect(doctor.contains { $0["code"] as? String == "exporterDoesNotAsk" && $0["weight"] as? String == "unknown" })
    }

    @Test func withoutPrivilegeItIsUnknownBelowOneBridgeOnly() throws {
        let folder = TemporaryFolder()
        let file = try Self.file(Self.machine(isReadable: false), in: folder)
        let below = try Tool.run("check", "0000:03:00.0", "mlx5_0", "--snapshot", file, "--json")
        #expect(below.status == 3 && below.json["mapType"] as? String == "unknown")
        let apart = try Tool.run("check", "0000:03:00.0", "nvme0n1", "--snapshot", file, "--json")
        #expect(apart.status == 1 && apart.json["mapType"] as? String == "notSupported")
    }

    @Test func aRouteThatIsAllowedEitherWayIsSupported() throws {
        let folder = TemporaryFolder()
        var machine = TestMachine(vendor: "AuthenticAMD", family: 25)
        machine.bridge("0000:00:01.0", port: 4, isReadable: false)
        machine.function("0000:01:00.0", below: ["0000:00:01.0"], pool: 1 << 20)
        machine.function("0000:01:00.1", below: ["0000:00:01.0"])
        let file = try Self.file(machine, in: folder)
        let outcome = try Tool.run("check", "01:00.0", "01:00.1", "--snapshot", file, "--json")
        #expect(outcome.status == 0 && outcome.json["mapType"] as? String == "unknown")
        #expect(outcome.json["supported"] as? Bool == true)
    }

    @Test(arguments: [
        ["check"], ["check", "0000:03:00.0"], ["check", "03", "mlx5_0"], ["check", "0000:03:00.8", "mlx5_0"],
        ["check", "zzzz:03:00.0", "mlx5_0"], ["check", "0000:77:00.0", "mlx5_0"],
        ["check", "0000:03:00.0", "0000:77:00.0"],
        ["check", "0000:03:00.0", "0000:3:0.0"], ["check", "0000:03:00.0", "mlx5_9"], ["check", "0000:03:00.0", ""],
        ["check", "0000:03:00.0", "../mlx5_0"], ["check", "0000:03:00.0", "/dev/none"], ["check", "", ""],
        ["check", "0000:03:00.0", "mlx5_0", "--root", "/"], ["chekc"], ["doctor", "--bogus"],
        ["topology", "--dot", "--svg"],
        ["check", "0000:03:00.0", "\u{1b}[31m"], ["check", "0000:03:00.0", "."], ["check", "0000:03:00.0", ".."],
    ])
    func badInputIsOneSentenceAndStatus2(_ arguments: [String]) throws {
        let folder = TemporaryFolder()
        let file = try Self.file(Self.machine(), in: folder)
        let process = try Tool.run(arguments + ["--snapshot", file])
        #expect(process.status == 2)
        #expect(!process.complaint.isEmpty && process.output.isEmpty && !process.complaint.contains("\u{1b}"))
    }

    @Test func badInputIsJSONTooWhereThatIsAskedFor() throws {
        let folder = TemporaryFolder()
        let file = try Self.file(Self.machine(), in: folder)
        let outcome = try Tool.run("check", "0000:77:00.0", "mlx5_0", "--snapshot", file, "--json")
        #expect(outcome.status == 2 && (outcome.json["error"] as? [String: Any])?["code"] as? String == "notFound")
    }

    @Test func damagedSnapshotsAreRefused() throws {
        let folder = TemporaryFolder()
        let file = try Self.file(Self.machine(), in: folder)
        let bytes = [UInt8](try Data(contentsOf: URL(fileURLWithPath: file)))
        for (name, content) in [("cut", bytes.dropLast(30)), ("empty", []), ("foreign", [0x68, 0x69, 10])] {
            folder.file(name, Array(content))
            let outcome = try Tool.run("devices", "--snapshot", folder.path.appending(name).string)
            #expect(outcome.status == 2 && outcome.complaint.hasPrefix("peermr: error:"))
        }
        #expect(try Tool.run("devices", "--snapshot", "/nonexistent").status == 2)
        #expect(try Tool.run("devices", "--root", "/nonexistent").status == 2)
    }
}
