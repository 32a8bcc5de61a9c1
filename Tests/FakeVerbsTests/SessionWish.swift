// SPDX-License-Identifier: Apache-2.0

import Glibc
import PeerMR
import PeerTransfer
import TestSupport

/// One transfer of a client, drawn.
struct SessionWish {
    let isPut: Bool
    let offset: UInt64
    let byteCount: UInt64
    let bytes: [UInt8]
    let options: DriveClient.Options
    /// After how many bytes the client's own side fails; nil for never.
    var failsAfter: UInt64?
    /// What came, of a get.
    private(set) var came: [UInt8] = []

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

    /// One whose bytes alone are drawn.
    init(isPut: Bool, offset: UInt64, byteCount: UInt64, seed: Int) {
        var random = SeededGenerator(seed: UInt64(seed))
        (self.isPut, self.offset, self.byteCount) = (isPut, offset, byteCount)
        bytes = random.bytes(exactly: Int(byteCount))
        options = DriveClient.Options(server: SessionBed.address, slotBytes: 4096, slotCount: 2)
    }

    /// Where it stands on the drive.
    var place: Range<Int> { Int(offset)..<Int(offset + byteCount) }

    static let ownFailure = PeerMRError(.dataMismatch, reason: "the client's own")

    mutating func run() throws(PeerMRError) {
        if isPut { try put() } else { try get() }
    }

    private func put() throws(PeerMRError) {
        _ = try DriveClient.put(
            byteCount, at: offset, options,
            read: { span, place throws(PeerMRError) in
                if let failsAfter, place >= failsAfter { throw Self.ownFailure }
                span.withUnsafeMutableBytes { target in
                    bytes[Int(place)...].prefix(target.count).withUnsafeBytes { target.copyMemory(from: $0) }
                }
            }, progress: { _ in })
    }

    private mutating func get() throws(PeerMRError) {
        var came: [UInt8] = []
        defer { self.came = came }
        _ = try DriveClient.get(
            byteCount, at: offset, options,
            receive: { span throws(PeerMRError) in
                if let failsAfter, came.count >= failsAfter { throw Self.ownFailure }
                span.withUnsafeBytes { came.append(contentsOf: $0) }
            }, progress: { _ in })
    }
}

/// Whether two runs of bytes are the same, fast in a debug build too.
func isSame(_ a: ArraySlice<UInt8>, _ b: ArraySlice<UInt8>) -> Bool {
    a.count == b.count
        && a.withUnsafeBytes { a in
            b.withUnsafeBytes { b in a.isEmpty || memcmp(a.baseAddress!, b.baseAddress!, a.count) == 0 }
        }
}
