// SPDX-License-Identifier: Apache-2.0

import Foundation
import PeerMRCore
import Testing

@testable import PCITopology

/// The rows and the evidence of this project against the kernels of the lab: their type information, and the list itself
/// as it stands in their images. `Tests/kernels.py` names them.
@Suite struct LabKernelTests {
    private static let names = (ProcessInfo.processInfo.environment["PEERMR_LAB_KERNELS"] ?? "")
        .split(separator: ":").map(String.init)

    /// A release and an image: `7.3.4+deb13-amd64=PATH`.
    @Test(.enabled(if: !names.isEmpty), arguments: names)
    func theListOfAKernel(_ name: String) throws {
        let parts = name.split(separator: "=", maxSplits: 1).map(String.init)
        try #require(parts.count == 2)
        let kernel = try #require(KernelIdentity(release: parts[0]))
        let image = Image([UInt8](try Data(contentsOf: URL(fileURLWithPath: parts[1]))))
        let rows = image.rows
        let evidence = image.section(".BTF").flatMap { TypeInformation($0) }.map { KernelEvidence($0) }
        print("figure: \(parts[0]): \(rows?.count ?? 0) rows, \(String(describing: evidence?.hostBridges))")
        guard let rows else {
            #expect(evidence?.hasDecision != true && evidence?.hostBridges == nil, "no list, no decision")
            return
        }
        if let evidence {
            #expect(evidence.hasDecision && !evidence.hasDirectionalACS)
            #expect(evidence.hostBridges == .init(entryBytes: image.entryBytes, count: rows.count + 1))
            compare(rows, HostBridgeRules(kernel: nil, layout: evidence.hostBridges), mayBeUnknown: false)
            compare(rows, HostBridgeRules(kernel: kernel, layout: evidence.hostBridges), mayBeUnknown: false)
        }
        // Of a kernel whose number is what it is, the version alone tells the same, as far as it tells.
        compare(rows, HostBridgeRules(kernel: kernel, layout: nil), mayBeUnknown: kernel.origin == .vendor)
    }

    private func compare(_ rows: [Image.Row], _ rules: HostBridgeRules, mayBeUnknown: Bool) {
        var wanted = HostBridgeList.all.map { ($0.vendor, $0.device ?? 0x1234) }
        wanted += rows.map { ($0.vendor, $0.device ?? 0x4321) } + [(0x8086, 0x29c0), (0x1022, 0x1480)]
        for (vendor, device) in wanted {
            let row = rows.first { $0.vendor == vendor && ($0.device == nil || $0.device == device) }
            let listing: HostBridgeRules.Listing =
                row.map { .listed(sameBridgeOnly: $0.sameBridgeOnly) } ?? .notListed
            let found = rules.look(up: vendor, device).listing
            if mayBeUnknown, found == .unknown { continue }
            #expect(found == listing, "\(String(vendor, radix: 16)):\(String(device, radix: 16))")
        }
    }
}

/// A kernel's image: an ELF file of 64 bits, of this machine's order of bytes.
private struct Image {
    struct Row {
        let vendor: UInt16
        let device: UInt16?
        let sameBridgeOnly: Bool
    }

    let bytes: Data
    /// The rows of the list; nil where there is none.
    private(set) var rows: [Row]?
    private(set) var entryBytes = 0

    init(_ bytes: [UInt8]) {
        self.bytes = Data(bytes)
        // The first two rows: 8086:3c00 and 3c01, one bridge only; a device is 16 bits, or 32 since one may be any.
        for (size, device) in [(8, 2), (12, 4)] {
            func row(_ number: UInt16) -> [UInt8] {
                let identity: [UInt8] = [0x86, 0x80] + (device == 4 ? [0, 0] : [])
                let low: [UInt8] = [UInt8(number & 0xff), UInt8(number >> 8)] + (device == 4 ? [0, 0] : [])
                return identity + low + [1, 0, 0, 0]
            }
            guard let place = self.bytes.range(of: Data(row(0x3c00) + row(0x3c01)))?.lowerBound else { continue }
            entryBytes = size
            rows = Self.rows(self.bytes, at: place, size)
        }
    }

    private static func rows(_ bytes: Data, at place: Int, _ size: Int) -> [Row] {
        var rows: [Row] = []
        var place = place
        while place + size <= bytes.count, rows.count < 1_000 {
            let vendor = UInt16(number(bytes, place, 2))
            if vendor == 0 { break }
            let device = size == 8 ? number(bytes, place + 2, 2) : number(bytes, place + 4, 4)
            rows.append(
                Row(
                    vendor: vendor, device: device > 0xffff ? nil : UInt16(device),
                    sameBridgeOnly: number(bytes, place + size - 4, 4) & 1 != 0))
            place += size
        }
        return rows
    }

    private static func number(_ bytes: Data, _ offset: Int, _ count: Int) -> Int {
        (0..<count).reversed().reduce(0) { $0 << 8 | Int(bytes[offset + $1]) }
    }

    /// The bytes of a section of the ELF file; nil where there is none.
    func section(_ name: String) -> [UInt8]? {
        func number(_ offset: Int, _ count: Int) -> Int { Self.number(bytes, offset, count) }
        guard bytes.count > 64, bytes.prefix(5) == Data([0x7f, 0x45, 0x4c, 0x46, 2]) else { return nil }
        let (table, size, count, names) = (number(0x28, 8), number(0x3a, 2), number(0x3c, 2), number(0x3e, 2))
        guard table > 0, table + size * count <= bytes.count else { return nil }
        let strings = number(table + size * names + 0x18, 8)
        for index in 0..<count {
            let header = table + size * index
            let start = strings + number(header, 4)
            guard bytes[start...].prefix(while: { $0 != 0 }) == Data(name.utf8) else { continue }
            let (offset, length) = (number(header + 0x18, 8), number(header + 0x20, 8))
            return [UInt8](bytes[offset..<offset + length])
        }
        return nil
    }
}
