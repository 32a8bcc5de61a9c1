// SPDX-License-Identifier: Apache-2.0

internal import CChecksum
public import PeerMR

/// What stands behind data that was put with a record: whether the put has come to its end, and the data's SHA-256.
///
/// A client writes it like other data, in sessions of its own: before the first byte of data as ``State/writing``, and
/// behind the last, when all of it is on stable storage and was read back, as ``State/complete``. A put that was cut
/// off in between, wherever it was, leaves the first. The server knows nothing of it.
public struct CommitRecord: Equatable, Sendable {
    /// How far the put has come.
    public enum State: UInt8, Sendable {
        /// It has begun: what stands there is old, new, or both.
        case writing = 1
        /// All of it stands there.
        case complete = 2
    }

    /// How far the put has come.
    public var state: State
    /// Where the data begins in the client's range: a record that was copied to another place is none there.
    public var offset: UInt64
    /// How many bytes of data there are.
    public var byteCount: UInt64
    /// The SHA-256 of the data; zeros while it is being written.
    public var sha256: [UInt8]

    /// A record of your own.
    ///
    /// - Parameters:
    ///   - offset: where the data begins in the client's range, in bytes.
    ///   - byteCount: the length of the data.
    ///   - sha256: 32 bytes; nil for a put that begins.
    public init(offset: UInt64, byteCount: UInt64, sha256: [UInt8]? = nil) {
        state = sha256 == nil ? .writing : .complete
        self.offset = offset
        self.byteCount = byteCount
        self.sha256 = sha256 ?? [UInt8](repeating: 0, count: 32)
    }

    /// The length of a record: one block of a drive, which no loss of power tears.
    public static let byteCount = 512
    /// What the data's end is rounded up to: a record never shares a block with it.
    static let alignment: UInt64 = 4096

    /// Where the record of data stands; nil where that is beyond all drives.
    public static func place(behind byteCount: UInt64, at offset: UInt64) -> UInt64? {
        let (end, overflows) = offset.addingReportingOverflow(byteCount)
        guard !overflows, end <= UInt64.max - alignment else { return nil }
        return (end + alignment - 1) / alignment * alignment
    }

    private static let magic: UInt32 = 0x5243_4d50  // "PMCR"
    private static let version: UInt16 = 1

    var bytes: [UInt8] {
        var writer = ByteWriter()
        writer.put(Self.magic)
        writer.put(Self.version)
        writer.put(state.rawValue)
        writer.put(UInt8(0))
        writer.put(offset)
        writer.put(byteCount)
        writer.put(sha256)
        writer.pad(to: Self.byteCount - 4)
        writer.put(unsafe peermr_crc32c(0, writer.bytes, writer.bytes.count))
        return writer.bytes
    }

    /// Reads a record; nil for anything else, and for one that was damaged.
    init?(parsing bytes: [UInt8]) {
        guard bytes.count == Self.byteCount else { return nil }
        var end = ByteReader(Array(bytes.suffix(4)))
        guard unsafe end.take(UInt32.self) == peermr_crc32c(0, bytes, Self.byteCount - 4) else { return nil }
        var reader = ByteReader(bytes)
        guard reader.take(UInt32.self) == Self.magic, reader.take(UInt16.self) == Self.version,
            let state = reader.take(UInt8.self).flatMap(State.init(rawValue:)), reader.take(UInt8.self) == 0,
            let offset = reader.take(UInt64.self), let byteCount = reader.take(UInt64.self),
            let sha256 = reader.take(count: 32), reader.isZero(to: Self.byteCount - 4)
        else { return nil }
        self.state = state
        self.offset = offset
        self.byteCount = byteCount
        self.sha256 = sha256
    }
}

extension DriveClient {
    /// Writes a record behind the place of its data; returns when it is on stable storage.
    ///
    /// - Throws: what ``put(_:at:_:read:progress:)`` throws; `invalidArgument` where there is no room for it.
    public static func write(_ record: CommitRecord, _ options: Options) throws(PeerMRError) {
        guard let place = CommitRecord.place(behind: record.byteCount, at: record.offset) else {
            throw .noRoomForRecord()
        }
        let bytes = record.bytes
        _ = try put(
            UInt64(bytes.count), at: place, options,
            read: { span, offset in
                unsafe span.withUnsafeMutableBytes { target in
                    unsafe target.copyBytes(from: bytes[Int(offset)...].prefix(target.count))
                }
            }, progress: { _ in })
    }

    /// Reads the record of data.
    ///
    /// - Returns: nil where there is none, or one of other data.
    /// - Throws: what ``get(_:at:_:receive:progress:)`` throws; `invalidArgument` where there is no room for it.
    public static func record(
        of byteCount: UInt64, at offset: UInt64, _ options: Options
    ) throws(PeerMRError) -> CommitRecord? {
        guard let place = CommitRecord.place(behind: byteCount, at: offset) else { throw .noRoomForRecord() }
        var bytes: [UInt8] = []
        _ = try get(
            UInt64(CommitRecord.byteCount), at: place, options,
            receive: { span in unsafe span.withUnsafeBytes { unsafe bytes.append(contentsOf: $0) } },
            progress: { _ in })
        guard let record = CommitRecord(parsing: bytes), record.offset == offset, record.byteCount == byteCount else {
            return nil
        }
        return record
    }
}
