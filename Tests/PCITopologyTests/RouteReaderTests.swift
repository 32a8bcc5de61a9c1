// SPDX-License-Identifier: Apache-2.0

import PCITopology
import SystemPackage
import PeerMRCore
import TestSupport
import Testing

/// The decision over trees of files, whole and damaged.
@Suite struct RouteReaderTests {
    private static let kernels = [(6, 1), (6, 12), (7, 2), (7, 3)]

    private func route(_ topology: Topology, _ model: KernelModel, _ a: Int, _ b: Int) -> Verdict {
        topology.route(from: model.functions[b].address, to: model.functions[a].address).verdict
    }

    /// Root buses that share a number cannot always be told apart in /proc/bus/pci/devices, which is all that a copy
    /// has.
    private func hasTwinBuses(_ model: KernelModel) -> Bool {
        let buses = Set(model.functions.map { [$0.address.domain, UInt32($0.address.bus)] })
        return model.hosts.contains { host in buses.filter { $0[1] == UInt32(host.bus.bus) }.count > 1 }
    }

    private func agrees(_ topology: Topology, _ model: KernelModel, _ a: Int, _ b: Int) -> Bool {
        let wanted = model.decide(provider: a, client: b)
        let found = route(topology, model, a, b)
        if hasTwinBuses(model), found.mapType == .unknown { return true }
        return found.mapType.rawValue == wanted.mapType.rawValue && found.distance == wanted.distance
    }

    @Test func agreesOn12FoldersOfFiles() {
        var random = SeededGenerator(seed: 12)
        var count = 0
        while count < 12 {
            let model = KernelModel.random(&random, kernels: Self.kernels)
            count += hasTwinBuses(model) ? 0 : 1
            let folder = TemporaryFolder()
            model.write(to: folder)
            let topology = Topology(root: folder.root)
            #expect(topology.functions.count == model.functions.count)
            for a in model.ends {
                for b in model.ends where !agrees(topology, model, a, b) {
                    Issue.record("\(a) \(b): \(route(topology, model, a, b)) in \(model)")
                    return
                }
            }
        }
    }

    // MARK: Damage

    /// Takes something away, so that less can be read, and nothing else than before.
    private func lose(
        _ files: inout [String: CapturedTree.Content], _ paths: [String],
        _ random: inout SeededGenerator
    ) -> String {
        guard let path = paths.randomElement(using: &random) else { return "" }
        let isConfig = path.hasSuffix("/config")
        switch (files[path], random.next() % 6) {
        case (.link, 0...2): files[path] = nil
        case (.link, 3): files[path] = .link("../../../devices/gone")
        case (.link, 4): files[path] = .link(String(path.split(separator: "/").last ?? ""))
        case (.link, _): files[path] = .file(bytes: [], claimedBytes: 0)
        case (.file, 0): files[path] = nil
        case (.file, 1): files[path] = .directory
        case (.file(_, let claimed), 2): files[path] = .file(bytes: [], claimedBytes: claimed)
        case (.file(let bytes, let claimed), 3):
            // As the kernel does without privilege, as a copy of that is, and as tar makes of it.
            let kept = Array(bytes.prefix(isConfig ? 64 : Int(random.next() % UInt64(bytes.count + 1))))
            switch isConfig ? random.next() % 3 : 0 {
            case 1: files[path] = .file(bytes: kept, claimedBytes: claimed)
            case 2 where kept.count == 64 && kept[6] & 0x10 != 0:
                let zeros = [UInt8](repeating: 0, count: claimed - kept.count)
                files[path] = .file(bytes: kept + zeros, claimedBytes: claimed)
            default: files[path] = .file(bytes: kept, claimedBytes: kept.count)
            }
        case (.file(let bytes, let claimed), _) where isConfig:
            let count = Int(random.next() % UInt64(bytes.count + 1))
            let cut = Array(bytes.prefix(count == 256 ? 255 : count))
            files[path] = .file(bytes: cut, claimedBytes: random.next() % 2 == 0 ? claimed : cut.count)
        case (.file, _): files[path] = .file(bytes: [], claimedBytes: 0)
        default: break
        }
        return path
    }

