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

    /// A request says itself where it comes from; where its answers go is what counts.
    @Test(arguments: ["10.0.0.9", "10.0.0.2", "192.0.2.1"])
    func aForgedRequestIsRefused(_ claim: String) throws {
        for list in [["10.0.0.9", "192.0.2.1"], ["0.0.0.0/0"], []] {
            try withSessionBed {
                $0.allow = AllowList(list) ?? AllowList()
            } _: { bed in
                let client = try ScriptedClient(bed)
                try claim.withCString { text in
                    fake_network_claim(text)
                    try client.connect(client.hello(.put, 4096))
                    bed.settle()
                    fake_network_claim(nil)
                }
                try client.listen()
                #expect(client.refusal?.code == .otherAddress)
                #expect(client.welcome == nil && bed.reports.isEmpty)
                #expect("\(bed.events.last.map { "\($0)" } ?? "")".contains("(10.0.0.7)"))
            }
        }
    }

    /// What is one client's is no other's: its offset counts from the beginning of its range, and ends with it.
    @Test(
        arguments: [
            ("10.0.0.7=8K:4K", .put, 0, 4096, nil), ("10.0.0.7=8K:4K", .get, 0, 4096, nil),
            ("10.0.0.7=8K:4K", .put, 512, 4096, .outOfRange), ("10.0.0.7=8K:4K", .get, 4096, 1, .outOfRange),
            ("10.0.0.7=8K:4K", .put, 8192, 512, .outOfRange), ("10.0.0.7=8K:4K:ro", .get, 0, 4096, nil),
            ("10.0.0.7=8K:4K:ro", .put, 0, 4096, .readOnly), ("10.0.0.7=ro", .put, 0, 512, .readOnly),
            ("10.0.0.7=ro", .get, 8192, 4096, nil), ("10.0.0.8", .get, 0, 1, .notAllowed),
        ] as [(String, PeerTransfer.Operation, UInt64, UInt64, Refusal.Code?)])
    func aClientHasWhatItWasGiven(
        _ entry: String, _ operation: PeerTransfer.Operation, _ offset: UInt64, _ byteCount: UInt64,
        _ refusal: Refusal.Code?
    ) throws {
        try withSessionBed {
            $0.allow = AllowList([entry]) ?? AllowList()
        } _: { bed in
            let client = try ScriptedClient(bed)
            try client.connect(client.hello(operation, byteCount, at: offset))
            bed.settle()
            try client.listen()
            #expect(client.refusal?.code == refusal)
            guard refusal == nil else { return }
            bed.settle()
            try client.listen()
            if operation == .put { try client.write(slot: 0, sequence: 0, byteCount: byteCount) }
            bed.settle()
            let touched = bed.drive.log.filter { $0.operation != .flush }
            #expect(touched.allSatisfy { $0.offset == 8192 && $0.byteCount == 4096 } && touched.count == 1)
        }
    }

    @Test func aServerForReadingServesNoPut() throws {
        try withSessionBed {
            $0.isReadOnly = true
        } _: { bed in
            let client = try ScriptedClient(bed)
            try client.connect(client.hello(.put, 512))
            bed.settle()
            try client.listen()
            #expect(client.refusal?.code == .readOnly)
            _ = try connected(bed, .get, 4096)
        }
    }

    /// A range that the server does not have is said when it starts.
    @Test(arguments: ["10.0.0.7=60K:8K", "10.0.0.7=64K:512", "10.0.0.7=1:4096", "10.0.0.7=0:100"])
    func aRangeThatIsNotThereMakesNoServer(_ entry: String) throws {
        try withFakeVerbs { _ in
            let error = #expect(throws: PeerMRError.self) {
                _ = try SessionBed(seed: 1) { $0.allow = AllowList([entry]) ?? AllowList() }
            }
            #expect(error?.code == .invalidArgument)
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
