// SPDX-License-Identifier: Apache-2.0

import CFakeVerbs
import PeerMR
import Testing

@testable import PeerTransfer

/// Who has the key is served; for all others there is nothing.
@Suite struct KeyTests {
    private static let key = SharedKey(Array("0123456789abcdef".utf8))

    private func withServer(_ body: (SessionBed) throws -> Void) throws {
        try withSessionBed {
            $0.key = Self.key
        } _: { bed in
            try body(bed)
        }
    }

    private func answered(
        _ bed: SessionBed, key: SharedKey?, spoil: ((inout ProvenMessage) -> Void)? = nil
    ) throws -> ScriptedClient {
        let client = try ScriptedClient(bed)
        client.spoil = spoil
        try client.connect(client.hello(.put, 4096), key: key)
        for _ in 0..<4 {
            bed.settle()
            try client.listen()
        }
        return client
    }

    @Test func whoHasTheKeyIsServed() throws {
        try withServer { bed in
            let client = try answered(bed, key: Self.key)
            #expect(client.welcome != nil && client.refusal == nil)
            #expect(client.challenge?.wantsKey == true)
        }
    }

    @Test func whoDoesNotIsRefusedAndOfferedNothing() throws {
        for key in [nil, SharedKey(Array("0123456789abcdeF".utf8)), SharedKey(Array(repeating: 0, count: 16))] {
            try withFakeVerbs { fake in
                let bed = try SessionBed(seed: 3) { $0.key = Self.key }
                let idle = fake.live(FAKE_REGION)
                let client = try answered(bed, key: key)
                #expect(client.refusal?.code == .wrongKey)
                #expect(client.welcome == nil && client.messages.isEmpty && bed.drive.log.isEmpty)
                // The client's slots and places, and the places of the server's end.
                #expect(fake.live(FAKE_REGION) - idle <= 3, "slots for a client without the key")
                bed.settle(milliseconds: 3000)
                try client.listen()
                #expect(client.isOver)
                bed.finish()
            }
        }
    }

    /// Every byte of the hello is under the proof, and every byte of the proof counts.
    @Test func aHelloThatWasChangedOnItsWayIsRefused() throws {
        for place in [8, 16, 24, 32, 36, 40, 95] {
            try withServer { bed in
                let client = try answered(bed, key: Self.key) { $0.body[place] ^= 1 }
                #expect(client.refusal?.code == .wrongKey, "byte \(place)")
            }
        }
        for place in 0..<32 {
            try withServer { bed in
                let client = try answered(bed, key: Self.key) { $0.proof[place] ^= 0x80 }
                #expect(client.refusal?.code == .wrongKey && client.welcome == nil, "byte \(place) of the proof")
            }
        }
    }

    /// A proof that was heard on the network is worth nothing on another connection.
    @Test func aProofIsForOneConnection() throws {
        try withServer { bed in
            var heard: ProvenMessage?
            let first = try answered(bed, key: Self.key) { heard = $0 }
            #expect(first.welcome != nil)
            first.connection.disconnect()
            bed.settle(until: { !bed.reports.isEmpty }, "the first has gone")
            let second = try answered(bed, key: nil) { if let heard { $0 = heard } }
            #expect(second.refusal?.code == .wrongKey && second.welcome == nil)
            #expect(first.challenge?.nonce != second.challenge?.nonce)
        }
    }

