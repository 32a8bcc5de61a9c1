// SPDX-License-Identifier: Apache-2.0

import MachineArchive
import PCITopology
import PeerMRCore
import SystemPackage
import TestSupport
import Testing

/// Damaged archives of our own: none makes another machine. The same damage in every run.
@Suite struct DamageTests {
    /// How many damaged archives of each compression: 95000.
    private static let damaged: [(Compression, Int)] = [
        (.none, 42_000), (.gzip, 30_000), (.zstd, 15_000), (.xz, 4_000), (.bzip2, 4_000),
    ]
    /// How many archives of others in each of three parts, which run side by side: 15000.
    private static let ofOthers = 5_000

    private static func bytes(_ tree: CapturedTree, _ compression: Compression) throws -> [UInt8] {
        let folder = TemporaryFolder()
        try MachineArchive.write(tree, to: folder.path.appending("a"), compression: compression)
        return try #require(folder.root.contents("a", limit: 1 << 20))
    }

    private static func tiny() -> CapturedTree {
        var tree = CapturedTree()
        _ = tree.insert(.file(bytes: Array("7.3.0\n".utf8), claimedBytes: 6), at: "proc/sys/kernel/osrelease")
        _ = tree.insert(.file(bytes: [1, 2, 3], claimedBytes: 4096), at: "sys/config")
        _ = tree.insert(.link("../config"), at: "sys/bus/link")
        _ = tree.insert(.file(bytes: [10], claimedBytes: 1), at: "peermr/first-devices")
        return tree
    }

    private static func small() -> CapturedTree {
        var machine = TestMachine()
        machine.function("0000:00:01.0", port: 4, acs: 0x1d)
        machine.named("mlx5_0", kind: "infiniband", on: "pci0000:00/0000:00:01.0")
        return Snapshot.capture(machine.root)
    }

    @Test(arguments: [Compression.none, .gzip, .zstd])
    func everyTruncationIsRefused(_ compression: Compression) throws {
        let whole = try Self.bytes(Self.tiny(), compression)
        let file = ArchiveFile()
        let listing = try file.read(whole).listing
        for count in 0..<whole.count {
            // Of the end of a tar archive nothing is missed: it is zeros.
            if let read = try? file.read(Array(whole[..<count])) { #expect(read.listing == listing, "\(count)") }
            if compression == .none, count < whole.count - 1536 {
                #expect(throws: PeerMRError.self) { try file.read(Array(whole[..<count])) }
            }
        }
    }

    @Test(arguments: [Compression.none, .gzip, .zstd])
    func noFlippedBitMakesAnotherMachine(_ compression: Compression) throws {
        var bytes = try Self.bytes(Self.tiny(), compression)
        let file = ArchiveFile()
        let listing = try file.read(bytes).listing
        var refused = 0
        for place in bytes.indices {
            for bit in 0..<8 {
                bytes[place] ^= 1 << bit
                if let read = try? file.read(bytes) {
                    #expect(read.listing == listing, "byte \(place), bit \(bit)")
                } else {
                    refused += 1
                }
                bytes[place] ^= 1 << bit
            }
        }
        #expect(refused > bytes.count)
    }

    @Test(arguments: damaged)
    func noDamagedFileMakesAnotherMachine(_ compression: Compression, _ count: Int) throws {
        let valid = try [Self.tiny(), Self.small()].map { try Self.bytes($0, compression) }
        let file = ArchiveFile()
        let listings = try valid.map { try file.read($0).listing }
        var generator = SeededGenerator(seed: 3)
        for round in Fuzz.inputs(count, "damaged snapshots") {
            let which = round % 25 == 0 ? 1 : 0
            let bytes = generator.mutated(valid[which])
            guard let read = try? file.read(bytes), read.listing != listings[which] else { continue }
            Issue.record("round \(round): \(read.listing)")
            return
        }
    }

    /// Archives without a checksum, as others make them: what is accepted is judged as a machine, and nothing crashes.
    @Test(arguments: [4, 5, 6] as [UInt64])
    func nonsenseOfOthersIsJudged(_ seed: UInt64) throws {
        var entries: [Entry] = []
        Self.small().forEach { path, content, isEmpty in
            if !path.hasPrefix("peermr"), content != .directory || isEmpty { entries.append(Entry(path, content)) }
        }
        let file = ArchiveFile()
        var generator = SeededGenerator(seed: seed)
        var accepted = 0
        for _ in Fuzz.inputs(Self.ofOthers, "archives of others") {
            var changed = entries
            for _ in 0...Int.random(in: 0...2, using: &generator) {
                let place = Int.random(in: changed.indices, using: &generator)
                changed[place] = changed[place].mutated(&generator)
                if generator.next() % 4 == 0 {
                    changed.swapAt(place, Int.random(in: changed.indices, using: &generator))
                }
            }
            let bytes = changed.flatMap(\.bytes) + [UInt8](repeating: 0, count: 1024)
            guard let tree = try? file.read(bytes) else { continue }
            accepted += 1
            let topology = Topology(root: SystemRoot(tree))
            for function in topology.functions {
                _ = topology.route(fromRDMADevice: "mlx5_0", to: function.address)
            }
        }
        #expect(accepted > Self.ofOthers / 20)
    }
}

/// An entry of an archive, and its bytes in one.
private struct Entry {
    let path: String
    let content: CapturedTree.Content
    let bytes: [UInt8]

    init(_ path: String, _ content: CapturedTree.Content) {
        self.path = path
        self.content = content
        var tar = TarBytes()
        switch content {
        case .directory: tar.add(path, "5")
        case .link(let target): tar.add(path, "2", link: target)
        case .file(let bytes, _): tar.add(path, "0", bytes)
        }
        bytes = tar.bytes
    }

    func mutated(_ generator: inout SeededGenerator) -> Entry {
        func text(_ old: String) -> String { String(decoding: generator.mutated(Array(old.utf8)), as: UTF8.self) }
        switch (content, generator.next() % 3) {
        case (_, 0): return Entry(text(path), content)
        case (.link(let target), _): return Entry(path, .link(text(target)))
        case (.file(let bytes, _), _):
            let new = generator.mutated(bytes)
            return Entry(path, .file(bytes: new, claimedBytes: new.count))
        case (.directory, _): return Entry(path, .file(bytes: [], claimedBytes: 0))
        }
    }
}
