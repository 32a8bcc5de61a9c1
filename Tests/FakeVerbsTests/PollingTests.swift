// SPDX-License-Identifier: Apache-2.0

import CFakeVerbs
import PeerMR
import Testing

@Suite struct PollingTests {
    private func withQueue(
        capacity: Int = 4, _ body: (CompletionQueue, inout CompletionBatch) throws -> Void
    ) throws {
        try withFakeVerbs { _ in
            let queue = try CompletionQueue(Device(name: "fake0").open(), capacity: 16)
            var batch = CompletionBatch(capacity: capacity)
            try body(queue, &batch)
        }
    }

    /// How many there were; nil where the poll failed.
    private func poll(_ queue: CompletionQueue, _ batch: inout CompletionBatch) -> Int? {
        try? queue.poll(into: &batch)
    }

    @Test func anEmptyQueueGivesNothing() throws {
        try withQueue { queue, batch in
            #expect(poll(queue, &batch) == 0)
            #expect(batch.count == 0)
        }
    }

    @Test func aCompletionIsDecoded() throws {
        try withQueue { queue, batch in
            fake_verbs_complete(0xdead_beef_0000_0001, 0, 129, 4096, 1, 0x0102_0304, 0)
            #expect(poll(queue, &batch) == 1)
            let completion = batch[0]
            #expect(completion.requestID == 0xdead_beef_0000_0001)
            #expect(completion.status == .success)
            #expect(completion.operation == .receiveWriteWithImmediate)
            #expect(completion.byteCount == 4096)
            #expect(completion.immediate == 0x0102_0304)
            #expect(completion.vendorSyndrome == 0)
        }
    }

    @Test func anImmediateThatWasNotSentIsNone() throws {
        try withQueue { queue, batch in
            fake_verbs_complete(1, 0, 128, 0, 0, 0xffff_ffff, 0)
            #expect(poll(queue, &batch) == 1)
            #expect(batch[0].immediate == nil)
            #expect(batch[0].operation == .receive)
        }
    }

    @Test(arguments: Array(0...24) + [255, UInt32.max])
    func everyStatusComesThroughKnownOrNot(_ status: UInt32) throws {
        try withQueue { queue, batch in
            fake_verbs_complete(9, status, 0, 0, 0, 0, 0x8000_0081)
            #expect(poll(queue, &batch) == 1)
            #expect(batch[0].status.rawValue == status)
            #expect(batch[0].vendorSyndrome == 0x8000_0081)
            #expect((batch[0].status == .success) == (status == 0))
            #expect(!batch[0].status.description.isEmpty)
        }
    }

    @Test func aBatchTakesWhatItHoldsAndTheRestComesNext() throws {
        try withQueue(capacity: 4) { queue, batch in
            for number in 0..<6 { fake_verbs_complete(UInt64(number), 0, 0, 0, 0, 0, 0) }
            #expect(poll(queue, &batch) == 4)
            #expect((0..<4).map { batch[$0].requestID } == [0, 1, 2, 3])
            #expect(poll(queue, &batch) == 2)
            #expect(batch.count == 2)
            #expect((0..<2).map { batch[$0].requestID } == [4, 5])
        }
    }

    @Test(arguments: [(-1, 5), (-22, 22), (-12, 12), (-524, 524)] as [(Int32, Int32)])
    func aPollThatFailsHasAnErrnoAndNoCompletions(_ result: Int32, _ number: Int32) throws {
        try withQueue { queue, batch in
            fake_verbs_complete(1, 0, 0, 0, 0, 0, 0)
            #expect(poll(queue, &batch) == 1)
            fake_verbs_poll_result(result)
            do throws(Errno) {
                _ = try queue.poll(into: &batch)
                Issue.record("a failed poll went unnoticed")
            } catch { #expect(error.rawValue == number) }
            #expect(batch.count == 0)
        }
    }

    @Test(arguments: [0, -5, 1])
    func aBatchHoldsAtLeastOne(_ capacity: Int) {
        #expect(CompletionBatch(capacity: capacity).capacity == 1)
    }

    @Test func whatWasNotPolledCannotBeRead() async {
        await #expect(processExitsWith: .failure) {
            let batch = CompletionBatch(capacity: 4)
            _ = batch[0]
        }
    }

    @Test func askingForEventsPassesTheErrnoThrough() throws {
        try withFakeVerbs { fake in
            let queue = try CompletionQueue(Device(name: "fake0").open(), capacity: 16)
            fake.fail("ibv_req_notify_cq", .ioError)
            #expect(throws: Errno.ioError) { try queue.requestNotification() }
        }
    }

    @Test func theChannelWakesAndItsEventsAreAcknowledged() throws {
        try withFakeVerbs { fake in
            let context = try Device(name: "fake0").open()
            let channel = try CompletionChannel(context)
            let queue = try CompletionQueue(context, capacity: 16, channel: channel)
            let descriptors: [4 of Int32] = [channel.descriptor, -1, -1, -1]
            try queue.requestNotification()
            #expect(try waitReadable(descriptors, milliseconds: 0) == 0)
            channel.drain()
            for _ in 0..<3 { fake_verbs_complete(1, 0, 0, 0, 0, 0, 0) }
            #expect(try waitReadable(descriptors, milliseconds: 1000) == 1)
            channel.drain()
            #expect(fake_verbs_unacknowledged() == 0)
            #expect(try waitReadable(descriptors, milliseconds: 0) == 0)
            withExtendedLifetime(queue) {}
        }
    }
}
