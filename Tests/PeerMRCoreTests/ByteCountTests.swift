// SPDX-License-Identifier: Apache-2.0

import PeerMRCore
import TestSupport
import Testing

@Suite struct ByteCountTests {
    @Test(arguments: [
        ("0", 0), ("1", 1), ("4096", 4096), ("512b", 512), ("64K", 65536), ("64k", 65536),
        ("64KiB", 65536), ("16M", 16 << 20), ("3mib", 3 << 20), ("2G", 2 << 30), ("1T", 1 << 40),
        ("007", 7), ("9223372036854775807", UInt64(Int64.max)), ("8388607T", 8_388_607 << 40),
    ] as [(String, UInt64)])
    func readsWhatPeopleWrite(_ text: String, _ count: UInt64) {
        #expect(ByteCount.parse(text) == count)
    }

    @Test(arguments: [
        "", " ", "K", "-1", "+1", "1 K", " 1", "1KB", "1kk", "0x10", "1e3", "1.5M", "1,000", "٣", "½",
        "NaN", "1\n", "1\0",
    ])
    func refusesWhatIsMalformed(_ text: String) {
        #expect(ByteCount.parse(text) == nil)
    }

    @Test(arguments: [
        "9223372036854775808", "18446744073709551616", "9007199254740992K", "8589934592G", "8388608T",
        "99999999999999999999999999999999999T",
    ])
    func refusesWhatDoesNotFit63Bits(_ text: String) {
        #expect(ByteCount.parse(text) == nil)
    }

    @Test(arguments: [
        (0, "0 B"), (512, "512 B"), (1023, "1023 B"), (1024, "1 KiB"), (1536, "1.5 KiB"),
        (65536, "64 KiB"), (1 << 20, "1 MiB"), ((1 << 20) - 1, "1023.9 KiB"), (3 << 29, "1.5 GiB"),
        (1 << 40, "1 TiB"), (UInt64.max, "16777215.9 TiB"),
    ] as [(UInt64, String)])
    func writesForPeople(_ count: UInt64, _ text: String) {
        #expect(ByteCount.describe(count) == text)
    }

    @Test func writesNegativeNumbersAsNothing() {
        #expect(ByteCount.describe(-5) == "0 B")
    }

    @Test func neverTrapsAndNeverExceeds63Bits() {
        var random = SeededGenerator(seed: 1)
        let alphabet = Array("0123456789kKmMgGtTiIbB.-+ x\u{0661}")
        for _ in 0..<20_000 {
            let text = String((0..<Int(random.next() % 24)).map { _ in
                alphabet[Int(random.next() % UInt64(alphabet.count))]
            })
            if let count = ByteCount.parse(text), count > UInt64(Int64.max) { Issue.record("\(text)") }
        }
    }
}