    /// What is still said is what was said before.
    @Test func neverAWrongAnswerIn1000TreesWithLosses() {
        var random = SeededGenerator(seed: 1_000)
        var known = 0
        var unknown = 0
        for number in 0..<1_000 {
            let model = KernelModel.random(&random, kernels: Self.kernels, most: 7)
            if model.ends.isEmpty { continue }
            var files = model.files()
            var damage: [String] = []
            let paths = files.keys.filter { $0 != "proc/bus/pci/devices" }.sorted()
            for _ in 0...(random.next() % 4) { damage.append(lose(&files, paths, &random)) }
            // A cut number of a release or a processor's family is another number, and looks whole.
            if damage.contains("proc/sys/kernel/osrelease") { files["proc/sys/kernel/osrelease"] = nil }
            let topology = Topology(root: KernelModel.captured(files))
            for _ in 0..<4 {
                guard let a = model.ends.randomElement(using: &random),
                    let b = model.ends.randomElement(using: &random)
                else { continue }
                let ends = [a, b].map { model.functions[$0].address }
                guard ends.allSatisfy({ topology.function(at: $0) != nil }) else { continue }
                let wanted = model.decide(provider: a, client: b)
                let found = route(topology, model, a, b)
                if let isSupported = found.isSupported {
                    known += 1
                    if isSupported != (wanted.mapType != .notSupported) {
                        Issue.record("tree \(number): \(damage): \(a) \(b): \(found), not \(wanted), in \(model)")
                        return
                    }
                } else {
                    unknown += 1
                }
                if found.mapType != .unknown, found.mapType.rawValue != wanted.mapType.rawValue {
                    Issue.record("tree \(number): \(damage): \(a) \(b): \(found), not \(wanted), in \(model)")
                    return
                }
            }
        }
        #expect(known > 1_000 && unknown > 100, "\(known) known, \(unknown) unknown")
    }

    /// Bytes, links and names at random: whatever comes out, it comes out.
    @Test func neverACrashIn1000ForgedTrees() {
        var random = SeededGenerator(seed: 1_001)
        var routes = 0
        for _ in 0..<1_000 {
            var files = KernelModel.random(&random, kernels: Self.kernels, most: 7).files()
            let paths = files.keys.sorted()
            for _ in 0...(random.next() % 6) {
                guard let path = paths.randomElement(using: &random),
                    let other = paths.randomElement(using: &random)
                else { continue }
                switch (files[path], random.next() % 4) {
                case (.file(let bytes, let claimed), 0...2):
                    let sizes = [claimed, 0, -1, 64, 256, 257, 4095, 4096, .max, .min]
                    files[path] = .file(
                        bytes: random.mutated(bytes),
                        claimedBytes: sizes.randomElement(using: &random) ?? 0)
                case (_, 0): files[path] = .link("../../../../\(other)")
                case (_, 1): files[path] = .link(String(decoding: random.bytes(upTo: 40), as: UTF8.self))
                default:
                    let name = String(decoding: random.bytes(upTo: 12), as: UTF8.self)
                    files["sys/bus/pci/devices/\(name)"] = files[other]
                }
            }
            let topology = Topology(root: KernelModel.captured(files))
            for function in topology.functions.prefix(5) {
                for other in topology.functions.suffix(3) {
                    let verdict = topology.route(from: function.address, to: other.address).verdict
                    routes += 1
                    if verdict.isSupported == nil, verdict.mapType == .notSupported { Issue.record("\(verdict)") }
                }
            }
        }
        #expect(routes > 2_000)
    }

    // MARK: Folders that no kernel makes

    @Test func anEmptyRootHasNoFunctions() {
        #expect(Topology(root: TemporaryFolder().root).functions.isEmpty)
        #expect(Topology(root: SystemRoot("/nowhere/at/all")).functions.isEmpty)
    }

    @Test func linksThatRunInACircle() {
        let folder = TemporaryFolder()
        folder.link("sys/bus/pci/devices/0000:00:01.0", to: "0000:00:02.0")
        folder.link("sys/bus/pci/devices/0000:00:02.0", to: "0000:00:01.0")
        folder.link("sys/bus/pci/devices/0000:00:03.0", to: ".")
        folder.link("sys/devices/pci0000:00/0000:00:04.0", to: "..")
        folder.link("sys/bus/pci/devices/0000:00:04.0", to: "../../../devices/pci0000:00/0000:00:04.0")
        folder.link("proc/cpuinfo", to: "cpuinfo")
        let topology = Topology(root: folder.root)
        #expect(topology.functions.isEmpty)
        #expect(topology.cpu == nil)
    }

    @Test func aPathThatNamesOneFunctionAgainAndAgain() {
        let folder = TemporaryFolder()
        let path = "sys/devices/pci0000:00" + String(repeating: "/0000:00:01.0", count: 60)
        folder.folder(path)
        folder.link("sys/bus/pci/devices/0000:00:01.0", to: "../../../../" + path)
        let topology = Topology(root: folder.root)
        for function in topology.functions {
            #expect(topology.route(from: function.address, to: function.address).verdict.isSupported != true)
        }
    }

    @Test func aDirectoryOf100000Names() {
        var tree = CapturedTree()
        for number in 0..<100_000 {
            let text = String(number, radix: 16)
            let name = String(repeating: "0", count: 6 - text.count) + text
            let address = "0\(name.prefix(3)):\(name.suffix(3).prefix(2)):00.0\(number % 3 == 0 ? "x" : "")"
            _ = tree.insert(.link("nowhere"), at: "sys/bus/pci/devices/\(address)")
        }
        #expect(Topology(root: SystemRoot(tree)).functions.isEmpty)
    }

