// SPDX-License-Identifier: Apache-2.0

import PeerMR
import PeerTransfer
import Testing

@testable import PingPong

struct KeyExchangeTests {
    private static let gid = GID(networkOrder: (0..<16).map { UInt8($0 * 17) })

    private func address(_ number: UInt32, _ gid: GID? = Self.gid) -> AddressMessage {
        AddressMessage(
            QueuePairEndpoint(localIdentifier: 0, number: number, sequence: 5, gid: gid), mtu: PathMTU(rawValue: 3))
    }

    @Test func aChallengeSurvivesARoundTripAndIsNoAddress() {
        for gid in [Self.gid, nil] {
            let challenge = KeyChallenge(gid: gid)
            #expect(challenge.encoded.count == AddressMessage.byteCount)
            #expect(KeyChallenge(decoding: challenge.encoded) == challenge)
            #expect(throws: PeerMRError.self) { try AddressMessage(decoding: challenge.encoded) }
            for count in [0, 5, 51] { #expect(KeyChallenge(decoding: Array(challenge.encoded.prefix(count))) == nil) }
        }
        #expect(KeyChallenge(decoding: address(1).encoded) == nil)
        #expect(KeyChallenge(decoding: AddressMessage.refusal) == nil)
        #expect(KeyChallenge(gid: nil).nonce != KeyChallenge(gid: nil).nonce)
    }

    /// The proof is over both GIDs, both messages and the nonce.
    @Test func theProofIsForOneConnection() throws {
        let key = SharedKey(Array("0123456789abcdef".utf8))
        let challenge = KeyChallenge(gid: Self.gid)
        let proof = try key.code(challenge.message(address(1)))
        #expect(try key.isCode(proof, of: challenge.message(address(1))))
        #expect(try !key.isCode(proof, of: challenge.message(address(2))))
        #expect(try !key.isCode(proof, of: challenge.message(address(1, nil))))
        #expect(try !key.isCode(proof, of: KeyChallenge(gid: Self.gid).message(address(1))))
        var other = challenge
        other.gid = nil
        #expect(try !key.isCode(proof, of: other.message(address(1))))
    }
}
