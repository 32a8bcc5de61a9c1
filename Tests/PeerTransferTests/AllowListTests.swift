// SPDX-License-Identifier: Apache-2.0

import PeerMR
import Testing

@testable import PeerTransfer

@Suite struct AllowListTests {
    private func grant(_ entries: [String], _ peer: String) throws -> Grant? {
        let list = try #require(AllowList(entries))
        let address = try #require(SocketAddress(peer, port: 40000).flatMap { HostAddress($0) })
        return list.grant(address)
    }

    @Test(
        arguments: [
            (["10.0.0.1"], "10.0.0.1"), (["10.0.0.1/32"], "10.0.0.1"), (["10.0.0.0/24"], "10.0.0.255"),
            (["10.0.0.77/24"], "10.0.0.1"), (["10.0.0.0/8"], "10.255.1.2"), (["0.0.0.0/0"], "192.0.2.1"),
            (["192.0.2.128/25"], "192.0.2.200"), (["10.0.0.4/31"], "10.0.0.5"), (["10.0.0.4/30"], "10.0.0.7"),
            (["192.0.2.1", "10.0.0.1"], "10.0.0.1"), (["2001:db8::1"], "2001:db8::1"),
            (["2001:db8::/32"], "2001:db8:ffff::1"), (["::/0"], "2001:db8::1"), (["2001:db8::/33"], "2001:db8:7fff::"),
            (["10.0.0.1"], "::ffff:10.0.0.1"), (["::ffff:10.0.0.1"], "10.0.0.1"),
        ] as [([String], String)])
    func admitsWhatItWasTold(_ entries: [String], _ peer: String) throws {
        #expect(try grant(entries, peer) == Grant())
    }

    @Test(
        arguments: [
            ([], "10.0.0.1"), (["10.0.0.1"], "10.0.0.2"), (["10.0.0.0/24"], "10.0.1.0"),
            (["192.0.2.128/25"], "192.0.2.127"), (["10.0.0.4/31"], "10.0.0.6"), (["10.0.0.4/30"], "10.0.0.8"),
            (["10.0.0.1"], "2001:db8::1"), (["0.0.0.0/0"], "2001:db8::1"), (["::/0"], "10.0.0.1"),
            (["2001:db8::/33"], "2001:db8:8000::"), (["2001:db8::1"], "2001:db8::2"), ([], "::1"), ([], "127.0.0.1"),
        ] as [([String], String)])
    func admitsNobodyElse(_ entries: [String], _ peer: String) throws {
        #expect(try grant(entries, peer) == nil)
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

    @Test(
        arguments: [
            ("10.0.0.1=0:64K", Grant(range: 0..<65536)),
            ("10.0.0.1=4096:1M:ro", Grant(range: 4096..<1_052_672, isReadOnly: true)),
            ("10.0.0.1/24=ro", Grant(isReadOnly: true)), ("2001:db8::1=512:512", Grant(range: 512..<1024)),
            ("2001:db8::1/64=ro", Grant(isReadOnly: true)),
            ("10.0.0.1=0:8191P", nil), ("10.0.0.1=", nil), ("10.0.0.1=0", nil), ("10.0.0.1=0:0", nil),
            ("10.0.0.1=0:64K:rw", nil), ("10.0.0.1=ro:0:64K", nil), ("10.0.0.1=0:64K:", nil), ("10.0.0.1=:64K", nil),
            ("10.0.0.1=-1:64K", nil), ("10.0.0.1=0:64K:ro:ro", nil), ("=0:64K", nil), ("10.0.0.1=rw", nil),
            ("10.0.0.1=8388608T:1", nil), ("10.0.0.1=0:64K=ro", nil),
        ] as [(String, Grant?)])
    func anEntrySaysWhatItsClientMayUse(_ entry: String, _ expected: Grant?) throws {
        let list = AllowList([entry])
        #expect((list == nil) == (expected == nil))
        let peer = entry.contains("db8") ? "2001:db8::1" : "10.0.0.1"
        if list != nil { #expect(try grant([entry], peer) == expected) }
    }

    /// Of a host and its network the host counts, in whatever order they are said.
    @Test func theMostSpecificEntryCounts() throws {
        for entries in [["10.0.0.0/8=ro", "10.0.0.1"], ["10.0.0.1", "10.0.0.0/8=ro"]] {
            #expect(try grant(entries, "10.0.0.1") == Grant())
            #expect(try grant(entries, "10.0.0.2") == Grant(isReadOnly: true))
        }
    }

    @Test func twoEntriesForOneNetworkMakeNoList() {
        #expect(AllowList(["10.0.0.1", "10.0.0.1=ro"]) == nil)
        #expect(AllowList(["10.0.0.0/24", "10.0.0.77/24"]) == nil)
        #expect(AllowList(["10.0.0.0/24", "10.0.0.0/25"]) != nil)
    }

    @Test func aPlainListNamesAddressesOnly() throws {
        #expect(try #require(AllowList(["10.0.0.1", "::/0"])).isPlain)
        #expect(try !#require(AllowList(["10.0.0.1=ro"])).isPlain)
        #expect(AllowList().isEmpty)
        #expect(try !#require(AllowList(["10.0.0.1"])).isEmpty)
    }
}
