// SPDX-License-Identifier: Apache-2.0

import CFakeVerbs
import PeerMR
import SystemPackage
import Testing

@testable import PeerTransfer

/// The server's sessions, step by step, without a kernel's RDMA.
@Suite struct ServerSessionTests {
    /// Connects, and lets all happen that can.
    private func connected(_ bed: SessionBed, _ operation: PeerTransfer.Operation, _ byteCount: UInt64) throws
        -> ScriptedClient
    {
        let client = try ScriptedClient(bed)
        try client.connect(client.hello(operation, byteCount))
        bed.settle()
        try client.listen()
        bed.settle()
        try client.listen()
        try #require(client.welcome != nil)
        return client
    }

    /// The client knows of its connection before the server does: a message may come before that news, and counts.
    @Test(arguments: [Message.chunk(slot: 0, sequence: 0), .credit(slot: 0), .done])
    func aMessageThatOvertakesTheNewsOfTheConnectionIsHeard(_ message: Message) throws {
        try withSessionBed { bed in
            let client = try ScriptedClient(bed)
            try client.connect(client.hello(.get, 4096))
            fake_network_deliver(0)
            bed.step()
            // The welcome, but not yet the client's answer to it.
            fake_network_deliver(0)
            try client.listen()
            try #require(client.welcome != nil)
            try client.link.send(message)
            fake_network_deliver_requests()
            for _ in 0..<3 { bed.step() }
            bed.settle(milliseconds: 3000)
            try client.listen()
            #expect(client.isOver, "the server has not acted on it")
            #expect(bed.reports.first?.failure?.code == .protocolViolation)
        }
    }

    /// The promise of a put: what is acknowledged is on stable storage.
    @Test func aPutIsAcknowledgedOnlyAfterTheDrivesFlush() throws {
        try withSessionBed { bed in
            let client = try connected(bed, .put, 2 * 4096)
            for chunk in 0..<2 { try client.write(slot: chunk, sequence: UInt64(chunk)) }
            bed.isDriveTelling = false
            bed.settle()
            #expect(bed.drive.held.map(\.operation) == [.write, .write])
            bed.drive.tell(1)
            bed.settle()
            #expect(bed.drive.held.map(\.operation) == [.write], "a flush before all is written is worth nothing")
            bed.drive.tell(0)
            bed.settle(milliseconds: 1000)
            #expect(bed.drive.held.map(\.operation) == [.flush])
            try client.listen()
            #expect(!client.messages.contains(.done), "acknowledged before the flush")
            bed.drive.tell(0)
            bed.settle()
            try client.listen()
            #expect(client.messages.last == .done)
            client.connection.disconnect()
            bed.settle()
            #expect(bed.reports.map(\.failure) == [nil])
        }
    }

    /// A flush that fails is no acknowledgement either.
    @Test func aFlushThatFailsIsTold() throws {
        try withSessionBed { bed in
            bed.drive.fault = { if $0.operation == .flush { $0.result = -Errno.ioError.rawValue } }
            let client = try connected(bed, .put, 4096)
            try client.write(slot: 0, sequence: 0)
            bed.settle(milliseconds: 2000)
            try client.listen()
            #expect(!client.messages.contains(.done))
            #expect(bed.reports.first?.failure?.errno == .ioError)
            #expect(client.isOver)
        }
    }
}
