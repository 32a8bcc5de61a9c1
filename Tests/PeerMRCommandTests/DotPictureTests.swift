// SPDX-License-Identifier: Apache-2.0

import CommandSupport
import Foundation
import FoundationXML
import PCITopology
import PeerMRCore
import TestSupport
import Testing
import SystemPackage

@testable import PeerMRCommand

/// The picture of a machine of 8 GPUs, 8 NICs and 8 drives below four switches.
@Suite struct DotPictureTests {
    private static func machine() -> TestMachine {
        var machine = TestMachine()
        for index in 0..<4 {
            let (port, bus) = ("0000:00:0\(index + 1).0", "0000:\(index + 1)")
            machine.bridge(port, port: 4, acs: 0)
            machine.bridge("\(bus)0:00.0", below: [port], port: 5)
            for slot in 0..<6 {
                let down = "\(bus)1:0\(slot).0"
                let (way, address) = ([port, "\(bus)0:00.0", down], "\(bus)\(slot + 2):00.0")
                machine.bridge(down, below: [port, "\(bus)0:00.0"], port: 6, acs: index == 3 ? 0x1d : 0)
                let place = (["pci0000:00"] + way + [address]).joined(separator: "/")
                let name = "\(2 * index + slot % 2)"
                switch slot / 2 {
                case 0: machine.function(address, below: way, classCode: 0x030200, driver: "nvidia")
                case 1:
                    machine.function(address, below: way, classCode: 0x020700, driver: "mlx5_core")
                    machine.named("mlx5_\(name)", kind: "infiniband", on: place)
                default:
                    machine.function(address, below: way, pool: 16 << 20)
                    machine.named("nvme\(name)n1", kind: "block", on: place)
                }
            }
        }
        return machine
    }

    private func lines(_ text: String, _ part: String) -> Int {
        text.split(separator: "\n").count { $0.contains(part) }
    }

    @Test func alikeFunctionsShareABoxAndNoLineIsDrawnUnasked() throws {
        let matrix = Matrix(Machine(Self.machine().root), all: false)
        let text = DotPicture(matrix, routesOf: []).text
        // A host bridge, and four times a root port, a switch, and a box for GPUs, NICs and drives each.
        #expect(lines(text, " [label=\"") == 1 + 4 * 5)
        #expect(lines(text, "constraint=false") == 0)
        #expect(text.contains("switch, 6 ports in use") && text.contains("ACS redirects"))
        // 8 NICs and 8 drives, 8 GPUs and 8 drives: three switches alike, and one that redirects.
        #expect(matrix.clients.count == 16 && matrix.providers.count == 16)
        let cells = text.components(separatedBy: "<td bgcolor=").count - 1
        #expect(cells == 5 + 2, "within one of three, between them, to and from the fourth, in it; two of the legend")
        for name in ["mlx5_0 … mlx5_5", "within one place", "mlx5_7", "nvme0n1", "BUS:4", "by bus address", "refused"] {
            #expect(text.contains(name), "\(name)")
        }
    }

    @Test func oneClientHasALineToEachSwitch() throws {
        let matrix = Matrix(Machine(Self.machine().root), all: false)
        let nic = try #require(PCIAddress("0000:14:00.0"))
        let text = DotPicture(matrix, routesOf: [nic]).text
        #expect(lines(text, "constraint=false") == 4 && lines(text, "\"0000:14:00.0\" -> ") == 4)
        #expect(lines(text, "label=\"by bus address (4)\"") == 1, "that of its own switch: two GPUs and two drives")
        #expect(lines(text, "label=\"refused (4)\"") == 3)
    }

    @Test func graphvizDrawsIt() throws {
        let folder = TemporaryFolder()
        Self.machine().write(to: folder)
        let place = ["--root", folder.path.string]
        let svg = try Tool.run(["topology", "--svg", "--client", "mlx5_0", "--client", "nvme7n1"] + place)
        #expect(svg.status == 0 && XMLParser(data: Data(svg.output.utf8)).parse())
        #expect(svg.output.contains("mlx5_0") && svg.output.contains("refused"))
        #expect(try Tool.run(["topology", "--client", "mlx5_0"] + place).status == 2, "without a picture")
        let other = try Tool.run(["topology", "--dot", "--client", "no_such"] + place)
        #expect(other.status == 2 && other.complaint.contains("no_such"))
        let gpu = try Tool.run(["topology", "--dot", "--client", "0000:12:00.0"] + place)
        #expect(gpu.status == 2 && gpu.complaint.contains("no PCI function that is a client"))
    }
}
