// SPDX-License-Identifier: Apache-2.0

import PeerMR
import Testing

@testable import PeerTransfer

@Suite struct AllowListTests {
    private func admits(_ entries: [String], _ peer: String, local: String? = "10.9.9.9") throws -> Bool {
        let list = try #require(AllowList(entries))
        let own = local.flatMap { SocketAddress($0, port: 18515) }
        let address = SocketAddress(peer, port: 40000)
        #expect(address != nil && (own == nil) == (local == nil))
        return list.admits(address, local: own)
    }

    @Test(
        arguments: [
            (["10.0.0.1"], "10.0.0.1"), (["10.0.0.1/32"], "10.0.0.1"), (["10.0.0.0/24"], "10.0.0.255"),
            (["10.0.0.77/24"], "10.0.0.1"), (["10.0.0.0/8"], "10.255.1.2"), (["0.0.0.0/0"], "192.0.2.1"),
            (["192.0.2.128/25"], "192.0.2.200"), (["10.0.0.4/31"], "10.0.0.5"), (["10.0.0.4/30"], "10.0.0.7"),
            (["192.0.2.1", "10.0.0.1"], "10.0.0.1"), (["2001:db8::1"], "2001:db8::1"),
            (["2001:db8::/32"], "2001:db8:ffff::1"), (["::/0"], "2001:db8::1"), (["2001:db8::/33"], "2001:db8:7fff::"),
        ] as [([String], String)])
    func admitsWhatItWasTold(_ entries: [String], _ peer: String) throws {
        #expect(try admits(entries, peer))
    }

    @Test(
        arguments: [
            ([], "10.0.0.1"), (["10.0.0.1"], "10.0.0.2"), (["10.0.0.0/24"], "10.0.1.0"),
            (["192.0.2.128/25"], "192.0.2.127"), (["10.0.0.4/31"], "10.0.0.6"), (["10.0.0.4/30"], "10.0.0.8"),
            (["10.0.0.1"], "2001:db8::1"), (["0.0.0.0/0"], "2001:db8::1"), (["::/0"], "10.0.0.1"),
            (["2001:db8::/33"], "2001:db8:8000::"), (["2001:db8::1"], "2001:db8::2"), ([], "::1"),
        ] as [([String], String)])
    func admitsNobodyElse(_ entries: [String], _ peer: String) throws {
        #expect(try !admits(entries, peer))
    }

    /// RDMA has no loopback interface: a client of the same host comes from the server's own address.
    @Test func admitsItsOwnHostAlways() throws {
        #expect(try admits([], "10.0.0.2", local: "10.0.0.2"))
        #expect(try admits([], "2001:db8::1", local: "2001:db8::1"))
        #expect(try admits([], "127.0.0.1", local: nil))
        #expect(try !admits([], "10.0.0.2", local: nil))
    }

    @Test func aPeerWithoutAnAddressIsNotAdmitted() throws {
        let list = try #require(AllowList(["0.0.0.0/0", "::/0"]))
        #expect(!list.admits(nil, local: SocketAddress("10.0.0.2", port: 1)))
        #expect(!list.admits(nil, local: nil))
    }

    @Test(arguments: [
        "", "/", "/8", "10.0.0.1/", "10.0.0.1/33", "10.0.0.1/-1", "10.0.0.1/a", "10.0.0.1/8/8", "10.0.0.1/ 8",
        "::1/129", "::1/", "host", "10.0.0.1,10.0.0.2", "10.0.0.1/4294967296", "10.0.0.1/99999999999999999999",
    ])
    func aMalformedEntryMakesNoList(_ entry: String) {
        #expect(AllowList([entry]) == nil)
        #expect(AllowList(["10.0.0.1", entry]) == nil)
    }

    /// Signs are read by Int, and "-0" would admit everybody.
    @Test(arguments: ["10.0.0.1/-0", "10.0.0.1/+8", "10.0.0.1/٨"])
    func aPrefixIsDigitsOnly(_ entry: String) {
        #expect(AllowList([entry]) == nil)
    }
}
