// SPDX-License-Identifier: Apache-2.0

import TestSupport
import Testing

@testable import Verbs

@Suite struct RegionKeysTests {
    private func keys(
        address: UInt64 = 0x7f00_0000_0000, byteCount: UInt64 = 16384, constraint: TransferConstraint = .any
    ) -> RegionKeys {
        RegionKeys(
            address: address, byteCount: byteCount, localKey: 0x11, remoteKey: 0x22, constraint: constraint)
    }

    @Test func anEntryHasTheRegionsAddressAndLocalKey() throws {
        let entry = try keys().element(at: 4096, count: 100)
        #expect(entry.address == 0x7f00_0000_1000)
        #expect(entry.count == 100)
        #expect(entry.key == 0x11)
    }

    @Test(arguments: [(0, 16384), (16383, 1), (16384, 0), (0, 0), (8192, 8192)] as [(UInt64, UInt64)])
    func whatLiesInsideIsAdmitted(_ offset: UInt64, _ count: UInt64) throws {
        #expect(UInt64(try keys().element(at: offset, count: count).count) == count)
    }

    @Test(
        arguments: [
            (0, 16385), (1, 16384), (16384, 1), (16385, 0), (UInt64.max, 1), (1, UInt64.max),
            (UInt64.max, UInt64.max), (UInt64.max - 99, 200),
        ] as [(UInt64, UInt64)])
    func whatLiesOutsideIsRefused(_ offset: UInt64, _ count: UInt64) {
        #expect(throws: SliceError.outOfBounds) { try keys().element(at: offset, count: count) }
    }

    @Test func oneWorkRequestCarriesAtMost32BitsOfLength() throws {
        let large = keys(byteCount: 1 << 40)
        #expect(try large.element(at: 0, count: 0xffff_ffff).count == 0xffff_ffff)
        #expect(throws: SliceError.outOfBounds) { try large.element(at: 0, count: 0x1_0000_0000) }
    }

    @Test func wholePagesAdmitOnlyWhatBeginsOnAPage() throws {
        let pages = keys(constraint: .wholePages)
        #expect(try pages.element(at: 0, count: 1).count == 1, "the last packet may be shorter")
        #expect(try pages.element(at: 8192, count: 5000).count == 5000)
        for offset: UInt64 in [1, 512, 4095, 4097, 12287] {
            #expect(throws: SliceError.misaligned) { try pages.element(at: offset, count: 1) }
        }
    }

    /// What the device sees is the address, not the offset.
    @Test func alignmentIsThatOfTheAddress() throws {
        let odd = keys(address: 0x7f00_0000_0200, constraint: .wholePages)
        #expect(throws: SliceError.misaligned) { try odd.element(at: 0, count: 1) }
        #expect(try odd.element(at: 4096 - 0x200, count: 1).address == 0x7f00_0000_1000)
    }

    @Test func theShapeComesBack() {
        #expect(keys(constraint: .wholePages).constraint == .wholePages)
        #expect(keys(constraint: .any).constraint == .any)
        let own = TransferConstraint(alignment: 64, pathMTUBytes: 1024)
        #expect(keys(constraint: own).constraint == own)
    }

    /// Against arithmetic that cannot overflow.
    @Test func boundsAgreeWithWideArithmetic() {
        var random = SeededGenerator(seed: 4)
        for _ in 0..<100_000 {
            let byteCount = random.next() >> (random.next() % 64)
            let offset = random.next() >> (random.next() % 64)
            let count = random.next() >> (random.next() % 64)
            let address = random.next() >> (random.next() % 64)
            let constraint = random.next() % 2 == 0 ? TransferConstraint.any : .wholePages
            let end = UInt128(offset) + UInt128(count)
            let isInside = end <= UInt128(byteCount) && count < 1 << 32
            let isAligned = (UInt128(address) + UInt128(offset)) % UInt128(constraint.alignment) == 0
            let expected: SliceError? = isInside ? (isAligned ? nil : .misaligned) : .outOfBounds
            var found: SliceError?
            do {
                _ = try keys(address: address, byteCount: byteCount, constraint: constraint)
                    .element(at: offset, count: count)
            } catch { found = error }
            if found != expected { Issue.record("\(address) \(byteCount) \(offset) \(count) \(constraint)") }
        }
    }

    @Test func anEntryIsLaidOutAsTheCType() {
        #expect(MemoryLayout<ScatterGatherElement>.size == 16)
        #expect(MemoryLayout<ScatterGatherElement>.offset(of: \.address) == 0)
        #expect(MemoryLayout<ScatterGatherElement>.offset(of: \.count) == 8)
        #expect(MemoryLayout<ScatterGatherElement>.offset(of: \.key) == 12)
        #expect(MemoryLayout<SliceError>.size == 1, "it is thrown on the data path")
    }
}

@Suite struct TransferShapeTests {
    @Test func alignmentsThatAreNoPowerOfTwoAreProgrammingErrors() async {
        await #expect(processExitsWith: .failure) {
            _ = TransferConstraint(alignment: 0, pathMTUBytes: 0)
        }
        await #expect(processExitsWith: .failure) {
            _ = TransferConstraint(alignment: 3, pathMTUBytes: 0)
        }
    }
}
