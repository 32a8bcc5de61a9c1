// SPDX-License-Identifier: Apache-2.0

import CFakeVerbs
import PeerMR
import Testing

/// The registration path over host memory, and what happens where peer memory cannot be had.
@Suite struct PeerRegionTests {
    /// A function that no machine has.
    // swift-format-ignore: NeverForceUnwrap
    private static let nowhere = MemoryRequest.p2pmem(PCIAddress("ffff:ff:1f.7")!)

    @Test func hostMemoryIsPinned() throws {
        try withFakeVerbs { _ in
            fake_verbs_set_on_demand(1, 0x1f)
            let machine = try Machine()
            let region = try PeerRegion.allocate(
                10_000, of: .host, on: machine.domain, access: [.localWrite, .remoteWrite])
            #expect(region.kind == .host)
            #expect(region.choice.method == .pinned)
            #expect(region.choice.constraint == .any)
            #expect(region.provider == nil)
            #expect(region.bounceReason == nil)
            #expect(region.isPeerToPeer == false)
            #expect(region.byteCount == 12288)
            #expect(fake_verbs_registered_access() == 0b11)
            let mustFlush = PeerWriteFlush.isNeeded(for: region)
            #expect(!mustFlush)
        }
    }

    @Test func peerMemoryThatCannotBeHadIsRefused() throws {
        try withFakeVerbs { fake in
            let machine = try Machine()
            let error = #expect(throws: PeerMRError.self) {
                _ = try PeerRegion.allocate(
                    4096, of: Self.nowhere, on: machine.domain, access: [.localWrite])
            }
            #expect(error?.code == .notFound)
            #expect(error?.reason == "there is no PCI function ffff:ff:1f.7")
            #expect(fake.live(FAKE_REGION) == 0)
            #expect(!fake.journal.contains("ibv_reg_mr"), "nothing else is tried")
        }
    }

    @Test func aBounceHappensOnlyWhenItIsAskedFor() throws {
        try withFakeVerbs { _ in
            let machine = try Machine()
            let region = try PeerRegion.allocate(
                4096, of: Self.nowhere, on: machine.domain, access: [.localWrite], fallback: .bounce)
            #expect(region.kind == .host)
            #expect(region.choice.method == .pinned)
            #expect(region.bounceReason?.code == .notFound)
            #expect(region.isPeerToPeer == false)
        }
    }

    /// Asking for a bounce does not excuse every failure.
    @Test func aBounceThatFailsSaysWhy() throws {
        try withFakeVerbs { fake in
            let machine = try Machine()
            fake.fail("ibv_reg_mr", .noMemory)
            let error = #expect(throws: PeerMRError.self) {
                _ = try PeerRegion.allocate(
                    4096, of: Self.nowhere, on: machine.domain, access: [.localWrite], fallback: .bounce)
            }
            #expect(error?.code == .resourceLimit)
        }
    }

    @Test(arguments: [Fallback.refuse, .bounce])
    func hostMemoryIsNeverABounce(_ fallback: Fallback) throws {
        try withFakeVerbs { _ in
            let region = try PeerRegion.allocate(
                4096, of: .host, on: Machine().domain, access: [.localWrite], fallback: fallback)
            #expect(region.bounceReason == nil)
        }
    }

    @Test func bytesAreCountedByTheWayTheyWent() throws {
        try withFakeVerbs { _ in
            let machine = try Machine()
            let host = try PeerRegion.allocate(
                4096, of: .host, on: machine.domain, access: [.localWrite])
            let bounce = try PeerRegion.allocate(
                4096, of: Self.nowhere, on: machine.domain, access: [.localWrite], fallback: .bounce)
            var count = TransferCount()
            count.add(100, through: host)
            count.add(20, through: bounce)
            count.add(3, through: bounce)
            #expect(count.host == 100)
            #expect(count.bounced == 23)
            #expect(count.peerToPeer == 0)
        }
    }

    @Test func hostBytesAreThoseOfTheRegionAndNoMore() throws {
        try withFakeVerbs { _ in
            let region = try PeerRegion.allocate(
                8192, of: .host, on: Machine().domain, access: [.localWrite])
            let bytes = region.hostBytes(at: 4096, count: 4096)
            #expect(UInt64(UInt(bitPattern: bytes?.baseAddress)) == region.keys.address + 4096)
            #expect(bytes?.count == 4096)
            #expect(region.hostBytes(at: 4096, count: 4097) == nil)
            #expect(region.hostBytes(at: -1, count: 1) == nil)
            let last = try region.slice(at: 8191, count: 1)
            #expect(last.byteCount == 1)
            #expect(throws: SliceError.outOfBounds) { try region.slice(at: 8192, count: 1) }
        }
    }

    @Test func aDeviceThatDoesNotAnswerIsNotGuessedAt() throws {
        try withFakeVerbs { fake in
            let machine = try Machine()
            fake.fail("ibv_query_device_ex", .ioError)
            let error = #expect(throws: PeerMRError.self) {
                _ = try PeerRegion.allocate(4096, of: .host, on: machine.domain, access: [.localWrite])
            }
            #expect(error?.call == "ibv_query_device_ex")
            #expect(fake.live(FAKE_REGION) == 0)
        }
    }
}

