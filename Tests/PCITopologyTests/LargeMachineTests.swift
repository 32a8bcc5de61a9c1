// SPDX-License-Identifier: Apache-2.0

import PeerMRCore
import TestSupport
import Testing

@testable import PCITopology

/// Machines that are large, or that were made up to be.
@Suite struct LargeMachineTests {
    @Test func aMatrixInTwoBytesSaysWhatVerdictsSay() {
        for isReadable in [true, false] {
            let topology = Topology(root: TestMachine.large(drives: 40, isReadable: isReadable).root)
            // Bridges and what is not there, too.
            let ends = topology.functions.map(\.address) + [PCIAddress("0009:01:00.0")].compactMap(\.self)
            let verdicts = topology.verdicts(from: ends, to: ends)
            let matrix = topology.verdictMatrix(from: ends, to: ends)
            #expect(matrix.rows == ends.count && matrix.columns == ends.count)
            #expect((0..<matrix.rows).map { matrix[$0] } == verdicts)
            #expect(Set(matrix.distinct()) == Set(verdicts.joined()))
            let counts = matrix.counts { row, column in row == column }
            #expect(counts.values.reduce(0, +) == ends.count * (ends.count - 1))
        }
    }

    @Test func twoBytesHoldEveryVerdict() {
        for mapType in MapType.allCases {
            for answer in [nil, true, false] as [Bool?] {
                for distance in [-1, 0, 1, 4, 17, 640, 5000] {
                    let verdict = Verdict(mapType: mapType, isSupported: answer, distance: distance)
                    let matrix = VerdictMatrix(rows: 1, columns: 1) { _, _ in verdict }
                    #expect(matrix[0, 0] == verdict)
                }
            }
        }
    }

    private static func array(_ name: String, of parts: [String], in machine: inout TestMachine) {
        machine.stack(name, of: parts, md: "raid0")
    }

    /// Thirty arrays, each made of all others: ways without number lead from each to each.
    @Test func arraysOfEachOtherComeToAnEnd() {
        var machine = TestMachine()
        let names = (0..<30).map { "md\($0)" }
        for name in names { Self.array(name, of: names.filter { $0 != name }, in: &machine) }
        let topology = Topology(root: machine.root)
        #expect(names.allSatisfy { topology.blockDevices[$0] == .unreadable })
    }

    /// Each layer of the same ten arrays: what is found once is not looked for again.
    @Test func arraysThatShareTheirMembersAreFoundOnce() {
        var machine = TestMachine()
        machine.function("0000:01:00.0")
        machine.named("nvme0n1", kind: "block", on: "pci0000:00/0000:01:00.0")
        var below = ["nvme0n1"]
        for layer in 0..<8 {
            let names = (0..<10).map { "md\(layer)\($0)" }
            for name in names { Self.array(name, of: below, in: &machine) }
            below = names
        }
        let devices = Topology(root: machine.root).blockDevices
        let drive = [PCIAddress("0000:01:00.0")].compactMap(\.self)
        for layer in 0..<7 { #expect(devices["md\(layer)0"] == .array(level: "raid0", drive), "\(layer)") }
        // The answer about one device does not depend on what was looked at before it.
        for layer in 0..<8 {
            #expect(
                DeviceLinks.attachment(ofBlockDevice: "md\(layer)3", root: machine.root) == devices["md\(layer)3"])
        }
    }

    @Test func anArrayOfMoreThanMdTakesIsNotKnown() {
        for (count, isKnown) in [(2048, true), (2049, false)] {
            var machine = TestMachine()
            var names: [String] = []
            for number in 0..<count {
                let domain = String(number / 256 + 0x1000, radix: 16)
                let bus = String(number % 256 + 0x100, radix: 16).dropFirst()
                machine.function("\(domain):\(bus):00.0", bus: "\(domain):00")
                machine.named("nvme\(number)n1", kind: "block", on: "pci\(domain):00/\(domain):\(bus):00.0")
                names.append("nvme\(number)n1")
            }
            Self.array("md0", of: names, in: &machine)
            let found = DeviceLinks.attachment(ofBlockDevice: "md0", root: machine.root)
            #expect((found?.functions.count == count) == isKnown)
            #expect((found == .unreadable) == !isKnown)
        }
    }
}
