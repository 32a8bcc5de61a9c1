// SPDX-License-Identifier: Apache-2.0

import TestSupport
import Testing

@testable import PeerStorage

@Suite struct NamespaceFormatTests {
    /// An Identify Namespace data structure with these formats.
    private func structure(
        _ formats: [(metadata: UInt16, shift: UInt8)], flbas: UInt8
    ) -> [UInt8] {
        var bytes = [UInt8](repeating: 0, count: 4096)
        bytes[25] = UInt8(formats.count - 1)
        bytes[26] = flbas
        for (index, format) in formats.enumerated() {
            bytes[128 + 4 * index] = UInt8(truncatingIfNeeded: format.metadata)
            bytes[129 + 4 * index] = UInt8(format.metadata >> 8)
            bytes[130 + 4 * index] = format.shift
        }
        return bytes
    }

    @Test func theFormatInUseIsRead() {
        let formats: [(UInt16, UInt8)] = [(0, 9), (8, 9), (0, 12), (64, 12), (300, 12)]
        for (index, format) in formats.enumerated() {
            let found = NamespaceFormat(parsing: structure(formats, flbas: UInt8(index) | 0x10))
            #expect(found?.metadataBytes == Int(format.0))
            #expect(found?.blockBytes == 1 << Int(format.1))
        }
    }

    /// Bits 5 and 6 of FLBAS count only where there are more than 16 formats.
    @Test func theUpperBitsOfTheIndex() {
        var formats = [(metadata: UInt16, shift: UInt8)](repeating: (0, 9), count: 16)
        formats[1] = (8, 9)
        #expect(NamespaceFormat(parsing: structure(formats, flbas: 0x21))?.metadataBytes == 8)
        formats += Array(repeating: (0, 12), count: 20)
        formats[17] = (16, 12)
        #expect(NamespaceFormat(parsing: structure(formats, flbas: 0x21))?.metadataBytes == 16)
    }

    @Test func whatMakesNoSenseIsNone() {
        #expect(NamespaceFormat(parsing: []) == nil)
        #expect(NamespaceFormat(parsing: structure([(0, 9)], flbas: 1)) == nil, "an index beyond the formats")
        #expect(NamespaceFormat(parsing: structure([(0, 8)], flbas: 0)) == nil, "a block of 256 bytes")
        #expect(NamespaceFormat(parsing: structure([(0, 40)], flbas: 0)) == nil)
        var random = SeededGenerator(seed: 90)
        for _ in 0..<2000 { _ = NamespaceFormat(parsing: random.bytes(exactly: 4096)) }
    }
}
