// SPDX-License-Identifier: Apache-2.0

import PeerMR
import PeerStorage
import SystemPackage

/// What both directions of a transfer share on the server: the link, the slots in peer memory, and the drive.
final class TransferContext {
    let link: Link
    let region: PeerRegion
    let chunks: Chunks
    let hello: Hello
    /// Where the client's bytes begin in the server's range: its offset is one in the part that it was given.
    let base: UInt64
    var count = TransferCount()
    /// Whether digests are computed on this side, too.
    private let seesBytes: Bool
    private let drive: SharedDrive
    private let lane: Int

    init(
        link: Link, region: consuming PeerRegion, plan: TransferPlan, seesBytes: Bool, drive: SharedDrive, lane: Int
    ) {
        self.link = link
        self.region = region
        chunks = plan.chunks
        hello = plan.hello
        base = plan.base
        self.seesBytes = seesBytes
        self.drive = drive
        self.lane = lane
    }

    /// Asks for the drive's work on part of a slot; it is begun when it is this client's turn.
    func storage(
        _ direction: Direction, slot: Int, place: UInt64 = 0, byteCount: Int, at offset: UInt64,
        tag: UInt64
    ) throws(PeerMRError) {
        do {
            let start = slot * Int(chunks.slotBytes) + Int(place)
            let slice = try region.slice(at: start, count: byteCount)
            try drive.add(direction == .read ? .read : .write, slice, at: base + offset, tag: tag, lane: lane)
        } catch {
            throw failure((error as? Errno) ?? .invalidArgument, direction.rawValue)
        }
    }

    enum Direction: String { case read, write }

    func flush() throws(PeerMRError) {
        do {
            try drive.flush(tag: StorageTag.make(StorageTag.flush), lane: lane)
        } catch { throw failure(error, "flush") }
    }

    /// The sentence for a drive that failed.
    func failure(_ errno: Errno, _ operation: String) -> PeerMRError {
        drive.drive.failure(errno, operation, memory: region.kind)
    }

    /// The digest of a chunk that stands in its slot; nil where this side does not see its bytes.
    func digest(of chunk: UInt64) -> UInt32? {
        let place = chunks.slot(of: chunk) * Int(chunks.slotBytes)
        guard seesBytes, let bytes = unsafe region.hostBytes(at: place, count: Int(chunks.bytes(of: chunk))) else {
            return nil
        }
        return unsafe ChunkDigest.of(UnsafeRawBufferPointer(bytes).bytes, at: hello.offset &+ chunks.offset(of: chunk))
    }

    /// The part of the region that a chunk fills.
    func entry(of chunk: UInt64) throws(PeerMRError) -> ScatterGatherElement {
        do {
            return try region.keys.element(
                at: UInt64(chunks.slot(of: chunk)) * chunks.slotBytes, count: chunks.bytes(of: chunk))
        } catch {
            throw .chunkOutsideRegion(chunk, "\(error)")
        }
    }
}

/// What a storage operation was for: the kind and the slot, in its tag.
enum StorageTag {
    static let data: UInt64 = 0
    static let tail: UInt64 = 1
    static let flush: UInt64 = 2

    static func make(_ kind: UInt64, slot: Int = 0) -> UInt64 { kind << 32 | UInt64(slot) }
    static func kind(_ tag: UInt64) -> UInt64 { tag >> 32 }
    static func slot(_ tag: UInt64) -> Int { Int(tag & 0xffff_ffff) }
}