    /// Who stands between two ends has other GIDs at each of its own connections.
    @Test func aProofIsForBothEnds() throws {
        let gid = { (last: UInt8) in GID(networkOrder: [UInt8](repeating: 0, count: 15) + [last]) }
        let (a, b, c) = (try #require(gid(1)), try #require(gid(2)), try #require(gid(3)))
        let challenge = Challenge(wantsKey: true, patienceSeconds: 1)
        let preface = Preface()
        let welcome = ScriptedServer.welcome()
        let hello = Hello(
            operation: .get, offset: 512, byteCount: 100, buffer: RemoteAddress(address: 1, key: 2), slotBytes: 4096,
            slotCount: 2)
        let own = Transcript(preface: preface, challenge: challenge, client: a, server: b)
        let sealed = try own.seal(hello, Self.key)
        let answer = try own.seal(welcome, to: hello, Self.key)
        #expect(try own.isHelloProven(sealed, Self.key) && own.isWelcomeProven(answer, to: hello, Self.key))
        for (client, server) in [(a, c), (c, b), (b, a)] {
            let other = Transcript(preface: preface, challenge: challenge, client: client, server: server)
            #expect(try !other.isHelloProven(sealed, Self.key))
            #expect(try !other.isWelcomeProven(answer, to: hello, Self.key))
        }
        let asked = Transcript(
            preface: preface, challenge: Challenge(wantsKey: true, patienceSeconds: 1), client: a, server: b)
        #expect(try !asked.isHelloProven(sealed, Self.key), "an old proof to a new challenge")
        #expect(try !asked.isWelcomeProven(answer, to: hello, Self.key))
        let later = Transcript(preface: Preface(), challenge: challenge, client: a, server: b)
        #expect(try !later.isWelcomeProven(answer, to: hello, Self.key), "an old answer to a new client")
        #expect(try !own.isWelcomeProven(sealed, to: hello, Self.key), "the client's proof as the server's")
    }

    /// All of a code is compared, wherever it differs, by libcrypto's own comparison: the time tells nothing.
    @Test func codesAreComparedInConstantTime() throws {
        let message: [UInt8] = [1, 2, 3]
        let code = try Self.key.code(message)
        for place in [nil, 0, 1, 15, 31] as [Int?] {
            var guess = code
            if let place { guess[place] ^= 1 }
            let before = fake_verbs_compared()
            #expect(try Self.key.isCode(guess, of: message) == (place == nil))
            #expect(fake_verbs_compared() - before == 32, "differs at \(place ?? -1)")
        }
        for count in [0, 31, 33] { #expect(try !Self.key.isCode([UInt8](repeating: 0, count: count), of: message)) }
    }

    /// Whoever only connects keeps nobody out, and is disconnected in time.
    @Test func silentClientsKeepNobodyOut() throws {
        try withServer { bed in
            let silent = try (0..<SessionBed.greetings - 1).map { _ in try ScriptedClient(bed) }
            for client in silent { try client.connect(nil) }
            bed.settle()
            for client in silent { try client.listen() }
            let good = try answered(bed, key: Self.key)
            #expect(good.welcome != nil)
            bed.settle(milliseconds: 12_000)
            for client in silent {
                try client.listen()
                #expect(client.refusal?.code == .silent && client.isOver)
            }
        }
    }

    @Test func moreSilentClientsThanThereIsRoomForAreRefused() throws {
        try withServer { bed in
            let silent = try (0...SessionBed.greetings).map { _ in try ScriptedClient(bed) }
            for client in silent { try client.connect(nil) }
            bed.settle()
            for client in silent { try client.listen() }
            #expect(silent.filter { $0.refusal?.code == .busy }.count == 1)
        }
    }

    @Test func bothEndsOfAWholeTransferHaveTheKey() throws {
        try withServer { bed in
            var options = DriveClient.Options(server: SessionBed.address, slotBytes: 4096, slotCount: 2)
            for key in [Self.key, nil, SharedKey(Array("another key, no?".utf8))] {
                options.key = key
                var code: PeerMRError.Code?
                do throws(PeerMRError) {
                    _ = try DriveClient.put(10_000, at: 0, options, read: { _, _ in }, progress: { _ in })
                } catch { code = error.code }
                #expect(code == (key == nil || !isOwn(key) ? .notPermitted : nil))
            }
            bed.settle(until: { bed.reports.count == 1 }, "one transfer alone")
        }
    }

    private func isOwn(_ key: SharedKey?) -> Bool {
        (try? key?.code([1])) == (try? Self.key.code([1]))
    }
}
