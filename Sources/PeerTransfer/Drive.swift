// SPDX-License-Identifier: Apache-2.0

package import PeerMR
package import PeerStorage
package import SystemPackage

/// What a server serves from: reads, writes and flushes of one range, many in flight.
///
/// ``BlockDrive`` is the only one outside of tests, which put faults between it and the server.
package protocol Drive: AnyObject {
    /// What it was opened by.
    var path: FilePath { get }
    /// The only part of the drive that is touched.
    var range: BlockRange { get }
    /// I/O begins and ends on a multiple of this many bytes.
    var blockBytes: Int { get }
    /// Operations prepared or started whose completion has not been taken.
    var inFlight: Int { get }
    /// How many of them there may be.
    var depth: Int { get }
    /// Readable when there are completions to take.
    var descriptor: Int32 { get }
    /// Whether it is still there.
    var isPresent: Bool { get }

    func read(_ slice: IOVector, at offset: UInt64, tag: UInt64) throws(Errno)
    func write(_ slice: IOVector, at offset: UInt64, tag: UInt64) throws(Errno)
    func flush(tag: UInt64) throws(Errno)
    func submit() throws(Errno)
    func next() -> StorageCompletion?
    /// The sentence for an operation that failed.
    func failure(_ errno: Errno, _ operation: String, memory: MemoryKind) -> PeerMRError
}

/// A block device.
package final class BlockDrive: Drive {
    private var queue: StorageQueue

    package init(_ queue: consuming StorageQueue) { self.queue = queue }

    package var path: FilePath { queue.device.path }
    package var range: BlockRange { queue.range }
    package var blockBytes: Int { queue.device.blockBytes }
    package var inFlight: Int { queue.inFlight }
    package var depth: Int { queue.depth }
    package var descriptor: Int32 { queue.descriptor }
    package var isPresent: Bool { queue.device.isPresent }

    package func read(_ slice: IOVector, at offset: UInt64, tag: UInt64) throws(Errno) {
        try queue.read(slice, at: offset, tag: tag)
    }

    package func write(_ slice: IOVector, at offset: UInt64, tag: UInt64) throws(Errno) {
        try queue.write(slice, at: offset, tag: tag)
    }

    package func flush(tag: UInt64) throws(Errno) { try queue.flush(tag: tag) }
    package func submit() throws(Errno) { try queue.submit() }
    package func next() -> StorageCompletion? { queue.next() }

    package func failure(_ errno: Errno, _ operation: String, memory: MemoryKind) -> PeerMRError {
        .storage(errno, operation, on: queue.device, memory: memory)
    }
}
