// SPDX-License-Identifier: Apache-2.0

import CChecksum
import CFakeVerbs
import PeerMR
import TestSupport
import Testing

@testable import PeerTransfer

/// What was sent is what comes back, or it is said.
@Suite struct DigestTests {
    /// RFC 3720, B.4, and the check value of the catalogues of CRCs.
    @Test(
        arguments: [
            (Array("123456789".utf8), 0xe306_9283), ([], 0), ([UInt8](repeating: 0, count: 32), 0x8a91_36aa),
            ([UInt8](repeating: 0xff, count: 32), 0x62a8_ab43), ((0..<32).map { UInt8($0) }, 0x46dd_794e),
            ((0..<32).map { UInt8(31 - $0) }, 0x113f_db5c),
        ] as [([UInt8], UInt32)])
    func theSumIsThatOfTheStandard(_ bytes: [UInt8], _ sum: UInt32) {
        #expect(peermr_crc32c(0, bytes, bytes.count) == sum)
        #expect(peermr_crc32c_by_tables(0, bytes, bytes.count) == sum)
    }

    /// Whatever the processor has: the same sum, for every length and alignment, in one piece or in two.
    @Test func tablesAndInstructionsAgree() {
        var random = SeededGenerator(seed: 90)
        let bytes = random.bytes(exactly: 40_000)
        for _ in 0..<4_000 {
            let start = Int(random.next() % 64)
            let count = Int(random.next() % 12_000)
            let cut = Int(random.next() % UInt64(count + 1))
            let seed = UInt32(truncatingIfNeeded: random.next())
            let agree = bytes[start..<start + count].withUnsafeBytes { part in
                let whole = peermr_crc32c(seed, part.baseAddress, count)
                let first = peermr_crc32c(seed, part.baseAddress, cut)
                return whole == peermr_crc32c_by_tables(seed, part.baseAddress, count)
                    && whole == peermr_crc32c(first, part.baseAddress.map { $0 + cut }, count - cut)
            }
            if !agree { Issue.record("\(count) bytes from \(start) on, cut at \(cut)") }
        }
    }

    /// Bytes that land in another place have another digest there.
    @Test func aDigestIsBoundToItsOffset() {
        let bytes = [UInt8](repeating: 7, count: 4096)
        let digests = (0..<1000).map { ChunkDigest.of(bytes.span.bytes, at: UInt64($0) * 512) }
        #expect(Set(digests).count == 1000)
        #expect(digests[0] == ChunkDigest.of(bytes.span.bytes, at: 0))
    }

    private static func put(
        _ bytes: [UInt8], at offset: UInt64 = 512, slots: UInt16 = 2
    ) throws(PeerMRError) -> (outcome: TransferOutcome, came: [UInt8]) {
        var came: [UInt8] = []
        let options = DriveClient.Options(server: SessionBed.address, slotBytes: 4096, slotCount: slots)
        let outcome = try DriveClient.putAndReadBack(
            UInt64(bytes.count), at: offset, options,
            read: { span, place in
                span.withUnsafeMutableBytes { target in
                    bytes[Int(place)...].prefix(target.count).withUnsafeBytes { target.copyMemory(from: $0) }
                }
            }, progress: { _ in },
            receive: { span in span.withUnsafeBytes { came.append(contentsOf: $0) } }, receiveProgress: { _ in })
        return (outcome, came)
    }

    @Test(arguments: [1, 100, 4096, 4097, 8192, 20_000, 40_000], [false, true])
    func whatWasPutComesBackInTheSameSession(_ count: Int, _ checks: Bool) throws {
        try withSessionBed(seed: UInt64(count), { $0.checksDigests = checks }) { bed in
            var random = SeededGenerator(seed: 91)
            let bytes = random.bytes(exactly: count)
            let (outcome, came) = try Self.put(bytes)
            #expect(came == bytes && outcome.byteCount == UInt64(count))
            #expect(Array(bed.drive.bytes[512..<512 + count]) == bytes)
            bed.settle(until: { bed.reports.count == 2 }, "both halves are told of")
            #expect(bed.reports.map(\.operation) == [.put, .get])
            #expect(bed.reports.allSatisfy { $0.failure == nil && $0.count.host == UInt64(count) })
        }
    }

    /// A drive that keeps other bytes than it was given says nothing: the client finds it.
    @Test(arguments: [false, true])
    func otherBytesOnTheDriveAreFound(_ checks: Bool) throws {
        try withSessionBed(seed: 5, { $0.checksDigests = checks }) { bed in
            let bytes = [UInt8](repeating: 3, count: 20_000)
            bed.drive.fault = { entry in
                guard entry.operation == .flush else { return }
                var changed = bed.drive.bytes
                changed[512 + 9000] ^= 0x10
                bed.drive.bytes = changed
            }
            let error = #expect(throws: PeerMRError.self) { try Self.put(bytes) }
            #expect(error?.code == .dataMismatch)
            #expect(error?.reason.contains("from offset 8704 on") == true, "\(error?.reason ?? "")")
            bed.drive.fault = nil
        }
    }

    /// Bytes that the path has changed: the server sees it before they are on the drive.
    @Test func aServerThatSeesTheBytesRefusesChangedOnes() throws {
        try withSessionBed(seed: 6, { $0.checksDigests = true }) { bed in
            let before = bed.drive.bytes
            let client = try ScriptedClient(bed)
            try client.connect(client.hello(.put, 4096))
            for _ in 0..<4 {
                bed.settle()
                try client.listen()
            }
            try #require(client.welcome?.hasDigests == true)
            try client.write(slot: 0, sequence: 0, digest: 0x1234_5678)
            bed.settle(milliseconds: 2000)
            try client.listen()
            #expect(client.messages.last == .failed(.changed, errno: 0))
            #expect(bed.reports.first?.failure?.code == .dataMismatch)
            #expect(isSame(before[...], bed.drive.bytes[...]), "changed bytes on the drive")
        }
    }

    /// A get from a server that sees the bytes brings their digests; the client compares them.
    @Test func aGetBringsDigestsWhereTheyAreKnown() throws {
        try withSessionBed(seed: 7, { $0.checksDigests = true }) { bed in
            var random = SeededGenerator(seed: 92)
            bed.drive.bytes = random.bytes(exactly: SessionBed.capacity)
            let client = try ScriptedClient(bed)
            try client.connect(client.hello(.get, 4096, at: 8192))
            for _ in 0..<4 {
                bed.settle()
                try client.listen()
            }
            let bytes = Array(bed.drive.bytes[8192..<12_288])
            #expect(client.chunks == [ChunkDigest.of(bytes.span.bytes, at: 8192)])
        }
    }

    /// Reading back is asked for once, behind the acknowledgement, by who has said so before.
    @Test func readingBackIsNoWayIntoOtherTransfers() throws {
        for (isReadBack, count) in [(false, 1), (true, 2)] {
            try withSessionBed(seed: 8) { bed in
                let client = try ScriptedClient(bed)
                var hello = client.hello(.put, 4096)
                hello.isReadBack = isReadBack
                try client.connect(hello)
                for _ in 0..<4 {
                    bed.settle()
                    try client.listen()
                }
                try client.write(slot: 0, sequence: 0)
                bed.settle()
                try client.listen()
                try #require(client.messages.last == .done)
                for _ in 0..<count { try client.link.send(.readBack) }
                bed.settle(milliseconds: 3000)
                try client.listen()
                #expect(client.isOver)
                #expect(bed.reports.first?.failure == nil, "the put was complete")
            }
        }
    }
}
