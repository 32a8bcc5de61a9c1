// SPDX-License-Identifier: Apache-2.0

import Testing
import Verbs

@Suite struct SocketAddressTests {
    @Test(
        arguments: [
            ("10.0.0.2", 18515, [10, 0, 0, 2], "10.0.0.2:18515"),
            ("255.255.255.255", 0, [255, 255, 255, 255], "255.255.255.255:0"),
            ("0.0.0.0", 65535, [0, 0, 0, 0], "0.0.0.0:65535"),
            ("::1", 1, [UInt8](repeating: 0, count: 15) + [1], "[::1]:1"),
            (
                "fe80::1%lo", 18515, [0xfe, 0x80] + [UInt8](repeating: 0, count: 13) + [1],
                "[fe80::1%lo]:18515"
            ),
            (
                "2001:DB8::AB", 443,
                [0x20, 0x01, 0x0d, 0xb8] + [UInt8](repeating: 0, count: 11) + [0xab], "[2001:db8::ab]:443"
            ),
            (
                "::ffff:10.0.0.1", 7, [UInt8](repeating: 0, count: 10) + [0xff, 0xff, 10, 0, 0, 1],
                "[::ffff:10.0.0.1]:7"
            ),
        ] as [(String, UInt16, [UInt8], String)])
    func readsNumericAddresses(
        _ text: String, _ port: UInt16, _ bytes: [UInt8], _ description: String
    ) throws {
        let address = try #require(SocketAddress(text, port: port))
        #expect(address.addressBytes == bytes)
        #expect(address.port == port)
        #expect(address.description == description)
    }

    @Test(arguments: [
        "", " ", "localhost", "example.org", "10.0.0", "10.0.0.0.1", "10.0.0.256", "10.0.0.-1", "10.0.0.1:80",
        "[::1]", "::1::", ":::", "12345::", "::g", "10.0.0.1/8", " 10.0.0.1", "10.0.0.1 ", "10.0.0.1\n",
        "fe80::1%", "fe80::1%nosuchinterface", "*",
    ])
    func refusesWhatIsNoNumericAddress(_ text: String) {
        #expect(SocketAddress(text, port: 1) == nil)
    }

    /// The C library's old forms mean another address than the reader thinks, octal above all.
    @Test(arguments: ["10.1", "1", "0x7f.0.0.1", "010.0.0.1", "127.1", "4294967295"])
    func refusesAddressesThatMeanAnother(_ text: String) {
        #expect(SocketAddress(text, port: 1) == nil)
    }

    @Test func theHostComesWithoutThePort() {
        #expect(SocketAddress("10.0.0.2", port: 5)?.host == "10.0.0.2")
        #expect(SocketAddress("::1", port: 5)?.host == "::1")
    }
}
