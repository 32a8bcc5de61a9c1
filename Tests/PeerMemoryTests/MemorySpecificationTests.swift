// SPDX-License-Identifier: Apache-2.0

import Glibc
import PCITopology
import PeerMRCore
import TestSupport
import Testing
import Verbs

@testable import PeerMemory

@Suite struct MemorySpecificationTests {
    // swift-format-ignore: NeverForceUnwrap
    private static let drive = PCIAddress("0000:03:00.0")!

    @Test func everyKind() throws {
        let drive = Self.drive
        func part(_ source: MemorySource) -> MemorySpecification {
            MemorySpecification(source, offset: 4096, byteCount: 65536)
        }
        let expected: [(String, MemorySpecification)] = [
            ("host:64K", MemorySpecification(.host, byteCount: 65536)),
            ("p2pmem:0000:03:00.0:16M", MemorySpecification(.p2pmem(drive), byteCount: 16 << 20)),
            ("p2pmem:03:00.0:1", MemorySpecification(.p2pmem(drive), byteCount: 1)),
            ("vfio:0000:03:00.0:2", MemorySpecification(.vfio(drive, bar: 2), byteCount: nil)),
            ("vfio:03:00.0:2:4K:64K", part(.vfio(drive, bar: 2))),
            ("udmabuf:2G", MemorySpecification(.udmabuf, byteCount: 2 << 30)),
            ("heap:system:1m", MemorySpecification(.heap(try DMAHeap("system")), byteCount: 1 << 20)),
            ("drm:card0:64K", MemorySpecification(.drm(card: "card0"), byteCount: 65536)),
            ("cuda:1:2M", MemorySpecification(.cuda(ordinal: 1), byteCount: 2 << 20)),
            ("fd:0", MemorySpecification(.descriptor(0), byteCount: nil)),
            ("fd:7:4096:65536", part(.descriptor(7))),
            ("nic:8K", MemorySpecification(.nic, byteCount: 8192)),
        ]
        #expect(Set(expected.map { $0.0.prefix { $0 != ":" } }).count == MemorySource.forms.count)
        for (text, specification) in expected {
            #expect(try MemorySpecification(text) == specification)
            #expect(try MemorySpecification("\(specification)") == specification)
        }
    }

    @Test(arguments: [
        ("", "names no kind", "udmabuf:SIZE"),
        (":64K", "names no kind", "udmabuf:SIZE"),
        ("ram:64K", "of a kind that there is not", "p2pmem:BDF:SIZE"),
        ("HOST:64K", "of a kind that there is not", "host:SIZE"),
        ("host", "ends where SIZE is expected", "write host:SIZE"),
        ("host:", "has nothing where SIZE", "write host:SIZE"),
        ("host:0", "has a SIZE of 0", "write host:SIZE"),
        ("host:-1", "no bytes", "write host:SIZE"),
        ("host:8E", "no bytes", "write host:SIZE"),
        ("host:9223372036854775808", "below 8 EiB", "write host:SIZE"),
        ("host:64K:1", "goes on where it should end", "write host:SIZE"),
        ("p2pmem:0000:03:00.0", "ends where SIZE", "write p2pmem:BDF:SIZE"),
        ("p2pmem:64K", "no PCI address", "write p2pmem:BDF:SIZE"),
        ("p2pmem:0000:03:00.8:64K", "no PCI address", "write p2pmem:BDF:SIZE"),
        ("vfio:03:00.0", "ends where BAR", "write vfio:BDF:BAR"),
        ("vfio:03:00.0:6", "no number from 0 to 5", "write vfio:BDF:BAR"),
        ("vfio:03:00.0:+1", "no number", "write vfio:BDF:BAR"),
        ("vfio:03:00.0:2:4096", "ends where SIZE", "write vfio:BDF:BAR"),
        ("vfio:03:00.0:2:0:0", "has a SIZE of 0", "write vfio:BDF:BAR"),
        ("heap:64K", "ends where SIZE", "write heap:NAME:SIZE"),
        ("heap::64K", "has nothing where NAME", "write heap:NAME:SIZE"),
        ("heap:a/b:64K", "no name of a file", "write heap:NAME:SIZE"),
        ("heap:..:64K", "no name of a file", "write heap:NAME:SIZE"),
        ("drm:a/b:64K", "no name of a file", "write drm:CARD:SIZE"),
        ("cuda:-1:64K", "no number from 0", "write cuda:ORDINAL:SIZE"),
        ("cuda:2147483648:64K", "no number from 0", "write cuda:ORDINAL:SIZE"),
        ("fd:-1", "no number from 0", "write fd:N"),
        ("fd:", "has nothing where N", "write fd:N"),
        ("fd:3:", "has nothing where OFFSET", "write fd:N"),
        ("fd:3:0", "ends where SIZE", "write fd:N"),
    ])
    func whatIsMalformed(_ text: String, _ reason: String, _ remedy: String) {
        let error = #expect(throws: PeerMRError.self) { _ = try MemorySpecification(text) }
        #expect(error?.code == .invalidArgument)
        #expect(error?.reason.contains(reason) == true, "\(error.map { "\($0)" } ?? "")")
        #expect(error?.remedy?.contains(remedy) == true, "\(error.map { "\($0)" } ?? "")")
    }

