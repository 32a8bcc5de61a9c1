// SPDX-License-Identifier: Apache-2.0

import CFakeVerbs
import PeerMR
import TestSupport
import Testing

@testable import PeerTransfer

/// Whatever a server says, in whatever order: no trap, nothing left behind.
@Suite struct HostileServerFuzzTests {
    private static let rounds = 1_500 * Fuzz.factor

    private func script(_ random: inout SeededGenerator, slots: UInt16) {
        for _ in 0..<Int(random.next() % 40) {
            let slot = UInt16(random.next() % UInt64(slots + 1))
            let sequence = UInt16(random.next() % 6)
            let byteCount: UInt32 = [0, 100, 4096, .max][Int(random.next() % 4)]
            switch random.next() % 12 {
            case 0...3: ScriptedServer.say(.credit(slot: slot))
            case 4, 5: ScriptedServer.chunk(UInt32(sequence), byteCount: byteCount)
            case 6: ScriptedServer.say(immediate: UInt32(truncatingIfNeeded: random.next()), byteCount: byteCount)
            case 7: if random.next() % 4 == 0 { ScriptedServer.say(.done) }
            case 8: ScriptedServer.finish(RequestTag(.message))
            case 9: fake_verbs_complete(random.next(), UInt32(random.next() % 24), 0, byteCount, 0, 0, 0)
            default: ScriptedServer.finish(RequestTag(.chunk, slot: Int(slot % slots)))
            }
        }
    }

    @Test(arguments: [true, false])
    func clients(_ isPut: Bool) throws {
        var random = SeededGenerator(seed: isPut ? 60 : 61)
        var done = 0
        let server = try #require(SocketAddress("10.0.0.2", port: 1))
        for _ in Fuzz.inputs(Self.rounds, "answers of servers") {
            let slots = UInt16(1 + random.next() % 3)
            let byteCount = 1 + random.next() % (4096 * 5)
            try withFakeVerbs { _ in
                ScriptedServer.answer(ScriptedServer.welcome(slotCount: slots))
                script(&random, slots: slots)
                let options = DriveClient.Options(server: server, slotBytes: 4096, slotCount: 3)
                do throws(PeerMRError) {
                    _ =
                        isPut
                        ? try DriveClient.put(byteCount, at: 0, options) { _, _ in
                        } progress: { _ in
                        }
                        : try DriveClient.get(byteCount, at: 0, options) { _ in
                        } progress: { _ in
                        }
                    done += 1
                } catch {
                    if error.reason.isEmpty { Issue.record("no words for \(error)") }
                }
            }
        }
        #expect(done < Self.rounds)
    }
}
