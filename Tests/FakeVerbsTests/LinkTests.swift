// SPDX-License-Identifier: Apache-2.0

import CFakeVerbs
import PeerMR
import Testing

@testable import PeerTransfer

/// One connection with its queues: messages, failures and silence.
@Suite struct LinkTests {
    private func withLink(window: Int = 4, _ body: (Link, FakeVerbs) throws -> Void) throws {
        try withFakeVerbs { fake in
            let connection = try Connection(EventChannel())
            let server = try #require(SocketAddress("10.0.0.2", port: 18515))
            try connection.resolve(server)
            let context = try #require(connection.context)
            let link = try Link(connection, domain: ProtectionDomain(context), window: window)
            try body(link, fake)
        }
    }

    private func complete(_ tag: RequestTag, _ status: CompletionStatus = .success, _ message: Message? = nil) {
        let immediate = message?.immediate ?? 0
        fake_verbs_complete(
            tag.requestID, status.rawValue, tag.kind == .receive ? 128 : 1, 0, message == nil ? 0 : 1, immediate, 0)
    }

    @Test(arguments: [1, 8, 4096])
    func thereIsAReceiveForEveryMessageOfThePeer(_ window: Int) throws {
        try withLink(window: window) { link, _ in
            #expect(Int(fake_verbs_receives()) == 2 * window + 8)
            #expect(link.queue.capacity >= 2 * (2 * window + 8))
        }
    }

    @Test func aReceiveIsPostedAgainForEachMessage() throws {
        try withLink { link, _ in
            let before = fake_verbs_receives()
            complete(RequestTag(.receive), .success, .credit(slot: 3))
            complete(RequestTag(.receive), .success, .done)
            var found: [Message?] = []
            let isHeadway = try link.take { tag, completion in
                #expect(tag == RequestTag(.receive))
                found.append(completion.immediate.flatMap(Message.init(immediate:)))
            }
            #expect(isHeadway)
            #expect(found == [.credit(slot: 3), .done])
            #expect(fake_verbs_receives() == before + 2)
        }
    }

    @Test func messagesAreCountedUntilTheyAreConfirmed() throws {
        try withLink { link, _ in
            try link.send(.credit(slot: 5))
            try link.send(.done)
            #expect(fake_verbs_send(0).immediate == Message.credit(slot: 5).immediate)
            #expect(fake_verbs_send(1).immediate == Message.done.immediate)
            #expect(link.messagesInFlight == 2)
            complete(RequestTag(.message))
            let isHeadway = try link.take { _, _ in Issue.record("a confirmation is no message") }
            #expect(!isHeadway)
            #expect(link.messagesInFlight == 1)
        }
    }

    /// What a probe brings is a sign of life, but a client that does nothing must be given up some time.
    @Test func aProbeIsNoHeadway() throws {
        try withLink { link, _ in
            let before = fake_verbs_sends()
            try link.probe(afterSeconds: 3600)
            #expect(fake_verbs_sends() == before, "it is too early")
            try link.probe(afterSeconds: 0)
            try link.probe(afterSeconds: 0)
            #expect(fake_verbs_sends() == before + 1, "one at a time")
            complete(RequestTag(.probe))
            let isHeadway = try link.take { _, _ in Issue.record("a probe is no message") }
            #expect(!isHeadway)
            try link.probe(afterSeconds: 0)
            #expect(fake_verbs_sends() == before + 2)
        }
    }

    /// Receives are flushed first: the request that broke the queue pair stands behind them.
    @Test func theFailureBehindTheFlushedOnesIsNamed() throws {
        try withLink { link, _ in
            for _ in 0..<40 { complete(RequestTag(.receive), .flushed) }
            complete(RequestTag(.chunk, slot: 1), .retryExceeded)
            let error = #expect(throws: PeerMRError.self) { try link.take { _, _ in } }
            #expect(error?.code == .disconnected)
            #expect(error?.reason.contains(CompletionStatus.retryExceeded.hint) == true)
        }
    }

    @Test(arguments: [
        (CompletionStatus.flushed, PeerMRError.Code.disconnected), (.retryExceeded, .disconnected),
        (.receiverNotReady, .disconnected), (.remoteAccess, .system), (.localProtection, .system),
        (CompletionStatus(rawValue: 99), .system),
    ])
    func aFailedCompletionEndsIt(_ status: CompletionStatus, _ code: PeerMRError.Code) throws {
        try withLink { link, _ in
            complete(RequestTag(.chunk, slot: 0), status)
            let error = #expect(throws: PeerMRError.self) { try link.take { _, _ in } }
            #expect(error?.code == code)
            #expect(error?.reason.contains(status.description) == true)
        }
    }

    /// What comes without end must not keep the loop from its other duties.
    @Test func oneTakeIsBounded() throws {
        try withLink(window: 8) { link, _ in
            for _ in 0..<200 { complete(RequestTag(.receive), .success, .credit(slot: 0)) }
            var count = 0
            _ = try link.take { _, _ in count += 1 }
            #expect(count >= 32 && count <= link.queue.capacity + 32)
            let first = count
            _ = try link.take { _, _ in count += 1 }
            #expect(count > first)
        }
    }

    @Test(arguments: ["ibv_post_send", "ibv_post_recv", "ibv_req_notify_cq"])
    func aDeviceThatTakesNoMoreWorkIsNamed(_ call: String) throws {
        try withLink { link, fake in
            complete(RequestTag(.receive), .success, .done)
            fake.fail(call, .noMemory)
            let error = #expect(throws: PeerMRError.self) {
                _ = try link.take { _, _ in }
                try link.send(.done)
            }
            #expect(error?.errno == .noMemory)
        }
    }

    @Test func aPollThatFailsIsNamed() throws {
        try withLink { link, _ in
            fake_verbs_poll_result(-5)
            let error = #expect(throws: PeerMRError.self) { try link.take { _, _ in } }
            #expect(error?.errno == .ioError)
        }
    }

    @Test(
        arguments: [
            (5, 5, TransferConstraint.any, true), (5, 5, .wholePages, true), (3, 5, .any, true),
            (3, 5, .wholePages, false),
            (5, 3, .any, false), (5, 3, .wholePages, false), (5, 0, .any, true),
        ] as [(UInt32, UInt32, TransferConstraint, Bool)])
    func aPathMustFitTheShapeAndTheOwnPort(
        _ path: UInt32, _ port: UInt32, _ constraint: TransferConstraint, _ isFit: Bool
    ) throws {
        try withLink { link, _ in
            fake_verbs_set_path_mtu(path)
            fake_verbs_set_port_mtu(port)
            var code: PeerMRError.Code?
            do throws(PeerMRError) { try link.checkPath(constraint) } catch { code = error.code }
            #expect(code == (isFit ? nil : .unsafeConfiguration))
        }
    }
}
