// SPDX-License-Identifier: Apache-2.0

import CFakeVerbs
import PeerMR
import Testing

/// Requests over pieces of several regions, and queue pairs connected to themselves by whatever the link has.
@Suite struct ScatterListTests {
    private static let remote = RemoteAddress(address: 0xabc000, key: 0xfeed)

    @Test func piecesOfSeveralRegionsInTheirOrder() throws {
        try withFakeVerbs { _ in
            let machine = try Machine()
            let header = try machine.region(4096)
            let payload = try machine.region(8192)
            var pair = try QueuePair(
                domain: machine.domain, sendQueue: machine.queue, receiveQueue: machine.queue,
                capacity: QueuePairCapacity(sends: 4, receives: 4, entriesPerRequest: 3))
            #expect(fake_verbs_entries_per_request() == 3)
            let list: [2 of ScatterGatherElement] = [
                try header.keys.element(at: 0, count: 64), try payload.keys.element(at: 4096, count: 4096),
            ]
            func validate(_ sent: fake_request, _ opcode: UInt32) {
                #expect(sent.opcode == opcode)
                #expect(sent.entries == 2)
                #expect(sent.list.0.address == header.keys.address)
                #expect(sent.list.0.byte_count == 64)
                #expect(sent.list.0.key == header.keys.localKey)
                #expect(sent.list.1.address == payload.keys.address + 4096)
                #expect(sent.list.1.byte_count == 4096)
                #expect(sent.list.1.key == payload.keys.localKey)
            }
            try pair.postSend(gathering: list.span, requestID: 1)
            validate(fake_verbs_last_send(), 2)
            try pair.postSend(gathering: list.span, immediate: 0x01020304, requestID: 2, signaled: false)
            validate(fake_verbs_last_send(), 3)
            #expect(fake_verbs_last_send().immediate == 0x01020304)
            #expect(fake_verbs_last_send().flags == 0)
            try pair.postWrite(gathering: list.span, to: Self.remote, requestID: 3)
            validate(fake_verbs_last_send(), 0)
            #expect(fake_verbs_last_send().remote_address == Self.remote.address)
            try pair.postWrite(gathering: list.span, to: Self.remote, immediate: 7, requestID: 4)
            validate(fake_verbs_last_send(), 1)
            try pair.postRead(scatteringTo: list.span, from: Self.remote, requestID: 5)
            validate(fake_verbs_last_send(), 4)
            #expect(fake_verbs_last_send().remote_key == Self.remote.key)
            try pair.postReceive(scatteringTo: list.span, requestID: 6)
            #expect(fake_verbs_last_receive().request_id == 6)
            #expect(fake_verbs_last_receive().list.1.key == payload.keys.localKey)
        }
    }

    @Test func anEmptyListIsAMessageOfNothing() throws {
        try withFakeVerbs { _ in
            var pair = try Machine().queuePair()
            try pair.postSend(gathering: [ScatterGatherElement]().span, requestID: 1)
            #expect(fake_verbs_last_send().entries == 0)
        }
    }

    @Test func theErrnoPassesThrough() throws {
        try withFakeVerbs { fake in
            let machine = try Machine()
            let region = try machine.region()
            var pair = try machine.queuePair()
            let list = [try region.keys.element(at: 0, count: 1)]
            fake.fail("ibv_post_send", .invalidArgument)
            #expect(throws: Errno.invalidArgument) { try pair.postSend(gathering: list.span, requestID: 1) }
            fake.fail("ibv_post_recv", .noMemory)
            #expect(throws: Errno.noMemory) { try pair.postReceive(scatteringTo: list.span, requestID: 1) }
        }
    }

    @Test func nothingIsAllocated() throws {
        try withFakeVerbs { _ in
            let machine = try Machine()
            let region = try machine.region(8192)
            var pair = try machine.queuePair()
            let keys = region.keys
            func round(_ number: UInt64) throws(Errno) {
                guard let first = try? keys.element(at: 0, count: 64),
                    let second = try? keys.element(at: 4096, count: 4096)
                else { return }
                let list: [2 of ScatterGatherElement] = [first, second]
                try pair.postReceive(scatteringTo: list.span, requestID: number)
                try pair.postSend(gathering: list.span, requestID: number)
                try pair.postWrite(gathering: list.span, to: Self.remote, requestID: number)
                try pair.postRead(scatteringTo: list.span, from: Self.remote, requestID: number)
            }
            try round(0)
            let before = fake_verbs_allocations()
            for number in 0..<1000 { try round(UInt64(number)) }
            let after = fake_verbs_allocations()
            #expect(after - before == 0)
            #expect(fake_verbs_sends() == 3003)
        }
    }
}
