// SPDX-License-Identifier: Apache-2.0

import PeerMR
import PeerStorage
import SystemPackage
import TestSupport
import Testing

@testable import PeerTransfer

/// A drive that takes what it is given, and finishes it when a test says so, the first first.
private final class NoteTaker: Drive {
    let path = FilePath("/dev/notes")
    let range = BlockRange(offset: 0, byteCount: 1 << 30)
    let blockBytes = 512
    let depth: Int
    let descriptor: Int32 = -1
    let isPresent = true
    private(set) var running: [(tag: UInt64, offset: UInt64, byteCount: Int)] = []
    private(set) var log: [(offset: UInt64, byteCount: Int)] = []
    private var done: [UInt64] = []
    private(set) var submissions = 0
    var refuses = false

    init(depth: Int) { self.depth = depth }

    var inFlight: Int { running.count + done.count }
    var bytes: Int { running.reduce(0) { $0 + $1.byteCount } }

    private func take(_ byteCount: Int, _ offset: UInt64, _ tag: UInt64) throws(Errno) {
        if refuses { throw .invalidArgument }
        if running.contains(where: { $0.tag == tag }) { Issue.record("a tag that is in use") }
        running.append((tag, offset, byteCount))
        log.append((offset, byteCount))
    }

    func read(_ slice: IOVector, at offset: UInt64, tag: UInt64) throws(Errno) {
        try take(slice.byteCount, offset, tag)
    }

    func write(_ slice: IOVector, at offset: UInt64, tag: UInt64) throws(Errno) {
        try take(slice.byteCount, offset, tag)
    }

    func flush(tag: UInt64) throws(Errno) { try take(0, 0, tag) }
    func submit() throws(Errno) { submissions += 1 }
    func finish(_ index: Int = 0) { done.append(running.remove(at: index).tag) }
    func next() -> StorageCompletion? { done.isEmpty ? nil : StorageCompletion(tag: done.removeFirst(), result: 0) }
    func failure(_ errno: Errno, _ operation: String, memory: MemoryKind) -> PeerMRError {
        PeerMRError(.system, reason: "\(errno)")
    }
}

@Suite struct SharedDriveTests {
    private func add(_ shared: SharedDrive, _ lane: Int, _ byteCount: Int, _ tag: UInt64 = 0) throws(Errno) {
        try shared.add(
            .write, IOVector(address: 4096, byteCount: byteCount), at: UInt64(lane) << 20, tag: tag, lane: lane)
    }

    /// With chunks of another size each, and always something to do, all get the same number of bytes.
    @Test(arguments: [[65536, 65536], [65536, 4096], [512, 65536, 8192, 4096], [65536, 32768, 61440]])
    func turnsAreByBytes(_ sizes: [Int]) throws {
        let drive = NoteTaker(depth: 64)
        let shared = SharedDrive(drive, lanes: sizes.count, slotCount: 4, slotBytes: 65536)
        for _ in 0..<4000 {
            for (lane, size) in sizes.enumerated() {
                // Small chunks come in greater number: all that there is room for.
                while shared.outstanding(lane) - shared.inFlight(lane) < 6 { try add(shared, lane, size) }
            }
            try shared.start { _, _ in Issue.record("refused") }
            while let (lane, _) = shared.next() { #expect(lane < sizes.count) }
            drive.finish()
        }
        let moved = sizes.indices.map { lane in
            drive.log.reduce(0) { $0 + (Int($1.offset >> 20) == lane ? $1.byteCount : 0) }
        }
        let fair = moved.reduce(0, +) / moved.count
        // Six small chunks are all that a lane can have waiting: it is not backlogged with more.
        for (lane, size) in sizes.enumerated() where size * 6 >= 65536 {
            #expect(moved[lane] * 10 >= fair * 9, "\(moved)")
        }
    }

    /// One client alone is never held back; more wait until there is room.
    @Test func onlySoMuchIsAtTheDrive() throws {
        let drive = NoteTaker(depth: 64)
        let shared = SharedDrive(drive, lanes: 8, slotCount: 4, slotBytes: 4096)
        for tag in 0..<4 { try add(shared, 0, 4096, UInt64(tag)) }
        try shared.start { _, _ in }
        #expect(drive.running.count == 4)
        for lane in 1..<8 { for tag in 0..<4 { try add(shared, lane, 4096, UInt64(tag)) } }
        try shared.start { _, _ in }
        #expect(drive.bytes == 2 * 4 * 4096)
        #expect(shared.outstanding(7) == 4 && shared.inFlight(7) == 0)
        for _ in 0..<24 {
            drive.finish()
            _ = shared.next()
            try shared.start { _, _ in }
            #expect(drive.bytes == 2 * 4 * 4096 || drive.log.count == 32)
        }
        #expect((0..<8).allSatisfy { lane in drive.log.count { Int($0.offset >> 20) == lane } == 4 })
    }

    @Test func neverMoreThanTheQueueIsDeep() throws {
        let drive = NoteTaker(depth: 3)
        let shared = SharedDrive(drive, lanes: 2, slotCount: 4, slotBytes: 4096)
        for lane in 0..<2 { for tag in 0..<6 { try add(shared, lane, 512, UInt64(tag)) } }
        #expect(throws: Errno.resourceBusy) { try add(shared, 0, 512) }
        var tags: [[UInt64]] = [[], []]
        while tags[0].count + tags[1].count < 12 {
            try shared.start { _, _ in }
            #expect(drive.running.count <= 3 && !drive.running.isEmpty)
            if drive.running.isEmpty { break }
            drive.finish(drive.running.count - 1)
            while let (lane, completion) = shared.next() { tags[lane].append(completion.tag) }
        }
        #expect(tags.allSatisfy { Set($0) == Set(0..<6) }, "each once, with its own tag")
    }

    /// What a client that has failed wanted is forgotten, and its turn goes to the others.
    @Test func whatIsDroppedIsNotBegun() throws {
        let drive = NoteTaker(depth: 64)
        let shared = SharedDrive(drive, lanes: 3, slotCount: 4, slotBytes: 4096)
        for lane in 0..<3 { try add(shared, lane, 4096) }
        shared.drop(1)
        #expect(shared.outstanding(1) == 0)
        try shared.start { _, _ in }
        #expect(drive.log.map { Int($0.offset >> 20) } == [0, 2])
        try add(shared, 1, 4096)
        shared.drop(1)
        try add(shared, 1, 512)
        try shared.start { _, _ in }
        #expect(drive.log.map(\.byteCount) == [4096, 4096, 512])
    }

    /// What the drive does not take is its client's alone, and the others' go on.
    @Test func whatIsRefusedIsTold() throws {
        let drive = NoteTaker(depth: 64)
        let shared = SharedDrive(drive, lanes: 2, slotCount: 4, slotBytes: 4096)
        drive.refuses = true
        try add(shared, 1, 4096, 17)
        var told: [(Int, StorageCompletion)] = []
        try shared.start { told.append(($0, $1)) }
        #expect(told.count == 1 && told[0].0 == 1 && told[0].1.tag == 17 && told[0].1.errno == .invalidArgument)
        #expect(shared.outstanding(1) == 0 && drive.inFlight == 0)
        drive.refuses = false
        try add(shared, 0, 4096)
        try shared.start { _, _ in Issue.record("refused") }
        #expect(drive.log.count == 1)
    }
}
