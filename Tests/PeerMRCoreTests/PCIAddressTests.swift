// SPDX-License-Identifier: Apache-2.0

import TestSupport
import Testing
import PeerMRCore

@Suite struct PCIAddressTests {
    @Test(arguments: [
        ("0000:01:00.0", 0, 0x01, 0x00, 0), ("0000:00:1f.7", 0, 0, 0x1f, 7), ("01:00.0", 0, 1, 0, 0),
        ("FFFF:fF:1E.3", 0xffff, 0xff, 0x1e, 3), ("10000:e1:00.0", 0x10000, 0xe1, 0, 0),
        ("ffffffff:ff:1f.7", 0xffff_ffff, 0xff, 0x1f, 7),
    ] as [(String, UInt32, UInt8, UInt8, UInt8)])
    func readsTheKernelsForm(
        _ text: String, _ domain: UInt32, _ bus: UInt8, _ device: UInt8, _ function: UInt8
    ) throws {
        let address = try #require(PCIAddress(text))
        #expect(address.domain == domain)
        #expect(address.bus == bus)
        #expect(address.device == device)
        #expect(address.function == function)
    }

    @Test(arguments: [
        "", ":", "::", ".", "0000:01:00", "0000:01:00.", "0000:01:00.8", "0000:01:20.0", "0000:01:00.00",
        "0000:01:0.0", "0000:1:00.0", "000:01:00.0", "123456789:01:00.0", ":01:00.0", "0000::00.0",
        "0000:01:00.0 ", " 0000:01:00.0", "0000:01:00.0\n", "0000:01:00.0:pcie001", "0000-01-00.0",
        "0000:01:00.0.0", "0000:+1:00.0", "0000:-1:00.0", "0000:0x:00.0", "g000:01:00.0", "pci0000:00",
        "0000:01:0０.0", "0000:01:00.٣", "0000:01:00.-", "0000:01:e\u{301}0.0",
    ])
    func refusesWhatIsMalformed(_ text: String) {
        #expect(PCIAddress(text) == nil)
    }

    @Test func isPrintedAsTheKernelDoes() {
        #expect(PCIAddress("01:00.0")?.description == "0000:01:00.0")
        #expect(PCIAddress("ABCD:EF:1F.7")?.description == "abcd:ef:1f.7")
        #expect(PCIAddress("00010000:e1:00.0")?.description == "10000:e1:00.0")
    }

    @Test func everyAddressSurvivesARoundTrip() {
        var random = SeededGenerator(seed: 2)
        for _ in 0..<20_000 {
            let domain = UInt32(truncatingIfNeeded: random.next()) >> UInt32(random.next() % 32)
            let text =
                padded(domain, 4) + ":" + padded(random.next() % 256, 2) + ":"
                + padded(random.next() % 32, 2) + "." + String(random.next() % 8)
            guard let address = PCIAddress(text), address.description == text,
                PCIAddress(address.description) == address
            else {
                Issue.record("\(text)")
                continue
            }
        }
    }

    private func padded(_ value: some BinaryInteger, _ width: Int) -> String {
        let text = String(value, radix: 16)
        return String(repeating: "0", count: max(0, width - text.count)) + text
    }

    @Test func randomTextNeverTraps() {
        var random = SeededGenerator(seed: 3)
        let alphabet = Array("0123456789abcdefFg:.- ")
        var accepted = 0
        for _ in 0..<50_000 {
            let text = String((0..<Int(random.next() % 16)).map { _ in
                alphabet[Int(random.next() % UInt64(alphabet.count))]
            })
            guard let address = PCIAddress(text) else { continue }
            accepted += 1
            if PCIAddress(address.description) != address || address.device > 31 || address.function > 7 {
                Issue.record("\(text)")
            }
        }
        #expect(accepted < 50_000)
    }

    @Test func ordersByDomainThenBusThenDeviceThenFunction() throws {
        let texts = [
            "0000:00:00.0", "0000:00:00.1", "0000:00:01.0", "0000:01:00.0", "0000:10:00.0", "0001:00:00.0",
            "ffff:00:00.0", "10000:00:00.0",
        ]
        let addresses = try texts.map { try #require(PCIAddress($0)) }
        #expect(addresses.reversed().sorted() == addresses)
    }

    @Test func partsOfAPathCanBeRead() {
        let path = "a/0000:01:00.0/b"
        #expect(PCIAddress(path.split(separator: "/")[1])?.bus == 1)
    }
}
