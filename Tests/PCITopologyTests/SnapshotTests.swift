// SPDX-License-Identifier: Apache-2.0

import PCITopology
import SystemPackage
import PeerMRCore
import Testing
import TestSupport

@testable import PCITopology

/// A captured machine is judged as the machine is, and a damaged file is refused.
@Suite struct SnapshotTests {
    /// Two drives below a switch, one at a root port, one of them without privilege; a NIC, a software NIC, a
    /// partition.
    static func machine() -> TestMachine {
        var machine = TestMachine()
        machine.function("0000:00:00.0", vendor: 0x8086, device: 0x2020, classCode: 0x060000, driver: nil)
        machine.bridge("0000:00:01.0", port: 4, acs: 0)
        machine.bridge("0000:01:00.0", below: ["0000:00:01.0"], port: 5)
        let way = ["0000:00:01.0", "0000:01:00.0"]
        machine.bridge("0000:02:00.0", below: way, port: 6, acs: 0x1d)
        machine.bridge("0000:02:01.0", below: way, port: 6, acs: 0, isReadable: false)
        machine.function("0000:03:00.0", below: way + ["0000:02:00.0"], pool: 1 << 24, group: "3")
        machine.function("0000:04:00.0", below: way + ["0000:02:01.0"], classCode: 0x020000, driver: "mlx5_core")
        machine.bridge("0000:00:02.0", port: 4, isReadable: false)
        machine.function("0000:05:00.0", below: ["0000:00:02.0"], pool: 1 << 20)
        machine.named("mlx5_0", kind: "infiniband", on: "pci0000:00/\(way[0])/\(way[1])/0000:02:01.0/0000:04:00.0")
        machine.named("rxe0", kind: "infiniband", on: nil)
        machine.named("nvme0n1", kind: "block", on: "pci0000:00/0000:00:02.0/0000:05:00.0")
        machine.named("loop0", kind: "block", on: nil)
        return machine
    }

    static func judged(_ root: SystemRoot) -> [String] {
        let topology = Topology(root: root)
        let addresses = topology.functions.map(\.address)
        var lines = addresses.flatMap { provider in
            addresses.map { "\(provider) \($0) \(topology.route(from: $0, to: provider))" }
        }
        lines += topology.rdmaDevices.map { "\($0) \($1)" }.sorted()
        lines += topology.blockDevices.map { "\($0) \($1)" }.sorted()
        return lines + [
            "\(topology)".isEmpty
                ? "" : "\(String(describing: topology.cpu)) \(String(describing: topology.hasPeerToPeer))"
        ]
    }

    @Test func isJudgedAsTheMachineIs() throws {
        for machine in [Self.machine(), .large(drives: 12), .large(drives: 8, isReadable: false)] {
            let text = Snapshot.encode(Snapshot.capture(machine.root))
            let read = try Snapshot.parse(Array(text.utf8))
            #expect(Self.judged(SystemRoot(read)) == Self.judged(machine.root))
            #expect(Snapshot.encode(read) == text)
            #expect(Snapshot.encode(Snapshot.capture(SystemRoot(read))) == text)
        }
    }

    @Test func isTheSameFromADirectory() {
        let folder = TemporaryFolder()
        let machine = TestMachine.large(drives: 12)
        machine.write(to: folder)
        #expect(Self.judged(folder.root) == Self.judged(machine.root))
        #expect(Snapshot.encode(Snapshot.capture(folder.root)) == Snapshot.encode(Snapshot.capture(machine.root)))
    }

    @Test func ofThisMachineIsJudgedAsItIs() throws {
        let read = try Snapshot.parse(Array(Snapshot.encode(Snapshot.capture(.live)).utf8))
        #expect(Self.judged(SystemRoot(read)) == Self.judged(.live))
    }

