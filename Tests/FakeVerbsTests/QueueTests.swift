// SPDX-License-Identifier: Apache-2.0

import CFakeVerbs
import PeerMR
import TestSupport
import Testing

@testable import PeerTransfer

/// Clients beyond those that are served, and those that want what another one has.
@Suite struct QueueTests {
    /// A client that has said its hello, and heard what there is to hear.
    private func client(
        _ bed: SessionBed, _ operation: PeerTransfer.Operation, _ place: Range<UInt64>, waits: UInt32 = 0
    ) throws -> ScriptedClient {
        let client = try ScriptedClient(bed)
        try client.connect(
            client.hello(operation, UInt64(place.count), at: place.lowerBound, waits: waits))
        try listen([client], bed)
        return client
    }

    private func listen(_ clients: [ScriptedClient], _ bed: SessionBed, seconds: UInt32 = 0) throws {
        for _ in 0..<4 {
            bed.settle(milliseconds: seconds * 250)
            for client in clients { try client.listen() }
        }
    }

    private func positions(_ client: ScriptedClient) -> [UInt16] {
        client.messages.compactMap { if case .queued(let position, _) = $0 { position } else { nil } }
    }

    private func withOneAtATime(_ body: (SessionBed, ScriptedClient) throws -> Void) throws {
        try withSessionBed(seed: 4, {
            $0.clientCount = 1
            $0.queueLimit = 2
            $0.timeoutSeconds = 600
        }) { bed in
            let first = try client(bed, .get, 0..<512)
            try #require(first.welcome != nil)
            try body(bed, first)
        }
    }

    @Test func whoComesFirstIsServedFirst() throws {
        try withOneAtATime { bed, first in
            let second = try client(bed, .get, 0..<512, waits: 100)
            let third = try client(bed, .get, 0..<512, waits: 100)
            guard case .queued(1, let seconds)? = second.messages.first, second.messages.count == 1 else {
                return #expect(Bool(false), "\(second.messages)")
            }
            #expect((98...100).contains(seconds) && second.welcome == nil)
            #expect(positions(third) == [2])
            let told = bed.events.last.map { "\($0)" }
            #expect(told == "10.0.0.7 waits for its turn, at place 2 of the queue")
            try first.link.send(.credit(slot: 0))
            bed.settle()
            first.connection.disconnect()
            try listen([second, third], bed)
            #expect(second.welcome != nil && third.welcome == nil)
            #expect(positions(third) == [2, 1])
            second.connection.disconnect()
            try listen([second, third], bed)
            #expect(third.welcome != nil)
        }
    }

    /// It hears every 10 s that it still waits.
    @Test func aClientInTheQueueHearsOfItselfAndIsSentAwayInTime() throws {
        try withOneAtATime { bed, _ in
            let second = try client(bed, .get, 0..<512, waits: 25)
            try listen([second], bed, seconds: 24)
            #expect(positions(second) == [1, 1, 1])
            try listen([second], bed, seconds: 4)
            #expect(second.refusal == Refusal(.waitedTooLong, detail: 25) && second.isOver)
        }
    }

    @Test func whoDoesNotWaitOrFindsNoPlaceIsToldThatTheServerIsBusy() throws {
        try withOneAtATime { bed, first in
            #expect(try client(bed, .get, 0..<512).refusal?.code == .busy)
            let waiting = try (0..<2).map { _ in try client(bed, .get, 0..<512, waits: 100) }
            #expect(try client(bed, .get, 0..<512, waits: 100).refusal?.code == .busy)
            withExtendedLifetime((waiting, first)) {}
        }
    }

    /// Who was complete, and has not gone yet, is waited for even by a client that does not wait for its turn.
    @Test func aPlaceThatIsAboutToBeFreeIsWaitedFor() throws {
        try withOneAtATime { bed, first in
            try first.link.send(.credit(slot: 0))
            bed.settle()
            let next = try client(bed, .put, 0..<512)
            #expect(next.refusal == nil && next.welcome == nil && next.messages.isEmpty)
            first.connection.disconnect()
            try listen([next], bed)
            #expect(next.welcome != nil)
        }
    }

