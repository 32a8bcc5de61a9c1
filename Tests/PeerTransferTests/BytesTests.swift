// SPDX-License-Identifier: Apache-2.0

import TestSupport
import Testing

@testable import PeerTransfer

@Suite struct BytesTests {
    @Test func integersAreLittleEndian() {
        var writer = ByteWriter()
        writer.put(UInt8(0x01))
        writer.put(UInt16(0x0203))
        writer.put(UInt32(0x0405_0607))
        writer.put(UInt64(0x08090a0b_0c0d0e0f))
        #expect(writer.bytes == [1, 3, 2, 7, 6, 5, 4, 15, 14, 13, 12, 11, 10, 9, 8])
    }

    @Test func everyIntegerSurvivesARoundTrip() {
        var random = SeededGenerator(seed: 50)
        for _ in 0..<10_000 {
            let value = random.next() >> (random.next() % 64)
            var writer = ByteWriter()
            writer.put(value)
            writer.put(UInt32(truncatingIfNeeded: value))
            writer.put(UInt16(truncatingIfNeeded: value))
            writer.put(UInt8(truncatingIfNeeded: value))
            var reader = ByteReader(writer.bytes)
            if reader.take(UInt64.self) != value
                || reader.take(UInt32.self) != UInt32(truncatingIfNeeded: value)
                || reader.take(UInt16.self) != UInt16(truncatingIfNeeded: value)
                || reader.take(UInt8.self) != UInt8(truncatingIfNeeded: value)
                || reader.take(UInt8.self) != nil
            {
                Issue.record("\(value)")
            }
        }
    }

    @Test func nothingIsReadPastTheEnd() {
        for count in 0..<8 {
            var reader = ByteReader([UInt8](repeating: 0xff, count: count))
            #expect(reader.take(UInt64.self) == nil)
            #expect(reader.take(UInt8.self) == (count > 0 ? 0xff : nil), "a failed read takes nothing")
        }
    }
}
