// SPDX-License-Identifier: Apache-2.0

import PeerMR
import Testing

@testable import PeerTransfer

/// Who is let in, by what can be claimed and by what cannot.
@Suite struct AdmissionTests {
    private static func address(_ text: String) throws -> HostAddress {
        try #require(SocketAddress(text, port: 1).flatMap { HostAddress($0) })
    }

    private static func gid(_ text: String) throws -> GID {
        let bytes = try address(text).bytes
        let padding = bytes.count == 4 ? [UInt8](repeating: 0, count: 10) + [0xff, 0xff] : []
        return try #require(GID(networkOrder: padding + bytes))
    }

    private func applicant(_ claim: String?, at remote: String?, from local: String = "10.0.0.2") throws -> Applicant {
        Applicant(
            claim: try claim.map(Self.address),
            path: try remote.map { ConnectionPath(local: try Self.gid(local), remote: try Self.gid($0)) })
    }

    private func outcome(
        _ entries: [String], _ applicant: Applicant
    ) throws -> Result<Grant, AllowList.Objection> {
        let list = try #require(AllowList(entries))
        return Result { () throws(AllowList.Objection) in try list.admit(applicant) }
    }

    @Test func aClaimThatThePathBearsOutIsLookedUp() throws {
        #expect(try outcome(["10.0.0.1"], applicant("10.0.0.1", at: "10.0.0.1")) == .success(Grant()))
        #expect(try outcome(["10.0.0.9"], applicant("10.0.0.1", at: "10.0.0.1")) == .failure(.notListed))
        #expect(try outcome([], applicant("10.0.0.1", at: "10.0.0.1")) == .failure(.notListed))
        #expect(
            try outcome(["2001:db8::1=ro"], applicant("2001:db8::1", at: "2001:db8::1", from: "2001:db8::2"))
                == .success(Grant(isReadOnly: true)))
    }

    /// A third host that names an allowed client, or the server itself, is found out by where packets to it go.
    @Test(arguments: ["10.0.0.1", "10.0.0.2", "127.0.0.1", "10.0.0.77", "::ffff:10.0.0.1"])
    func aForgedClaimIsRefused(_ claim: String) throws {
        for entries in [["10.0.0.1"], ["10.0.0.1", "10.0.0.3"], ["0.0.0.0/0", "::/0"], []] {
            #expect(
                try outcome(entries, applicant(claim, at: "10.0.0.3"))
                    == .failure(.otherAddress(try Self.address("10.0.0.3"))))
        }
    }

    @Test func aRequestWithoutAClaimIsRefused() throws {
        #expect(
            try outcome(["0.0.0.0/0"], applicant(nil, at: "10.0.0.3"))
                == .failure(.otherAddress(try Self.address("10.0.0.3"))))
    }

    /// Without a path nothing can be compared; a GID of zeros is none.
    @Test func aClaimThatCannotBeComparedIsRefused() throws {
        #expect(try outcome(["0.0.0.0/0"], applicant("10.0.0.1", at: nil)) == .failure(.noPath))
        #expect(try outcome(["::/0"], applicant("::", at: "::")) == .failure(.noPath))
        #expect(try outcome([], applicant("10.0.0.2", at: nil)) == .failure(.noPath))
        // By LID, back to the own port: only where the client is here by other signs, too.
        for (leadsBack, isFromHere) in [(true, true), (true, false), (false, true)] {
            let byLID = Applicant(claim: nil, path: nil, isFromHere: isFromHere, leadsBack: leadsBack)
            let expected: Result<Grant, AllowList.Objection> =
                leadsBack && isFromHere ? .success(Grant()) : .failure(.noPath)
            #expect(try outcome([], byLID) == expected)
        }
    }

    /// This host's own clients are those whose path leads back, not those that say so.
    @Test func theOwnHostIsServedByItsPathAlone() throws {
        #expect(try outcome([], applicant("10.0.0.2", at: "10.0.0.2")) == .success(Grant()))
        #expect(
            try outcome(["10.0.0.2=0:4K"], applicant("10.0.0.2", at: "10.0.0.2"))
                == .success(Grant(range: 0..<4096)))
        #expect(
            try outcome([], applicant("127.0.0.1", at: "10.0.0.2"))
                == .failure(.otherAddress(try Self.address("10.0.0.2"))))
        var local = try applicant("127.0.0.1", at: "10.0.0.2")
        local.isFromHere = true
        #expect(try outcome([], local) == .success(Grant()))
        var elsewhere = try applicant("127.0.0.1", at: "10.0.0.3")
        elsewhere.isFromHere = true
        #expect(
            try outcome(["10.0.0.3"], elsewhere) == .failure(.otherAddress(try Self.address("10.0.0.3"))))
    }

    /// A TCP connection has been answered from its address; it has no GIDs.
    @Test func overTCPTheClaimCounts() throws {
        var applicant = try applicant("10.0.0.1", at: nil)
        applicant.isOverTCP = true
        #expect(try outcome(["10.0.0.1"], applicant) == .success(Grant()))
        #expect(try outcome([], applicant) == .failure(.notListed))
        applicant.isFromHere = true
        #expect(try outcome([], applicant) == .success(Grant()))
    }

    /// On InfiniBand a GID says nothing of IP addresses: it is listed itself.
    @Test func onInfiniBandTheGIDIsLookedUp() throws {
        var applicant = try applicant("10.0.0.1", at: "fe80::2:c903:1:2", from: "fe80::2:c903:1:9")
        applicant.isInfiniBand = true
        #expect(try outcome(["fe80::2:c903:1:2"], applicant) == .success(Grant()))
        #expect(try outcome(["10.0.0.1"], applicant) == .failure(.notListed))
    }

    @Test func aRefusalNamesWhereThePathLeads() throws {
        let refusal = Refusal(AllowList.Objection.otherAddress(try Self.address("10.0.0.3")))
        #expect(refusal.code == .otherAddress)
        #expect(refusal.words == "its address is not the one that its path leads to (10.0.0.3)")
        #expect(Refusal(parsing: refusal.bytes)?.code == .otherAddress)
        #expect(Refusal(AllowList.Objection.notListed) == Refusal(.notAllowed))
        #expect(Refusal(AllowList.Objection.noPath).code == .noPath)
    }
}
