// SPDX-License-Identifier: Apache-2.0

import Glibc
import PeerMR
import PeerStorage

/// Writes memory to a drive, and reads it back into the memory, by the block layer and by NVMe commands: MEMORY DRIVE.
///
/// For each it says whether the kernel let the drive (with an errno and the library's error where not), and whether the
/// memory then holds what was written.
func drive(_ words: [String]) throws(PeerMRError) {
    let memory = try MemorySpecification(words[0]).open()
    let count = UInt64(memory.byteCount)
    let device = try BlockDevice(opening: FilePath(words[1]), overwrite: true)
    let blocks = try device.range(at: 0, count: count)
    var queue = try StorageQueue(device, range: blocks, depth: 2)
    try tryDrive("block", &queue, memory)
    let other = try BlockDevice(opening: FilePath(words[1]), overwrite: true)
    let after = try other.range(at: count, count: count)
    var commands = try PassthroughQueue(other, range: after, depth: 2)
    try tryDrive("passthrough", &commands, memory)
}

/// What both kinds of queue can do.
private protocol DriveQueue: ~Copyable {
    mutating func write(_ slice: IOVector, at offset: UInt64, tag: UInt64) throws(Errno)
    mutating func read(_ slice: IOVector, at offset: UInt64, tag: UInt64) throws(Errno)
    mutating func submit() throws(Errno)
    /// Takes the end of an operation: nil while there is none.
    mutating func ended() -> Result<Void, Errno>?
    borrowing func explain(_ errno: Errno, _ verb: String, _ memory: MemoryKind) -> PeerMRError
}

extension StorageQueue: DriveQueue {
    mutating func ended() -> Result<Void, Errno>? {
        next().map { end in end.errno.map { .failure($0) } ?? .success(()) }
    }
    borrowing func explain(_ errno: Errno, _ verb: String, _ memory: MemoryKind) -> PeerMRError {
        .storage(errno, verb, on: device, memory: memory)
    }
}

extension PassthroughQueue: DriveQueue {
    mutating func ended() -> Result<Void, Errno>? {
        next().map { end in end.errno.map { .failure($0) } ?? .success(()) }
    }
    borrowing func explain(_ errno: Errno, _ verb: String, _ memory: MemoryKind) -> PeerMRError {
        .storage(errno, verb, on: device, memory: memory)
    }
}

private func tryDrive(
    _ name: String, _ queue: inout some DriveQueue & ~Copyable, _ memory: any Memory
) throws(PeerMRError) {
    guard case .mapped(let slice) = try memory.backing(for: [.localWrite]) else {
        return tell("error", "a drive takes mappings only")
    }
    let sent = pattern(slice.byteCount, UInt64(name.utf8.count))
    try memory.put(sent, at: 0)
    for verb in ["write", "read"] {
        do throws(Errno) {
            if verb == "write" { try queue.write(slice, at: 0, tag: 1) } else { try queue.read(slice, at: 0, tag: 1) }
            try queue.submit()
            try wait(&queue)
            tell("\(name) \(verb)", "ok")
        } catch {
            tell("\(name) \(verb) errno", "\(error.rawValue)")
            tell("\(name) \(verb)", queue.explain(error, verb, memory.kind))
        }
        // What the read is to bring back is not there any more.
        if verb == "write" { try memory.put([UInt8](repeating: 0, count: slice.byteCount), at: 0) }
    }
    tell("\(name) data", "\(try memory.bytes(at: 0, count: slice.byteCount) == sent)")
}

private func wait(_ queue: inout some DriveQueue & ~Copyable) throws(Errno) {
    while true {
        if let end = queue.ended() { return try end.get() }
        usleep(1000)
    }
}