    @Test func configurationInPieces() {
        func control(_ bytes: [UInt8], _ claimed: Int?) -> AccessControl {
            ConfigurationSpace(bytes: bytes, claimedBytes: claimed).accessControl
        }
        let plain = [UInt8](repeating: 0x01, count: 64)
        #expect(control(plain, 4096) == .unknown(.needsPrivilege), "without privilege 64 bytes come")
        #expect(control(plain, 256) == .absent, "there is no extended part to be read")
        #expect(control(plain, 64) == .unknown(.cutOff), "a copy of what came without privilege")
        #expect(control([], 0) == .unknown(.cutOff))
        #expect(control(plain, nil) == .unknown(.unreadable))
        #expect(control([UInt8](repeating: 0xff, count: 4096), 4096) == .unknown(.dead))
        var circle = [UInt8](repeating: 0, count: 4096)
        circle.replaceSubrange(0x100..<0x104, with: [0x01, 0x00, 0x01, 0x10])
        #expect(control(circle, 4096).redirects != true, "a list that points at itself")
    }

    /// What tar makes of files that show fewer bytes than they claim.
    @Test func zerosInPlaceOfWhatWasNotRead() {
        func space(_ bytes: [UInt8], kept: Int, claimed: Int = 4096) -> ConfigurationSpace {
            let zeros = [UInt8](repeating: 0, count: claimed)
            return ConfigurationSpace(
                bytes: Array((bytes.prefix(kept) + zeros.dropFirst(kept)).prefix(claimed)), claimedBytes: claimed)
        }
        var port = [UInt8](repeating: 0, count: 4096)
        port.replaceSubrange(0..<12, with: [0x36, 0x1b, 0x0c, 0, 0, 0, 0x10, 0, 0, 0, 0x04, 0x06])
        port[0x34] = 0x80
        port.replaceSubrange(0x80..<0x84, with: [0x10, 0, 0x42, 0])
        #expect(space(port, kept: 4096).accessControl == .absent, "its first extended header is zero")
        #expect(space(port, kept: 4096).portType == .rootPort)
        #expect(space(port, kept: 64).accessControl == .unknown(.needsPrivilege))
        #expect(space(port, kept: 64).portType == nil)
        #expect(space(port, kept: 64).classCode == 0x060400)
        #expect(space(port, kept: 64, claimed: 256).accessControl == .absent, "there is no extended part to be read")
        #expect(space(port, kept: 64, claimed: 256).portType == nil)
        #expect(space(port, kept: 0).accessControl == .unknown(.cutOff))
        #expect(space(port, kept: 0).portType == nil && space(port, kept: 0).classCode == nil)
        port.replaceSubrange(0x100..<0x108, with: [0x0d, 0, 1, 0, 0x1d, 0, 0x1d, 0])
        #expect(space(port, kept: 4096).accessControl == .control(ACSControl(rawValue: 0x1d)))
        #expect(space(port, kept: 64).accessControl == .unknown(.needsPrivilege))
        // A host bridge may claim an extended part and have no capabilities at all.
        port[6] = 0
        #expect(space(port, kept: 64).accessControl == .absent && space(port, kept: 64).portType == .conventional)
    }
}

extension RouteReaderTests {
    /// Access control services are found behind as many capabilities as fit, and a list that runs in a circle ends.
    @Test(arguments: [1, 3, 4, 50, 240])
    func aListOfCapabilitiesIsFollowedToItsEnd(_ before: Int) {
        var bytes = [UInt8](repeating: 0, count: 4096)
        (bytes[0], bytes[6], bytes[0x34]) = (0x86, 0x10, 0x40)
        (bytes[0x40], bytes[0x42]) = (0x10, 0x62)
        func put(_ identity: UInt8, at offset: Int, next: Int) {
            (bytes[offset], bytes[offset + 2]) = (identity, UInt8(next & 0xf) << 4 | 1)
            bytes[offset + 3] = UInt8(next >> 4)
        }
        for number in 0..<before { put(0x0b, at: 0x100 + 8 * number, next: 0x108 + 8 * number) }
        put(0x0d, at: 0x100 + 8 * before, next: 0)
        bytes[0x106 + 8 * before] = 0x1d
        let found = ConfigurationSpace(bytes: bytes, claimedBytes: 4096).accessControl
        #expect(found == .control(ACSControl(rawValue: 0x1d)))
        put(0x0b, at: 0x100 + 8 * before, next: 0x100)
        #expect(ConfigurationSpace(bytes: bytes, claimedBytes: 4096).accessControl == .unknown(.cutOff))
    }
}
