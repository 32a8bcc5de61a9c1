// SPDX-License-Identifier: Apache-2.0

import CFakeVerbs
import PeerMR
import Testing

/// What is posted is what the device gets, and what it says comes back as it is.
@Suite struct PostingTests {
    private static let remote = RemoteAddress(address: 0x1234_5678_9abc_d000, key: 0xfeed)
    private static let signaled: UInt32 = 1 << 1

    private func withPair(_ body: (inout QueuePair, RegionKeys, FakeVerbs) throws -> Void) throws {
        try withFakeVerbs { fake in
            let machine = try Machine()
            let region = try machine.region(8192)
            var pair = try machine.queuePair()
            try body(&pair, region.keys, fake)
        }
    }

    @Test func aWriteWithImmediate() throws {
        try withPair { pair, keys, _ in
            try pair.postWrite(
                keys.element(at: 4096, count: 100), to: Self.remote, immediate: 0x0102_0304, requestID: 77)
            let sent = fake_verbs_last_send()
            #expect(sent.request_id == 77)
            #expect(sent.opcode == 1, "IBV_WR_RDMA_WRITE_WITH_IMM")
            #expect(sent.flags == Self.signaled)
            #expect(sent.remote_address == Self.remote.address)
            #expect(sent.remote_key == Self.remote.key)
            #expect(sent.immediate == 0x0102_0304)
            #expect(sent.entries == 1)
            #expect(sent.address == keys.address + 4096)
            #expect(sent.byte_count == 100)
            #expect(sent.key == keys.localKey)
        }
    }

    @Test func aWriteWithoutImmediateAndWithoutCompletion() throws {
        try withPair { pair, keys, _ in
            try pair.postWrite(
                keys.element(at: 0, count: 8192), to: Self.remote, requestID: 1, signaled: false)
            let sent = fake_verbs_last_send()
            #expect(sent.opcode == 0, "IBV_WR_RDMA_WRITE")
            #expect(sent.flags == 0)
            #expect(sent.byte_count == 8192)
        }
    }

    @Test func aRead() throws {
        try withPair { pair, keys, _ in
            try pair.postRead(keys.element(at: 1, count: 100), from: Self.remote, requestID: 2)
            let sent = fake_verbs_last_send()
            #expect(sent.request_id == 2)
            #expect(sent.opcode == 4, "IBV_WR_RDMA_READ")
            #expect(sent.flags == Self.signaled)
            #expect(sent.remote_address == Self.remote.address)
            #expect(sent.remote_key == Self.remote.key)
            #expect(sent.address == keys.address + 1)
            #expect(sent.byte_count == 100 && sent.key == keys.localKey)
            try pair.postRead(keys.element(at: 0, count: 1), from: Self.remote, requestID: 3, signaled: false)
            #expect(fake_verbs_last_send().flags == 0)
        }
    }

    @Test func aMessage() throws {
        try withPair { pair, _, _ in
            try pair.postSend(immediate: 0xa1b2_c3d4, requestID: 3)
            let sent = fake_verbs_last_send()
            #expect(sent.request_id == 3)
            #expect(sent.opcode == 3, "IBV_WR_SEND_WITH_IMM")
            #expect(sent.immediate == 0xa1b2_c3d4)
            #expect(sent.entries == 0)
            #expect(sent.flags == Self.signaled)
        }
    }

    @Test func aProbeMovesNothing() throws {
        try withPair { pair, _, _ in
            try pair.postProbe(requestID: 4)
            let sent = fake_verbs_last_send()
            #expect(sent.opcode == 0)
            #expect(sent.entries == 0)
            #expect(sent.flags == Self.signaled, "its completion is what it is for")
        }
    }

    @Test func aReceiveWithoutMemory() throws {
        try withPair { pair, _, _ in
            try pair.postReceive(requestID: 0x1_0000_0005)
            #expect(fake_verbs_last_receive().request_id == 0x1_0000_0005)
            #expect(fake_verbs_last_receive().entries == 0)
        }
    }

    /// Drivers return numbers that no table has: they pass through as they are.
    @Test(arguments: [12, 22, 5, 11, 524, 4095] as [Int32])
    func theErrnoOfAPostPassesThrough(_ number: Int32) throws {
        let errno = Errno(rawValue: number)
        try withPair { pair, keys, fake in
            fake.fail("ibv_post_send", errno)
            let entry = try keys.element(at: 0, count: 1)
            #expect(throws: errno) { try pair.postWrite(entry, to: Self.remote, requestID: 1) }
            #expect(throws: errno) { try pair.postRead(entry, from: Self.remote, requestID: 1) }
            #expect(throws: errno) { try pair.postSend(immediate: 1, requestID: 1) }
            #expect(throws: errno) { try pair.postProbe(requestID: 1) }
            try pair.postReceive(requestID: 1)
            fake.fail("ibv_post_recv", errno)
            #expect(throws: errno) { try pair.postReceive(requestID: 1) }
            try pair.postProbe(requestID: 1)
        }
    }

    /// The data path allocates nothing. (Failures cannot be measured here: the testing library looks at every throw,
    /// and allocates.)
    @Test func nothingIsAllocated() throws {
        try withFakeVerbs { _ in
            let machine = try Machine()
            let region = try machine.region(8192)
            var pair = try machine.queuePair()
            var batch = CompletionBatch(capacity: 8)
            let keys = region.keys
            func round(_ number: UInt64) throws(Errno) -> UInt64 {
                guard let entry = try? keys.element(at: 4096, count: 4096) else { return 0 }
                try pair.postReceive(requestID: number)
                try pair.postWrite(entry, to: Self.remote, immediate: 7, requestID: number)
                try pair.postRead(entry, from: Self.remote, requestID: number)
                try pair.postSend(immediate: 9, requestID: number)
                try machine.queue.requestNotification()
                fake_verbs_complete(number, 0, 129, 4096, 1, 7, 0)
                guard try machine.queue.poll(into: &batch) == 1 else { return 0 }
                let completion = batch[0]
                return completion.requestID + UInt64(completion.immediate ?? 0)
            }
            #expect(try round(1) == 8, "the first time may set things up")
            let before = fake_verbs_allocations()
            var sum: UInt64 = 0
            for number in 0..<1000 { sum += try round(UInt64(number)) }
            let after = fake_verbs_allocations()
            #expect(sum == 1000 * 7 + 999 * 500)
            #expect(after - before == 0)
        }
    }

    @Test func allocationsAreSeen() {
        let before = fake_verbs_allocations()
        let bytes = [UInt8](repeating: 1, count: Int(before % 7) + 100)
        #expect(bytes.count >= 100)
        #expect(fake_verbs_allocations() > before, "else the test above could not fail")
    }
}