/// The read that makes sure of earlier writes.
@Suite struct PeerWriteFlushTests {
    @Test func readsOneByteOfWhatWasWritten() throws {
        try withFakeVerbs { _ in
            let machine = try Machine()
            let written = try PeerRegion.allocate(
                16384, of: .host, on: machine.domain, access: [.localWrite, .remoteRead])
            var flush = try PeerWriteFlush(
                depth: 2, on: machine.domain, completions: machine.queue, like: machine.queuePair())
            try flush.post(reading: 8192, of: written.keys, requestID: 99)
            let sent = fake_verbs_last_send()
            #expect(sent.opcode == 4, "IBV_WR_RDMA_READ")
            #expect(sent.request_id == 99)
            #expect(sent.remote_address == written.keys.address + 8192)
            #expect(sent.remote_key == written.keys.remoteKey)
            #expect(sent.byte_count == 1)
            #expect(sent.address != written.keys.address, "it lands elsewhere")
            #expect(sent.flags & 2 != 0, "its completion is what it is for")
        }
    }

    @Test func whatLiesOutsideIsNotRead() throws {
        try withFakeVerbs { fake in
            let machine = try Machine()
            let region = try machine.region(4096)
            var flush = try PeerWriteFlush(
                depth: 2, on: machine.domain, completions: machine.queue, like: machine.queuePair())
            for offset: UInt64 in [4096, .max] {
                #expect(throws: Errno.invalidArgument) {
                    try flush.post(reading: offset, of: region.keys, requestID: 1)
                }
            }
            fake.fail("ibv_post_send", .noMemory)
            #expect(throws: Errno.noMemory) {
                try flush.post(reading: 0, of: region.keys, requestID: 1)
            }
        }
    }

    @Test(arguments: [
        "ibv_create_qp", "ibv_modify_qp", "ibv_query_qp", "ibv_query_gid", "ibv_query_port", "ibv_reg_mr",
    ])
    func leaksNothingWhereItCannotBeMade(_ call: String) throws {
        try withFakeVerbs { fake in
            let machine = try Machine()
            let connected = try machine.queuePair()
            fake.fail(call, .ioError)
            let error = #expect(throws: PeerMRError.self) {
                _ = try PeerWriteFlush(
                    depth: 1, on: machine.domain, completions: machine.queue, like: connected)
            }
            #expect(error?.errno == .ioError)
            #expect(fake.live(FAKE_QUEUE_PAIR) == 1, "only the connected one")
            #expect(fake.live(FAKE_REGION) == 0)
        }
    }
}
