// SPDX-License-Identifier: Apache-2.0

import PCITopology
import PeerMRCore
import Testing
import TestSupport

@testable import PCITopology

/// Files that are no snapshots, and snapshots of machines that cannot be: 110000, the same in every run.
@Suite struct SnapshotFuzzTests {
    private static let damaged = 95_000
    private static let sealed = 15_000

    private static func small() -> TestMachine {
        var machine = TestMachine()
        machine.function("0000:00:01.0", port: 4, acs: 0x1d)
        machine.named("mlx5_0", kind: "infiniband", on: "pci0000:00/0000:00:01.0")
        return machine
    }

    /// Damaged bytes: none is accepted unless nothing is damaged.
    @Test func damagedFiles() {
        let valid = Array(Snapshot.encode(Snapshot.capture(Self.small().root)).utf8)
        var generator = SeededGenerator(seed: 3)
        var wronglyAccepted = 0
        for _ in 0..<Self.damaged {
            let bytes = generator.mutated(valid)
            if (try? Snapshot.parse(bytes)) != nil, bytes != valid { wronglyAccepted += 1 }
        }
        #expect(wronglyAccepted == 0)
    }

    /// Damaged lines under a checksum that fits: what is accepted is read as a machine and judged, and nothing crashes.
    @Test func wellSealedNonsense() {
        let text = Snapshot.encode(Snapshot.capture(Self.small().root))
        let lines = text.split(separator: "\n").dropLast().map(String.init)
        var generator = SeededGenerator(seed: 4)
        var accepted = 0
        for _ in 0..<Self.sealed {
            var changed = lines
            for _ in 0...Int.random(in: 0...2, using: &generator) {
                let place = Int.random(in: 1..<changed.count, using: &generator)
                switch generator.next() % 4 {
                case 0: changed.remove(at: place)
                case 1: changed.swapAt(place, Int.random(in: 1..<changed.count, using: &generator))
                default:
                    let bytes = generator.mutated(Array(changed[place].utf8))
                    changed[place] = String(decoding: bytes, as: UTF8.self)
                }
            }
            guard let tree = try? Snapshot.parse(Array(Snapshot.sealed(changed).utf8)) else { continue }
            accepted += 1
            let topology = Topology(root: SystemRoot(tree))
            for function in topology.functions {
                _ = topology.route(fromRDMADevice: "mlx5_0", to: function.address)
            }
        }
        // The generator does reach the reader of the tree.
        #expect(accepted > Self.sealed / 20)
    }
}
