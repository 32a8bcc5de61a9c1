// SPDX-License-Identifier: Apache-2.0

import CommandSupport
import PeerMR
import PeerTransfer
import SystemPackage

/// What is looked at together when a put is resumed, in bytes: it goes on at the first such piece that differs.
private let pieceBytes: UInt64 = 64 << 20

extension Put {
    /// Where a put that was cut off goes on: 0 to begin anew.
    ///
    /// The drive is read back up to the first piece that is not that of the file; nothing but the bytes is believed.
    func resumePoint(
        _ source: FileDescriptor, _ byteCount: UInt64, _ options: DriveClient.Options
    ) throws(PeerMRError) -> UInt64 {
        let offset = client.offset.count
        guard let record = try DriveClient.record(of: byteCount, at: offset, options) else {
            say("there is no record of a put of \(byteCount) bytes at \(offset): all of it is sent")
            return 0
        }
        var start: UInt64 = 0
        var bar = ProgressBar("compare", total: byteCount, isShown: client.progress)
        while start < byteCount {
            let count = min(pieceBytes, byteCount - start)
            guard try isSame(source, start, count, options) else { break }
            start += count
            bar.show(start)
        }
        let was = record.state == .complete ? "a put that was complete" : "a put that was cut off"
        say("there is \(was): \(start) of \(byteCount) bytes stand on the drive")
        return start
    }

    /// Whether a piece of the drive is that of the file.
    private func isSame(
        _ source: FileDescriptor, _ start: UInt64, _ count: UInt64, _ options: DriveClient.Options
    ) throws(PeerMRError) -> Bool {
        var isSame = true
        var place = start
        var expected: [UInt8] = []
        _ = try DriveClient.get(
            count, at: client.offset.count + start, options,
            receive: { bytes throws(PeerMRError) in
                if expected.count != bytes.byteCount { expected = [UInt8](repeating: 0, count: bytes.byteCount) }
                var room = expected.mutableSpan
                var span = unsafe room.mutableBytes
                try fill(&span, from: source, at: place)
                place += UInt64(bytes.byteCount)
                if isSame {
                    isSame = unsafe bytes.withUnsafeBytes { found in
                        unsafe expected.withUnsafeBytes { unsafe found.elementsEqual($0) }
                    }
                }
            }, progress: { _ in })
        return isSame
    }
}

/// Adds a part of the file to its digest that is not sent again.
///
/// - Parameter stop: a descriptor that becomes readable when the program is to end.
func hash(
    _ source: FileDescriptor, upTo end: UInt64, into digest: borrowing Digest, stop: Int32
) throws(PeerMRError) {
    var chunk = [UInt8](repeating: 0, count: 1 << 18)
    var place: UInt64 = 0
    while place < end {
        if isReadable(stop) { throw .stopped }
        let count = Int(min(UInt64(chunk.count), end - place))
        if count < chunk.count { chunk.removeLast(chunk.count - count) }
        var room = chunk.mutableSpan
        var span = unsafe room.mutableBytes
        try fill(&span, from: source, at: place)
        try digest.update(unsafe chunk.span.bytes)
        place += UInt64(count)
    }
}

extension Get {
    /// The SHA-256 that the record behind the data says.
    ///
    /// - Throws: `dataMismatch` where the put has not come to its end.
    func recorded(_ options: DriveClient.Options) throws(PeerMRError) -> String {
        let record = try DriveClient.record(of: length.count, at: client.offset.count, options)
        guard let record else {
            throw PeerMRError(
                .notFound, reason: "there is no record behind \(length.count) bytes at \(client.offset.count)",
                remedy: "give length and offset of what was put with --commit")
        }
        guard record.state == .complete else {
            throw PeerMRError(
                .dataMismatch, reason: "the put of these \(length.count) bytes was cut off: they are old, new or both",
                remedy: "let its client finish it: nic-to-nvme put --resume")
        }
        return describe(record.sha256)
    }
}

/// Bytes in hexadecimal.
func describe(_ bytes: [UInt8]) -> String {
    bytes.map { ($0 < 16 ? "0" : "") + String($0, radix: 16) }.joined()
}
