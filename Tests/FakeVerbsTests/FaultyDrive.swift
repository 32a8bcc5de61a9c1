// SPDX-License-Identifier: Apache-2.0

import CFakeVerbs
import Glibc
import PeerMR
import PeerMRCore
import PeerStorage
import PeerTransfer
import SystemPackage
import TestSupport

/// A drive that is a file in memory, read and written by a real ``StorageQueue``.
///
/// What the file has done is told to the server when the test says so, in an order of its choice, and as it wants it:
/// as it was, as an error, cut short, or never.
final class FaultyDrive: Drive {
    enum Operation { case read, write, flush }

    /// An operation from its start to the news of its end.
    struct Entry {
        let operation: Operation
        let offset: UInt64
        let byteCount: Int
        let tag: UInt64
        /// How many operations the server knew the end of when this one was started: those a flush is for.
        var known = 0
        var result: Int32 = 0
    }

    let path = FilePath("/dev/test0")
    let name = "test0"
    private let inner: BlockDrive
    private let file: Int32
    private var started: [Entry] = []
    /// What the file has done, and the server does not know.
    private(set) var held: [Entry] = []
    private var told: [Entry] = []
    /// All that the server was told of, in order.
    private(set) var log: [Entry] = []
    /// Called for each operation that the file has done: changes its result.
    var fault: ((inout Entry) -> Void)?
    /// Whether the server is told of nothing more.
    var isHanging = false
    /// Takes so many operations, and refuses the next; nil for none.
    var refusesAfter: Int?

    init(byteCount: Int, blockBytes: Int = 512) throws {
        file = fake_verbs_memory_file()
        _ = ftruncate(file, byteCount)
        let device = BlockDevice(
            standIn: OwnedDescriptor(adopting: dup(file)), name: "test0", byteCount: UInt64(byteCount),
            blockBytes: blockBytes)
        let range = try device.range(at: 0, count: nil)
        inner = BlockDrive(try StorageQueue(device, range: range, depth: 64))
    }

    deinit { _ = Glibc.close(file) }

    var range: BlockRange { inner.range }
    var blockBytes: Int { inner.blockBytes }
    var depth: Int { inner.depth }
    var descriptor: Int32 { -1 }
    /// False: the drive has been pulled out.
    var isPresent = true
    var inFlight: Int { started.count + held.count + told.count }

    private func admit() throws(Errno) {
        guard let left = refusesAfter else { return }
        refusesAfter = left > 0 ? left - 1 : nil
        if left == 0 { throw .resourceBusy }
    }

    func read(_ slice: IOVector, at offset: UInt64, tag: UInt64) throws(Errno) {
        try admit()
        try inner.read(slice, at: offset, tag: tag)
        started.append(Entry(operation: .read, offset: offset, byteCount: slice.byteCount, tag: tag))
    }

    func write(_ slice: IOVector, at offset: UInt64, tag: UInt64) throws(Errno) {
        try admit()
        try inner.write(slice, at: offset, tag: tag)
        started.append(Entry(operation: .write, offset: offset, byteCount: slice.byteCount, tag: tag))
    }

    func flush(tag: UInt64) throws(Errno) {
        try admit()
        try inner.flush(tag: tag)
        started.append(Entry(operation: .flush, offset: 0, byteCount: 0, tag: tag, known: log.count))
    }

    /// Starts what has been prepared, and waits for the file: what it does is the same in every run.
    func submit() throws(Errno) {
        try inner.submit()
        while inner.inFlight > 0 {
            guard let completion = inner.next() else {
                sched_yield()
                continue
            }
            guard let index = started.firstIndex(where: { $0.tag == completion.tag }) else { continue }
            var entry = started.remove(at: index)
            entry.result = completion.result
            fault?(&entry)
            held.append(entry)
        }
    }

    func next() -> StorageCompletion? {
        guard !told.isEmpty else { return nil }
        let entry = told.removeFirst()
        log.append(entry)
        return StorageCompletion(tag: entry.tag, result: entry.result)
    }

    func failure(_ errno: Errno, _ operation: String, memory: MemoryKind) -> PeerMRError {
        inner.failure(errno, operation, memory: memory)
    }
}

extension FaultyDrive {
    /// Lets the server know of one thing that the file has done.
    func tell(_ index: Int) { told.append(held.remove(at: index)) }

    func tellAll() { while !held.isEmpty { tell(0) } }

    /// The bytes of the file, past the server.
    var bytes: [UInt8] {
        get {
            [UInt8](unsafeUninitializedCapacity: Int(range.byteCount)) { buffer, count in
                count = max(0, pread(file, buffer.baseAddress, buffer.count, 0))
            }
        }
        set { _ = newValue.withUnsafeBytes { pwrite(file, $0.baseAddress, $0.count, 0) } }
    }
}