    @Test func whatTheUserWroteIsSafeToPrint() {
        let error = #expect(throws: PeerMRError.self) {
            _ = try MemorySpecification("host:\u{1b}[2J\n" + String(repeating: "x", count: 1000))
        }
        #expect(error?.reason.unicodeScalars.allSatisfy { $0.value >= 32 } == true)
        #expect(error.map { $0.reason.count < 250 } == true)
    }

    /// 20 000 texts, half of them with faults in them and half of fields at random: each is read so that it is written
    /// again as what it was, or is refused with a reason and a remedy. Nothing traps.
    @Test func faults() {
        let valid = [
            "host:64K", "p2pmem:0000:03:00.0:16M", "vfio:0000:03:00.0:2:4K:64K", "udmabuf:2G", "heap:system:1M",
            "cuda:1:2M", "fd:7:4096:65536", "nic:8K", "fd:18446744073709551615:0:9223372036854775807",
        ].map { Array($0.utf8) }
        var random = SeededGenerator(seed: 4)
        var (read, refused) = (0, 0)
        for round in 0..<20_000 {
            let text =
                round % 2 == 0
                ? String(decoding: random.mutated(valid[round % valid.count]), as: UTF8.self) : composed(&random)
            do throws(PeerMRError) {
                let specification = try MemorySpecification(text)
                read += 1
                #expect((try? MemorySpecification("\(specification)")) == specification, "\(text)")
            } catch {
                refused += 1
                #expect(error.code == .invalidArgument && !error.reason.isEmpty && error.remedy != nil)
            }
        }
        #expect(read > 500 && refused > 10_000, "\(read) read, \(refused) refused")
    }

    /// Fields that have a meaning somewhere, in any order.
    private func composed(_ random: inout SeededGenerator) -> String {
        let kinds = MemorySource.forms.map { $0.prefix { $0 != ":" } }
        let fields: [Substring] = [
            "64K", "0000:03:00.0", "03:00.0", "2", "system", "0", "-1", "", "9223372036854775807",
        ]
        let count = Int.random(in: 0...4, using: &random)
        let words = (0..<count).map { _ in fields[Int.random(in: 0..<fields.count, using: &random)] }
        return ([kinds[Int.random(in: 0..<kinds.count, using: &random)]] + words).joined(separator: ":")
    }

    @Test func hostMemoryIsOpened() throws {
        let memory = try MemorySpecification("host:5000").open()
        #expect(memory.kind == .host)
        #expect(memory.byteCount == 8192)
    }

    @Test func memoryOfTheDeviceNeedsTheDevice() {
        let error = #expect(throws: PeerMRError.self) { _ = try MemorySpecification("nic:4096").open() }
        #expect(error?.code == .notSupported)
    }

    @Test func aDescriptorStaysOpenWhereItIsRefused() throws {
        var ends: [Int32] = [-1, -1]
        try #require(pipe(&ends) == 0)
        defer { for end in ends { close(end) } }
        let error = #expect(throws: PeerMRError.self) { _ = try MemorySpecification("fd:\(ends[0])").open() }
        #expect(error?.reason.contains("is no dma-buf but pipe:[") == true)
        #expect(fcntl(ends[0], F_GETFD) >= 0)
    }
}
