// SPDX-License-Identifier: Apache-2.0

import CFakeVerbs
import PeerMR
import Testing

@testable import PeerTransfer

/// What a client with a key says to a server without it.
extension DriveClientTests {
    /// A server that asks for the key and does not have it is not believed, and gets nothing but the hello.
    @Test(arguments: [0, 7] as [UInt8])
    func aServerWithoutTheKeyIsNotBelieved(_ guess: UInt8) throws {
        var options = Self.options
        options.key = SharedKey(Array("0123456789abcdef".utf8))
        try withFakeVerbs { _ in
            ScriptedServer.answer(Challenge(wantsKey: true, patienceSeconds: 10).bytes)
            ScriptedServer.message(ScriptedServer.welcome().bytes + [UInt8](repeating: guess, count: 32))
            ScriptedServer.say(.credit(slot: 0))
            let error = #expect(throws: PeerMRError.self) {
                _ = try DriveClient.put(4096, at: 0, options, read: { _, _ in }, progress: { _ in })
            }
            #expect(error?.code == .notPermitted)
            #expect(fake_verbs_sends() == 1)
        }
    }

    /// A server that asks for no key is told nothing by a client that has one.
    @Test func aServerThatAsksForNoKeyGetsNoHello() throws {
        var options = Self.options
        options.key = SharedKey(Array("0123456789abcdef".utf8))
        try withFakeVerbs { _ in
            ScriptedServer.answer(ScriptedServer.welcome())
            let error = #expect(throws: PeerMRError.self) {
                _ = try DriveClient.put(4096, at: 0, options, read: { _, _ in }, progress: { _ in })
            }
            #expect(error?.code == .notPermitted && error?.reason.contains("has no key") == true)
            #expect(fake_verbs_sends() == 0)
        }
    }
}