    @Test func whoGoesOrSpeaksGivesItsPlaceUp() throws {
        try withOneAtATime { bed, first in
            let second = try client(bed, .get, 0..<512, waits: 100)
            let third = try client(bed, .get, 0..<512, waits: 100)
            second.connection.disconnect()
            try listen([third], bed, seconds: 1)
            #expect(positions(third) == [2, 1])
            try third.link.send(.credit(slot: 0))
            try listen([third], bed, seconds: 2)
            #expect(third.refusal?.code == .outOfTurn)
            withExtendedLifetime(first) {}
        }
    }

    @Test func whoWaitsIsToldThatTheServerStops() throws {
        try withOneAtATime { bed, first in
            let second = try client(bed, .get, 0..<512, waits: 100)
            bed.signal()
            try listen([first, second], bed, seconds: 4)
            #expect(first.messages.last == .failed(.stopping, errno: 0))
            #expect(second.refusal?.code == .stopping)
            #expect(!bed.isServing)
        }
    }

    /// Two may not go on at once where one of them writes what the other writes or reads.
    @Test(
        arguments: [
            (.put, 0..<4096, .put, 0..<4096, true), (.put, 0..<4096, .put, 3584..<5000, true),
            (.put, 0..<100, .put, 0..<1, true), (.put, 0..<100, .get, 0..<200, true),
            (.get, 0..<4096, .put, 512..<600, true), (.get, 0..<4096, .get, 0..<4096, false),
            (.put, 0..<4096, .put, 4096..<8192, false), (.put, 0..<513, .get, 512..<600, true),
            (.put, 0..<512, .get, 512..<600, false),
        ] as [(PeerTransfer.Operation, Range<UInt64>, PeerTransfer.Operation, Range<UInt64>, Bool)])
    func whatIsBeingWrittenIsNobodyElses(
        _ a: PeerTransfer.Operation, _ placeA: Range<UInt64>, _ b: PeerTransfer.Operation, _ placeB: Range<UInt64>,
        _ isRefused: Bool
    ) throws {
        try withSessionBed { bed in
            let first = try client(bed, a, placeA)
            try #require(first.welcome != nil)
            let second = try client(bed, b, placeB, waits: 100)
            #expect(second.refusal?.code == (isRefused ? .overlapping : nil))
            #expect((second.welcome != nil) == !isRefused)
            // It is free again when the session has ended, however that was.
            first.connection.disconnect()
            second.connection.disconnect()
            bed.settle(until: { bed.isIdle }, "both are gone")
            #expect(try client(bed, b, placeB).welcome != nil)
        }
    }

    /// Who waits has its blocks already.
    @Test func whatIsPromisedIsNobodyElses() throws {
        try withOneAtATime { bed, first in
            let second = try client(bed, .put, 4096..<8192, waits: 100)
            #expect(positions(second) == [1])
            #expect(try client(bed, .get, 4096..<5000, waits: 100).refusal?.code == .overlapping)
            withExtendedLifetime(first) {}
        }
    }

    /// A drive that still has what a client began keeps its blocks, and the next one waits.
    @Test func whatTheDriveStillHasIsWaitedFor() throws {
        try withSessionBed { bed in
            let first = try client(bed, .put, 0..<4096)
            bed.isDriveTelling = false
            try first.write(slot: 0, sequence: 0)
            bed.settle()
            first.connection.disconnect()
            bed.settle()
            let second = try client(bed, .put, 0..<4096, waits: 100)
            #expect(second.welcome == nil && second.refusal == nil)
            // Nobody else waits for those blocks.
            #expect(try client(bed, .get, 8192..<9000).welcome != nil)
            bed.isDriveTelling = true
            try listen([second], bed)
            #expect(second.welcome != nil)
        }
    }
}
