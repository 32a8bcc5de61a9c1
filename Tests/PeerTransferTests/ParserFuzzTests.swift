// SPDX-License-Identifier: Apache-2.0

import PeerMR
import TestSupport
import Testing

@testable import PeerTransfer

/// Whatever a peer sends: no trap, nothing of another version, and what is accepted is what would be written again.
///
/// The inputs are the same in every run. Half are random bytes, half valid ones with faults.
@Suite struct ParserFuzzTests {
    static let rounds = 200_000 * Fuzz.factor

    @Test func hellos() {
        var random = SeededGenerator(seed: 20)
        var accepted = 0
        var valid = random.hello().bytes
        for round in Fuzz.inputs(Self.rounds, "hellos") {
            if round % 64 == 0 { valid = random.hello().bytes }
            let bytes = round % 2 == 0 ? random.bytes(upTo: 128) : random.mutated(valid)
            guard let hello = try? Hello(parsing: bytes) else { continue }
            accepted += 1
            let written = hello.bytes
            guard Array(bytes.prefix(6)) == Array(written.prefix(6)), bytes.prefix(96) == written.prefix(96),
                hello.slotBytes > 0, hello.slotBytes % 4096 == 0,
                (1...slotLimit).contains(hello.slotCount)
            else {
                Issue.record("accepted \(bytes)")
                return
            }
        }
        #expect(accepted > 1_000, "faults in fields that may hold anything are no faults")
        #expect(accepted < Self.rounds / 2)
    }

    @Test func prefacesAndChallenges() {
        var random = SeededGenerator(seed: 25)
        var accepted = 0
        for round in 0..<Self.rounds {
            let preface = Preface(nonce: random.bytes(exactly: 32)).bytes
            let nonce = random.bytes(exactly: 32)
            let challenge = Challenge(wantsKey: round % 4 == 0, nonce: nonce, patienceSeconds: 3).bytes
            let valid = round % 4 < 2 ? preface : challenge
            let bytes = round % 2 == 0 ? random.bytes(upTo: 200) : random.mutated(valid)
            if let found = try? Preface(parsing: bytes) {
                accepted += 1
                if found.bytes != Array(bytes.prefix(56)) { Issue.record("accepted \(bytes)") }
            }
            if let found = Challenge(parsing: bytes) {
                accepted += 1
                if found.bytes != Array(bytes.prefix(64)) { Issue.record("accepted \(bytes)") }
            }
        }
        #expect(accepted > 1_000)
        #expect(accepted < Self.rounds)
    }

    @Test func welcomes() {
        var random = SeededGenerator(seed: 21)
        var accepted = 0
        var valid = random.welcome().bytes
        for round in Fuzz.inputs(Self.rounds, "welcomes") {
            if round % 64 == 0 { valid = random.welcome().bytes }
            let bytes = round % 2 == 0 ? random.bytes(upTo: 128) : random.mutated(valid)
            guard let welcome = Welcome(parsing: bytes) else { continue }
            accepted += 1
            guard bytes.prefix(96) == welcome.bytes.prefix(96), welcome.slotCount > 0,
                welcome.slotBytes > 0, welcome.blockBytes > 0
            else {
                Issue.record("accepted \(bytes)")
                return
            }
            use(welcome, &random)
        }
        #expect(accepted > 1_000)
        #expect(accepted < Self.rounds / 2)
    }

    /// What a client computes from a welcome must not trap, whatever numbers are in it.
    private func use(_ welcome: Welcome, _ random: inout SeededGenerator) {
        let byteCount = 1 + random.next() % UInt64(Int64.max)
        let chunks = Chunks(
            byteCount: byteCount, slotBytes: UInt64(welcome.slotBytes),
            slotCount: Int(welcome.slotCount), blockBytes: UInt64(welcome.blockBytes))
        let last = chunks.count - 1
        if chunks.bytes(of: last) == 0 || chunks.slot(of: last) >= chunks.slotCount
            || chunks.blocks(of: last) < Int(chunks.bytes(of: last))
        {
            Issue.record("\(welcome) \(byteCount)")
        }
    }

    @Test func refusals() {
        var random = SeededGenerator(seed: 22)
        var accepted = 0
        for round in Fuzz.inputs(Self.rounds, "refusals") {
            let valid = Refusal(
                Refusal.Code(rawValue: UInt8(1 + random.next() % 18)) ?? .busy, detail: random.next())
            let bytes = round % 2 == 0 ? random.bytes(upTo: 32) : random.mutated(valid.bytes)
            guard let refusal = Refusal(parsing: bytes) else { continue }
            accepted += 1
            guard bytes.prefix(13) == refusal.bytes.prefix(13) else {
                Issue.record("accepted \(bytes)")
                return
            }
            if round % 16 == 1, refusal.explained(by: "s").reason.isEmpty { Issue.record("no words") }
        }
        #expect(accepted > 1_000)
        #expect(accepted < Self.rounds / 2)
    }

    @Test func immediates() {
        var random = SeededGenerator(seed: 23)
        var accepted = 0
        for round in Fuzz.inputs(Self.rounds, "immediates") {
            var immediate = UInt32(truncatingIfNeeded: random.next())
            if round % 2 == 1 {
                let slot = UInt16(random.next() % 4096)
                let valid: [Message] = [
                    .readBack, .credit(slot: slot), .done, .failed(.driveFailed, errno: slot),
                ]
                immediate = valid[Int(random.next() % 4)].immediate ^ (1 << UInt32(random.next() % 32))
            }
            guard let message = Message(immediate: immediate) else { continue }
            accepted += 1
            if message.immediate != immediate { Issue.record("\(immediate) read as \(message)") }
        }
        #expect(accepted > 1_000)
        #expect(accepted < Self.rounds)
    }

    @Test func requestIDs() {
        var random = SeededGenerator(seed: 24)
        for _ in Fuzz.inputs(Self.rounds, "tags") {
            let number = random.next() >> (random.next() % 64)
            _ = Tag(requestID: number)
            _ = (StorageTag.kind(number), StorageTag.slot(number))
        }
    }
}
