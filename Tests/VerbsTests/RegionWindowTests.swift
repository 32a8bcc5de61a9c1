// SPDX-License-Identifier: Apache-2.0

import TestSupport
import Testing

@testable import Verbs

@Suite struct RegionWindowTests {
    private func window(
        address: UInt64 = 0x7f00_0000_0000, byteCount: UInt64 = 16384, shape: TransferShape = .any
    ) -> RegionWindow {
        RegionWindow(
            address: address, byteCount: byteCount, localKey: 0x11, remoteKey: 0x22, shape: shape)
    }

    @Test func anEntryHasTheRegionsAddressAndLocalKey() throws {
        let entry = try window().entry(at: 4096, count: 100)
        #expect(entry.address == 0x7f00_0000_1000)
        #expect(entry.count == 100)
        #expect(entry.key == 0x11)
    }

    @Test(arguments: [(0, 16384), (16383, 1), (16384, 0), (0, 0), (8192, 8192)] as [(UInt64, UInt64)])
    func whatLiesInsideIsAdmitted(_ offset: UInt64, _ count: UInt64) throws {
        #expect(UInt64(try window().entry(at: offset, count: count).count) == count)
    }

    @Test(
        arguments: [
            (0, 16385), (1, 16384), (16384, 1), (16385, 0), (UInt64.max, 1), (1, UInt64.max),
            (UInt64.max, UInt64.max), (UInt64.max - 99, 200),
        ] as [(UInt64, UInt64)])
    func whatLiesOutsideIsRefused(_ offset: UInt64, _ count: UInt64) {
        #expect(throws: SliceError.outOfBounds) { try window().entry(at: offset, count: count) }
    }

    @Test func oneWorkRequestCarriesAtMost32BitsOfLength() throws {
        let large = window(byteCount: 1 << 40)
        #expect(try large.entry(at: 0, count: 0xffff_ffff).count == 0xffff_ffff)
        #expect(throws: SliceError.outOfBounds) { try large.entry(at: 0, count: 0x1_0000_0000) }
    }

    @Test func wholePagesAdmitOnlyWhatBeginsOnAPage() throws {
        let pages = window(shape: .wholePages)
        #expect(try pages.entry(at: 0, count: 1).count == 1, "the last packet may be shorter")
        #expect(try pages.entry(at: 8192, count: 5000).count == 5000)
        for offset: UInt64 in [1, 512, 4095, 4097, 12287] {
            #expect(throws: SliceError.misaligned) { try pages.entry(at: offset, count: 1) }
        }
    }

    /// What the device sees is the address, not the offset.
    @Test func alignmentIsThatOfTheAddress() throws {
        let odd = window(address: 0x7f00_0000_0200, shape: .wholePages)
        #expect(throws: SliceError.misaligned) { try odd.entry(at: 0, count: 1) }
        #expect(try odd.entry(at: 4096 - 0x200, count: 1).address == 0x7f00_0000_1000)
    }

    @Test func theShapeComesBack() {
        #expect(window(shape: .wholePages).shape == .wholePages)
        #expect(window(shape: .any).shape == .any)
        let own = TransferShape(alignment: 64, pathMTUBytes: 1024)
        #expect(window(shape: own).shape == own)
    }

    /// Against arithmetic that cannot overflow.
    @Test func boundsAgreeWithWideArithmetic() {
        var random = SeededGenerator(seed: 4)
        for _ in 0..<100_000 {
            let byteCount = random.next() >> (random.next() % 64)
            let offset = random.next() >> (random.next() % 64)
            let count = random.next() >> (random.next() % 64)
            let address = random.next() >> (random.next() % 64)
            let shape = random.next() % 2 == 0 ? TransferShape.any : .wholePages
            let end = UInt128(offset) + UInt128(count)
            let isInside = end <= UInt128(byteCount) && count < 1 << 32
            let isAligned = (UInt128(address) + UInt128(offset)) % UInt128(shape.alignment) == 0
            let expected: SliceError? = isInside ? (isAligned ? nil : .misaligned) : .outOfBounds
            var found: SliceError?
            do {
                _ = try window(address: address, byteCount: byteCount, shape: shape)
                    .entry(at: offset, count: count)
            } catch { found = error }
            if found != expected { Issue.record("\(address) \(byteCount) \(offset) \(count) \(shape)") }
        }
    }

    @Test func anEntryIsLaidOutAsTheCType() {
        #expect(MemoryLayout<ScatterEntry>.size == 16)
        #expect(MemoryLayout<ScatterEntry>.offset(of: \.address) == 0)
        #expect(MemoryLayout<ScatterEntry>.offset(of: \.count) == 8)
        #expect(MemoryLayout<ScatterEntry>.offset(of: \.key) == 12)
        #expect(MemoryLayout<SliceError>.size == 1, "it is thrown on the data path")
    }
}

@Suite struct TransferShapeTests {
    @Test func alignmentsThatAreNoPowerOfTwoAreProgrammingErrors() async {
        await #expect(processExitsWith: .failure) {
            _ = TransferShape(alignment: 0, pathMTUBytes: 0)
        }
        await #expect(processExitsWith: .failure) {
            _ = TransferShape(alignment: 3, pathMTUBytes: 0)
        }
    }
}
