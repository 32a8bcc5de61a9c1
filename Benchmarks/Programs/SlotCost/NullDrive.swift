// SPDX-License-Identifier: Apache-2.0

import PeerMR
import PeerStorage
import PeerTransfer
import SystemPackage

/// A drive that has done all that it is told as soon as it is told to begin.
final class NullDrive: Drive {
    let path = FilePath("/dev/null0")
    let range = BlockRange(offset: 0, byteCount: 1 << 50)
    let blockBytes = 512
    let depth: Int
    let descriptor: Int32 = -1
    let isPresent = true
    private let done: UnsafeMutablePointer<StorageCompletion>
    private var first = 0
    private var prepared = 0
    private var finished = 0

    init(depth: Int) {
        self.depth = depth
        done = .allocate(capacity: depth)
        done.initialize(repeating: StorageCompletion(tag: 0, result: 0), count: depth)
    }

    deinit { done.deallocate() }

    var inFlight: Int { prepared + finished }

    private func take(_ byteCount: Int, _ tag: UInt64) throws(Errno) {
        guard inFlight < depth else { throw .resourceBusy }
        done[(first + inFlight) % depth] = StorageCompletion(tag: tag, result: Int32(byteCount))
        prepared += 1
    }

    func read(_ slice: IOVector, at offset: UInt64, tag: UInt64) throws(Errno) { try take(slice.byteCount, tag) }
    func write(_ slice: IOVector, at offset: UInt64, tag: UInt64) throws(Errno) { try take(slice.byteCount, tag) }
    func flush(tag: UInt64) throws(Errno) { try take(0, tag) }

    func submit() throws(Errno) {
        finished += prepared
        prepared = 0
    }

    func next() -> StorageCompletion? {
        guard finished > 0 else { return nil }
        finished -= 1
        defer { first = (first + 1) % depth }
        return done[first]
    }

    func failure(_ errno: Errno, _ operation: String, memory: MemoryKind) -> PeerMRError {
        PeerMRError(.system, errno: errno, reason: "the drive of the benchmark failed")
    }
}
