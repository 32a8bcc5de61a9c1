// SPDX-License-Identifier: Apache-2.0

import CFakeVerbs
import Glibc
import PeerMR
import TestSupport
import Testing

@testable import PeerTransfer

/// A client and a server over one network, by their own code on both sides, and a drive that is a file.
@Suite struct SessionTests {
    /// One transfer of a client, drawn.
    private struct Wish {
        let isPut: Bool
        let offset: UInt64
        let byteCount: UInt64
        let bytes: [UInt8]
        let options: DriveClient.Options

        init(_ random: inout SeededGenerator) {
            isPut = random.next() % 2 == 0
            offset = random.next() % UInt64(SessionBed.capacity / 512) * 512
            let room = UInt64(SessionBed.capacity) - offset
            let most = [100, 4096, 5000, 20_000, room][Int(random.next() % 5)]
            byteCount = 1 + random.next() % min(room, most)
            bytes = random.bytes(exactly: Int(byteCount))
            options = DriveClient.Options(
                server: SessionBed.address, slotBytes: 4096 << UInt32(random.next() % 2),
                slotCount: 1 + UInt16(random.next() % 6))
        }

        /// - Returns: what came, of a get.
        func run() throws(PeerMRError) -> [UInt8] {
            var came: [UInt8] = []
            if isPut {
                _ = try DriveClient.put(
                    byteCount, at: offset, options,
                    read: { span, place in
                        span.withUnsafeMutableBytes { target in
                            bytes[Int(place)...].prefix(target.count).withUnsafeBytes { target.copyMemory(from: $0) }
                        }
                    }, progress: { _ in })
            } else {
                _ = try DriveClient.get(
                    byteCount, at: offset, options,
                    receive: { span in span.withUnsafeBytes { came.append(contentsOf: $0) } }, progress: { _ in })
            }
            return came
        }
    }

    private func isSame(_ a: ArraySlice<UInt8>, _ b: ArraySlice<UInt8>) -> Bool {
        a.count == b.count
            && a.withUnsafeBytes { a in
                b.withUnsafeBytes { b in a.isEmpty || memcmp(a.baseAddress!, b.baseAddress!, a.count) == 0 }
            }
    }

    /// What is complete is on the drive or in the file, byte for byte; nothing else has changed or is counted.
    @Test(arguments: 0..<40)
    func transfersThatEndWell(_ seed: UInt64) throws {
        try withSessionBed(seed: 7000 + seed) { bed in
            var random = SeededGenerator(seed: 100 + seed)
            var model = bed.drive.bytes
            for index in 0..<25 {
                let wish = Wish(&random)
                let place = Int(wish.offset)..<Int(wish.offset + wish.byteCount)
                let moved = fake_network_moved()
                let came = try wish.run()
                if wish.isPut { model.replaceSubrange(place, with: wish.bytes) }
                #expect(wish.isPut || isSame(came[...], model[place]))
                #expect(fake_network_moved() - moved == wish.byteCount)
                bed.settle(until: { bed.reports.count == index + 1 }, "the server has the end of it")
                let report = try #require(bed.reports.last)
                #expect(report.failure == nil)
                #expect(report.count.host == wish.byteCount)
                let bytes = bed.drive.bytes
                #expect(isSame(bytes[...], model[...]), "the drive after \(wish.isPut ? "put" : "get") of \(place)")
            }
        }
    }
}
