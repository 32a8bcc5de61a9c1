// SPDX-License-Identifier: Apache-2.0

import CFakeVerbs
import PeerMR
import TestSupport
import Testing

@testable import PeerTransfer

/// What stands behind data that was put with a record.
@Suite struct CommitRecordTests {
    private static let hash = (0..<32).map { UInt8($0) }

    @Test func aRecordHasThisLayout() {
        let record = CommitRecord(offset: 0x0102_0304_0506_0708, byteCount: 0x1112_1314_1516_1718, sha256: Self.hash)
        #expect(record.bytes.count == 512)
        #expect(
            Array(record.bytes.prefix(24)) == [
                0x50, 0x4d, 0x43, 0x52, 1, 0, 2, 0, 8, 7, 6, 5, 4, 3, 2, 1, 0x18, 0x17, 0x16, 0x15, 0x14, 0x13, 0x12,
                0x11,
            ])
        #expect(Array(record.bytes[24..<56]) == Self.hash)
        #expect(CommitRecord(parsing: record.bytes) == record)
        let begun = CommitRecord(offset: 0, byteCount: 1)
        #expect(begun.state == .writing && CommitRecord(parsing: begun.bytes) == begun)
    }

    /// One that was torn or damaged is none, whichever byte it is.
    @Test func aDamagedRecordIsNone() {
        let bytes = CommitRecord(offset: 4096, byteCount: 100, sha256: Self.hash).bytes
        for place in bytes.indices {
            var damaged = bytes
            damaged[place] ^= 0x40
            #expect(CommitRecord(parsing: damaged) == nil, "byte \(place)")
        }
        for count in [0, 64, 511] { #expect(CommitRecord(parsing: Array(bytes.prefix(count))) == nil) }
        #expect(CommitRecord(parsing: [UInt8](repeating: 0, count: 512)) == nil)
    }

    @Test(
        arguments: [
            (0, 1, 4096), (0, 4096, 4096), (0, 4097, 8192), (512, 4096, 8192), (1 << 40, 1, 1 << 40 + 4096),
            (.max, 1, nil), (1, .max, nil), (.max - 8191, 8190, nil), (.max - 8191, 4095, .max - 4095),
        ] as [(UInt64, UInt64, UInt64?)])
    func aRecordStandsBehindItsData(_ offset: UInt64, _ count: UInt64, _ place: UInt64?) {
        #expect(CommitRecord.place(behind: count, at: offset) == place)
    }

    private static let options = DriveClient.Options(server: SessionBed.address, slotBytes: 4096, slotCount: 2)

    @Test func aRecordIsWrittenAndFoundAgain() throws {
        try withSessionBed { bed in
            var random = SeededGenerator(seed: 4)
            bed.drive.bytes = random.bytes(exactly: SessionBed.capacity)
            let before = bed.drive.bytes
            #expect(try DriveClient.record(of: 5000, at: 512, Self.options) == nil)
            let begun = CommitRecord(offset: 512, byteCount: 5000)
            try DriveClient.write(begun, Self.options)
            #expect(try DriveClient.record(of: 5000, at: 512, Self.options) == begun)
            let ended = CommitRecord(offset: 512, byteCount: 5000, sha256: Self.hash)
            try DriveClient.write(ended, Self.options)
            #expect(try DriveClient.record(of: 5000, at: 512, Self.options) == ended)
            // That of other data in the same place, of which it says nothing.
            #expect(try DriveClient.record(of: 5001, at: 512, Self.options) == nil)
            let after = bed.drive.bytes
            #expect(isSame(before[..<8192], after[..<8192]) && isSame(before[8704...], after[8704...]))
        }
    }

    /// The record is durable before the first byte of data is sent: a put that is cut off anywhere can be told.
    @Test func aRecordIsOnStableStorageWhenItIsWritten() throws {
        try withSessionBed { bed in
            try DriveClient.write(CommitRecord(offset: 0, byteCount: 5000), Self.options)
            #expect(bed.drive.log.map(\.operation) == [.write, .flush])
            bed.drive.fault = { if $0.operation == .flush { $0.result = -5 } }
            #expect(throws: PeerMRError.self) {
                try DriveClient.write(CommitRecord(offset: 0, byteCount: 5000), Self.options)
            }
            bed.drive.fault = nil
        }
    }

    @Test func aRecordWithoutRoomIsRefused() throws {
        try withSessionBed { bed in
            let count = UInt64(SessionBed.capacity)
            let error = #expect(throws: PeerMRError.self) {
                try DriveClient.write(CommitRecord(offset: 0, byteCount: count), Self.options)
            }
            #expect(error?.code == .invalidArgument && bed.drive.log.isEmpty)
            #expect(throws: PeerMRError.self) { try DriveClient.record(of: .max, at: 1, Self.options) }
        }
    }
}
