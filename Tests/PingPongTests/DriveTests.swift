// SPDX-License-Identifier: Apache-2.0

import Glibc
import PeerMR
import PeerMRCore
import PeerStorage
import SystemPackage
import TestSupport
import Testing
import Verbs

@testable import PingPong

/// The drive that messages go through.
struct DriveTests {
    private let folder = TemporaryFolder()

    private func queue(_ byteCount: Int, claims: UInt64) throws -> StorageQueue {
        folder.file("drive", [UInt8](repeating: 0, count: byteCount))
        let device = BlockDevice(
            standIn: try OwnedDescriptor(opening: folder.path.appending("drive"), flags: O_RDWR), name: "drive",
            byteCount: claims, blockBytes: 512)
        let range = try device.range(at: 0, count: nil)
        return try StorageQueue(device, range: range, depth: 2)
    }

    /// A drive that did part of what it was told has failed.
    @Test func aResultThatIsShortIsAFailure() throws {
        let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: 4096, alignment: 4096)
        defer { buffer.deallocate() }
        let slice = IOVector(address: UInt(bitPattern: buffer.baseAddress), byteCount: 4096)
        for (bytes, failure) in [(8192, nil), (4096 + 512, .ioError)] as [(Int, Errno?)] {
            var queue = try queue(bytes, claims: 8192)
            try queue.read(slice, at: 4096, tag: 0)
            try queue.submit()
            _ = try waitReadable([queue.descriptor], milliseconds: 5000)
            let (isEnded, found) = queue.ended(byteCount: 4096)
            #expect(isEnded && found == failure)
        }
    }

    /// What is timed as "to drive" ends on stable storage.
    @Test func aMessageIsFlushed() throws {
        let log = Log()
        let responder = DriveResponder(LoggedQueue(log: log))
        try responder.store(IOVector(address: 4096, byteCount: 1024), at: 2048, .host)
        #expect(log.entries == ["write 1024 at 2048", "submit", "flush", "submit"])
        log.failing = "flush"
        let error = #expect(throws: PeerMRError.self) {
            try responder.store(IOVector(address: 4096, byteCount: 1024), at: 0, .host)
        }
        #expect(error?.errno == .ioError)
    }
}

private final class Log {
    var entries: [String] = []
    var failing: String?
}

/// A queue that writes down what it is told.
private struct LoggedQueue: DriveQueue, ~Copyable {
    let log: Log
    let blockBytes = 512
    let range = BlockRange(offset: 0, byteCount: 1 << 20)
    let limit = 1 << 20
    let descriptor: Int32 = -1

    borrowing func failed(_ errno: Errno, to verb: String, _ memory: MemoryKind) -> PeerMRError {
        PeerMRError(.system, errno: errno, reason: verb)
    }

    mutating func write(_ slice: IOVector, at offset: UInt64, tag: UInt64) throws(Errno) {
        log.entries.append("write \(slice.byteCount) at \(offset)")
    }

    mutating func read(_ slice: IOVector, at offset: UInt64, tag: UInt64) throws(Errno) {
        log.entries.append("read \(slice.byteCount) at \(offset)")
    }

    mutating func flush(tag: UInt64) throws(Errno) { log.entries.append("flush") }
    mutating func submit() throws(Errno) { log.entries.append("submit") }

    mutating func ended(byteCount: Int) -> (isEnded: Bool, failure: Errno?) {
        (true, log.entries.dropLast().last == log.failing ? .ioError : nil)
    }
}
