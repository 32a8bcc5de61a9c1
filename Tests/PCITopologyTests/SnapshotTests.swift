// SPDX-License-Identifier: Apache-2.0

import PCITopology
import SystemPackage
import PeerMRCore
import Testing
import TestSupport

@testable import PCITopology

/// A captured machine is judged as the machine is.
@Suite struct SnapshotTests {
    /// Two drives below a switch, one at a root port, one of them without privilege; a NIC, a software NIC, a
    /// partition.
    static func machine() -> TestMachine {
        var machine = TestMachine(kernel: "7.3.4-acme")
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

    /// All that a capture holds, in order.
    static func listing(_ root: SystemRoot) -> [String] {
        var lines: [String] = []
        Snapshot.capture(root).forEach { path, content, _ in lines.append("\(path) \(content)") }
        return lines
    }

    @Test func isJudgedAsTheMachineIs() {
        for machine in [Self.machine(), .large(drives: 12), .large(drives: 8, isReadable: false)] {
            let captured = SystemRoot(Snapshot.capture(machine.root))
            #expect(Topology.judgement(of: captured) == Topology.judgement(of: machine.root))
            #expect(Self.listing(captured) == Self.listing(machine.root))
        }
    }

    @Test func isTheSameFromADirectory() {
        let folder = TemporaryFolder()
        let machine = TestMachine.large(drives: 12)
        machine.write(to: folder)
        #expect(Topology.judgement(of: folder.root) == Topology.judgement(of: machine.root))
        #expect(Self.listing(folder.root) == Self.listing(machine.root))
    }

    @Test func ofThisMachineIsJudgedAsItIs() {
        #expect(Topology.judgement(of: SystemRoot(Snapshot.capture(.live))) == Topology.judgement(of: .live))
    }

    @Test func keepsNoNumbersOfDevices() {
        var bytes: [UInt8] = []
        Snapshot.capture(.init(Self.machine().tree)).forEach { path, content, _ in
            bytes += Array(path.utf8)
            if case .file(let content, _) = content { bytes += content }
        }
        let text = bytes.map { ($0 < 16 ? "0" : "") + String($0, radix: 16) }.joined()
        // The serial number and the subsystem that every function of the test machine has.
        for secret in ["a1e7c25e", "a2e7c25e", "efbeadde"] { #expect(!text.contains(secret)) }
        func hexadecimal(_ word: String) -> String { word.utf8.map { String($0, radix: 16) }.joined() }
        for secret in ["acme", "uevent"] { #expect(!text.contains(hexadecimal(secret))) }
        for word in ["mlx5_0", "7.3.4-vendor"] { #expect(text.contains(hexadecimal(word))) }
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

    @Test func loopsOfLinksEnd() throws {
        var tree = CapturedTree()
        for (path, target) in [("a", "b"), ("b", "a"), ("self", "self/self"), ("up", "../../..")] {
            _ = tree.insert(.link(target), at: path)
        }
        _ = tree.insert(.directory, at: "z")
        for index in 0..<60 { _ = tree.insert(.link(index == 59 ? "z" : "c\(index + 1)"), at: "c\(index)") }
        _ = tree.insert(.link("0000:00:01.0"), at: "sys/bus/pci/devices/0000:00:01.0")
        let root = SystemRoot(tree)
        for path in ["a", "b", "a/b", "self", "self/self/x", "c0"] { #expect(root.realPath(path) == nil) }
        #expect(root.realPath("c30") == "/z")
        #expect(root.realPath("up") == "/")
        let topology = Topology(root: root)
        let address = try #require(PCIAddress("0000:00:01.0"))
        #expect(topology.route(from: address, to: address).verdict.mapType == .unknown)
    }

    @Test func aSubtreeIsARootOfItsOwn() throws {
        var tree = CapturedTree()
        _ = tree.insert(.file(bytes: [0x31, 10], claimedBytes: 2), at: "host/sys/x")
        _ = tree.insert(.link("../../outside"), at: "host/sys/out")
        _ = tree.insert(.file(bytes: [0x32], claimedBytes: 1), at: "outside")
        let root = SystemRoot(try #require(tree.subtree(at: "host")))
        #expect(root.attribute("sys/x") == "1" && root.entries("") == ["sys"])
        #expect(!root.exists("sys/out") && !root.exists("../outside") && !root.exists("outside"))
        #expect(root.realPath("sys/../../sys/x") == "/sys/x")
        #expect(tree.subtree(at: "outside") == nil)
    }
}
