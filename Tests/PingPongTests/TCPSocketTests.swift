// SPDX-License-Identifier: Apache-2.0

import PeerMR
import Testing

@testable import PingPong

/// The TCP connection over which two ends find each other, on this host.
struct TCPSocketTests {
    /// Below the ports that the kernel hands out by itself.
    private let port = UInt16.random(in: 20_000..<32_000)

    @Test func bytesGoBothWays() throws {
        let listener = try TCPListener(port: port, address: "127.0.0.1")
        let client = try TCPSocket(connectingTo: "127.0.0.1", port: port, milliseconds: 5000)
        let server = try listener.accept()
        try client.send([1, 2, 3])
        #expect(try server.receive(2, milliseconds: 5000) == [1, 2])
        try server.send([4])
        #expect(try client.receive(1, milliseconds: -1) == [4])
        #expect(client.localAddressBytes() == [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 255, 255, 127, 0, 0, 1])
        let late = #expect(throws: PeerMRError.self) { try client.receive(1, milliseconds: 20) }
        #expect(late?.code == .disconnected && late?.errno == .timedOut)
        let taken = #expect(throws: PeerMRError.self) { _ = try TCPListener(port: port, address: "127.0.0.1") }
        #expect(taken?.code == .busy)
    }

    @Test func aPeerThatGoes() throws {
        let listener = try TCPListener(port: port, address: "127.0.0.1")
        let client = try TCPSocket(connectingTo: "127.0.0.1", port: port, milliseconds: 5000)
        do {
            let server = try listener.accept()
            try server.send([7])
        }
        #expect(try client.receive(10, milliseconds: 5000) == [7], "what came before the end")
        listener.refuseOthers()
        let refused = #expect(throws: PeerMRError.self) {
            _ = try TCPSocket(connectingTo: "127.0.0.1", port: port, milliseconds: 5000)
        }
        #expect(refused?.code == .refused)
    }

    @Test func addresses() throws {
        #expect(try SocketAddress(resolving: "127.0.0.1", port: 7).description == "127.0.0.1:7")
        #expect(try SocketAddress(resolving: "::1", port: 7).host == "::1")
        let error = #expect(throws: PeerMRError.self) { try SocketAddress(resolving: "no host", port: 7) }
        #expect(error?.code == .notFound)
    }
}
