// SPDX-License-Identifier: Apache-2.0

import MachineArchive
import PCITopology
import PeerMRCore
import SystemPackage
import TestSupport
import Testing

/// A captured machine comes out of an archive as it went in.
@Suite struct RoundTripTests {
    /// A function without an extended part, read without privilege; one that is gone; a switch.
    static func machine() -> TestMachine {
        var machine = TestMachine()
        machine.function("0000:00:00.0", vendor: 0x8086, device: 0x2020, classCode: 0x060000, driver: nil)
        machine.bridge("0000:00:01.0", port: 4, acs: 0x1d)
        machine.bridge("0000:01:00.0", below: ["0000:00:01.0"], port: 5, isReadable: false)
        machine.function("0000:02:00.0", below: ["0000:00:01.0", "0000:01:00.0"], pool: 1 << 24, group: "3")
        machine.function("0000:00:02.0", isReadable: false)
        machine.named("mlx5_0", kind: "infiniband", on: "pci0000:00/0000:00:02.0")
        machine.named("rxe0", kind: "infiniband", on: nil)
        machine.named("nvme0n1", kind: "block", on: "pci0000:00/0000:00:01.0/0000:01:00.0/0000:02:00.0")
        return machine
    }

    @Test(arguments: Compression.allCases)
    func isJudgedAsTheMachineIs(_ compression: Compression) throws {
        let folder = TemporaryFolder()
        for machine in [Self.machine(), .large(drives: 12), .large(drives: 8, isReadable: false)] {
            let captured = Snapshot.capture(machine.root)
            let path = folder.path.appending("machine")
            let written = try MachineArchive.write(captured, to: path, compression: compression)
            let read = try MachineArchive.read(path)
            #expect(Topology.judgement(of: SystemRoot(read)) == Topology.judgement(of: machine.root))
            #expect(read.listing.filter { !$0.hasPrefix("peermr/checksum") } == captured.listing)
            #expect(written.entries == read.listing.count)
            #expect(Snapshot.capture(SystemRoot(read)).listing == captured.listing)
        }
    }

    @Test func ofThisMachineIsJudgedAsItIs() throws {
        let folder = TemporaryFolder()
        let path = folder.path.appending("here.tar.gz")
        try MachineArchive.write(Snapshot.capture(.live), to: path, compression: .gzip)
        #expect(Topology.judgement(of: SystemRoot(try MachineArchive.read(path))) == Topology.judgement(of: .live))
    }

    @Test func theSameMachineMakesTheSameBytes() throws {
        let folder = TemporaryFolder()
        for name in ["a", "b"] {
            try MachineArchive.write(
                Snapshot.capture(Self.machine().root), to: folder.path.appending(name), compression: .gzip)
        }
        #expect(folder.root.contents("a", limit: 1 << 20) == folder.root.contents("b", limit: 1 << 20))
    }

    /// Whatever directories are above, and whatever else is beside: what hwloc-gather-topology and tar make.
    @Test(arguments: ["", "./", "host/", "/", "home/me/host/"])
    func sysAndProcAreFound(_ above: String) throws {
        var tar = TarBytes()
        tar.add("\(above)run/udev/data/x", "0", [1])
        let processor = "processor\t: 0\nvendor_id\t: AuthenticAMD\ncpu family\t: 25\n"
        tar.add("\(above)proc/cpuinfo", "0", Array(processor.utf8))
        tar.add("\(above)sys/devices/system/node/node0/x", "0", [1])
        tar.add("\(above)sys/bus/pci/devices/0000:00:01.0", "2", link: "../../../devices/pci0000:00/0000:00:01.0")
        tar.add("\(above)sys/devices/pci0000:00/0000:00:01.0/vendor", "0", Array("0x8086\n\0\0\0\0".utf8))
        tar.end()
        let topology = Topology(root: SystemRoot(try ArchiveFile().read(tar.bytes)))
        #expect(topology.cpu?.family == 25)
        #expect(topology.functions.map(\.vendor) == [0x8086])
    }

    @Test(arguments: [
        ("a.tar", Compression.none), ("a.tar.xz", .xz), ("a.tgz", .gzip), ("a.tar.zst", .zstd), ("a", .gzip),
    ])
    func theNameTellsTheCompression(_ name: String, _ compression: Compression) {
        #expect(Compression(forFile: name) == compression)
    }

    /// tar fills a file up with zeros that shows fewer bytes than it claims: configuration space without privilege.
    @Test(arguments: [true, false])
    func zerosOfTarAreNotRead(_ isReadable: Bool) throws {
        func packed(_ tree: CapturedTree) throws -> SystemRoot {
            var tar = TarBytes()
            tree.forEach { path, content, isEmpty in
                switch content {
                case .directory: if isEmpty { tar.add(path, "5") }
                case .link(let target): tar.add(path, "2", link: target)
                case .file(let bytes, let claimed):
                    tar.add(path, "0", bytes + [UInt8](repeating: 0, count: claimed - bytes.count))
                }
            }
            tar.end()
            return SystemRoot(try ArchiveFile().read(tar.bytes))
        }
        for machine in [TestMachine.large(drives: 8, isReadable: isReadable), Self.machine()] {
            let root = try packed(machine.tree)
            #expect(Topology.judgement(of: root) == Topology.judgement(of: machine.root))
            #expect(Topology.judgement(of: SystemRoot(Snapshot.capture(root))) == Topology.judgement(of: machine.root))
        }
    }

    /// What could not be read stays unknown: it does not become zero.
    @Test func whatIsUnknownStaysUnknown() throws {
        let folder = TemporaryFolder()
        let path = folder.path.appending("machine.tar")
        try MachineArchive.write(Snapshot.capture(Self.machine().root), to: path, compression: .none)
        let topology = Topology(root: SystemRoot(try MachineArchive.read(path)))
        let address = try #require(PCIAddress("0000:01:00.0"))
        #expect(topology.function(at: address)?.accessControl == .unknown(.needsPrivilege))
    }
}
