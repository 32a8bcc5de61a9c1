// SPDX-License-Identifier: Apache-2.0

import PeerMR
import Testing

@testable import PingPong

/// The 52 bytes of `ibv_rc_pingpong`, which has `sprintf("%04x:%06x:%06x:%s")` at one end and `sscanf` at the other.
struct AddressMessageTests {
    private static let gid = GID(networkOrder: (0..<16).map { UInt8($0 * 17) })

    private func endpoint(_ sequence: UInt32, gid: GID? = Self.gid) -> QueuePairEndpoint {
        QueuePairEndpoint(localIdentifier: 0x1f, number: 0x11, sequence: sequence, gid: gid)
    }

    @Test func whatIbvRcPingpongWrites() throws {
        let text = "001f:000011:a7d0ee:00000000000000000000ffff0a4d0001\0"
        let message = try AddressMessage(decoding: Array(text.utf8))
        #expect(message.mtu == nil)
        #expect(message.endpoint.localIdentifier == 0x1f)
        #expect(message.endpoint.number == 0x11)
        #expect(message.endpoint.sequence == 0xa7d0ee)
        #expect(message.endpoint.gid?.description == "::ffff:10.77.0.1")
        #expect(message.encoded == Array(text.utf8))
    }

    /// Neither this program nor `ibv_rc_pingpong` takes a refusal for an address.
    @Test func aRefusalIsNoAddress() {
        #expect(AddressMessage.refusal.count == AddressMessage.byteCount)
        let error = #expect(throws: PeerMRError.self) { try AddressMessage(decoding: AddressMessage.refusal) }
        #expect(error?.code == .refused)
        #expect(error?.remedy?.contains("--allow") == true)
    }

    @Test func noGIDIsAllZeros() throws {
        let message = AddressMessage(endpoint(5, gid: nil), mtu: nil)
        #expect(message.encoded == Array("001f:000011:000005:00000000000000000000000000000000\0".utf8))
        #expect(try AddressMessage(decoding: message.encoded) == message)
    }

    /// A reader that takes numbers as `%x` does gets the same sequence number with the mark as without.
    @Test func theMarkIsReadOver() throws {
        for mtu in 1...5 {
            let message = AddressMessage(endpoint(0xbeef), mtu: PathMTU(rawValue: UInt32(mtu)))
            let fields = String(decoding: message.encoded.dropLast(), as: UTF8.self).split(separator: ":")
            #expect(fields[2] == "+\(mtu)beef")
            #expect(UInt32(fields[2], radix: 16) == message.endpoint.sequence)
            #expect(message.encoded.count == 52)
            #expect(try AddressMessage(decoding: message.encoded) == message)
        }
    }

    @Test(arguments: [
        "", "hello", "001f:000011:a7d0ee:00000000000000000000ffff0a4d0001 ",
        "001f:000011:a7d0ee:0000000000000000000Gffff0a4d0001\0",
        "001f-000011:a7d0ee:00000000000000000000ffff0a4d0001\0",
        "001f:000011:+0d0ee:00000000000000000000ffff0a4d0001\0",
        "001f:000011:+6d0ee:00000000000000000000ffff0a4d0001\0",
        "+01f:000011:a7d0ee:00000000000000000000ffff0a4d0001\0", "001f:000011:a7d0ee:00000000000000000000ffff0a4d00011",
        "GET / HTTP/1.1\r\nHost: 10.77.0.1:18515\r\nUser-Agent: cu",
    ])
    func nonsense(_ text: String) {
        #expect(throws: PeerMRError.self) { try AddressMessage(decoding: Array(text.utf8)) }
    }

    @Test func nonsenseIsTold() throws {
        let bytes = Array("GET / HTTP/1.1\r\nHost: 10.77.0.1:18515\r\nUser-Agent: cu".utf8)
        let error = #expect(throws: PeerMRError.self) { try AddressMessage(decoding: bytes) }
        #expect(error?.code == .protocolViolation)
        #expect(error?.description.contains("'GET./.HTTP/1.1..Host:") == true)
        let early = #expect(throws: PeerMRError.self) { try AddressMessage(decoding: []) }
        #expect(early?.code == .disconnected)
    }

    @Test func gidsAsText() {
        let texts = [
            "fe80::a8aa:ff:fe00:1", "::1", "2001:db8::", "2001:db8:0:1::1", "::ffff:10.77.0.1", "::", "1:2:3:4:5:6:7:8",
        ]
        for text in texts {
            let bytes =
                text.hasPrefix("::ffff:")
                ? [UInt8](repeating: 0, count: 10) + [255, 255, 10, 77, 0, 1]
                : SocketAddress(text, port: 0)?.addressBytes ?? []
            #expect(GID(networkOrder: bytes)?.description == text)
        }
    }
}