    @Test func keepsNoNumbersOfDevices() {
        let text = Snapshot.encode(Snapshot.capture(.init(Self.machine().tree)))
        // The serial number and the subsystem that every function of the test machine has.
        for secret in ["a1e7c25e", "a2e7c25e", "efbeadde", "7.3.4", "uevent"] { #expect(!text.contains(secret)) }
        #expect(text.contains("mlx5_0") && text.contains("osrelease =7.3.0"))
    }

    @Test func scopedReadingJudgesAlike() {
        let machine = TestMachine.large(drives: 12)
        let whole = Topology(root: machine.root)
        let drives = whole.functions.filter { $0.poolBytes != nil }.map(\.address)
        for client in drives {
            for provider in drives {
                let scoped = Topology(root: machine.root, around: [client, provider])
                #expect(scoped.route(from: client, to: provider) == whole.route(from: client, to: provider))
            }
        }
    }
}

/// Every way to damage a small snapshot.
@Suite struct SnapshotDamageTests {
    private static func small() -> [UInt8] {
        var machine = TestMachine()
        machine.function("0000:00:01.0", acs: 0x1d)
        return Array(Snapshot.encode(Snapshot.capture(machine.root)).utf8)
    }

    @Test func everyTruncationIsRefused() {
        let whole = Self.small()
        for count in 0..<whole.count {
            #expect(throws: PeerMRError.self) { try Snapshot.parse(Array(whole[..<count])) }
        }
    }

    @Test func everyFlippedBitIsRefused() {
        var bytes = Self.small()
        for place in bytes.indices {
            for bit in 0..<8 {
                bytes[place] ^= 1 << bit
                #expect(throws: PeerMRError.self) { try Snapshot.parse(bytes) }
                bytes[place] ^= 1 << bit
            }
        }
        #expect((try? Snapshot.parse(bytes)) != nil)
    }

    @Test(arguments: [
        ("", "no snapshot"), ("{}", "no snapshot"), ("peermr-snapshot 2\nend 1 0\n", "format 2"),
        ("peermr-snapshot 1\n", "cut off"), ("peermr-snapshot x\n", "no snapshot"),
        ("peermr-snapshot 1\nend 1 0000000000000000\n", "checksum"),
    ])
    func isRefusedWithASentence(_ text: String, _ words: String) {
        let error = #expect(throws: PeerMRError.self) { try Snapshot.parse(Array(text.utf8)) }
        #expect(error?.reason.contains(words) == true)
    }

    @Test(arguments: [
        "link a", "file a =x y", "file a x", "file /a =", "file a//b =", "file ../a =", "file a/./b =", "file  =",
        "file a =%", "file a =%0", "file a =%0G", "file a =%FF", "unread a -1", "unread a 99999999999999999999",
        "bytes a 4096 1099511627776", "bytes a 256 4 4=00", "bytes a 256 4 0=0", "bytes a 256 4 ffffffffff=00",
        "bytes a 256 4 0=zz", "other a", "directory a b", "", " ", "link a %ff",
    ])
    func sealedNonsenseIsRefused(_ line: String) {
        let text = Snapshot.sealed(["peermr-snapshot 1", line])
        let error = #expect(throws: PeerMRError.self) { try Snapshot.parse(Array(text.utf8)) }
        #expect(error?.reason.contains("line 2") == true)
    }

    @Test func twoThingsAtOnePlaceAreRefused() {
        for lines in [["file a =1", "file a =2"], ["file a =1", "file a/b =2"], ["link a b", "directory a"]] {
            let text = Snapshot.sealed(["peermr-snapshot 1"] + lines)
            #expect(throws: PeerMRError.self) { try Snapshot.parse(Array(text.utf8)) }
        }
    }

    @Test func loopsOfLinksEnd() throws {
        var lines = ["peermr-snapshot 1"]
        lines += ["link a b", "link b a", "link self self/self", "link up ../../..", "directory z"]
        lines += (0..<60).map { "link c\($0) \($0 == 59 ? "z" : "c\($0 + 1)")" }
        lines += ["link sys/bus/pci/devices/0000:00:01.0 0000:00:01.0"]
        let root = SystemRoot(try Snapshot.parse(Array(Snapshot.sealed(lines).utf8)))
        for path in ["a", "b", "a/b", "self", "self/self/x", "c0"] { #expect(root.realPath(path) == nil) }
        #expect(root.realPath("c30") == "/z")
        #expect(root.realPath("up") == "/")
        let topology = Topology(root: root)
        let address = try #require(PCIAddress("0000:00:01.0"))
        #expect(topology.route(from: address, to: address).verdict.mapType == .unknown)
    }
}
