// SPDX-License-Identifier: Apache-2.0
//
// file-to-drive: a file goes by RDMA into the memory of an NVMe drive, from there into the drive, and back the same
// way.
//
//   swift run -c release file-to-drive mlx5_0 /dev/nvme0n1 FILE --output COPY      overwrites the drive's beginning
//
// The NIC talks to itself, without the connection manager, so one machine is enough, and a NIC that has none will do.
// One piece of the file after another goes through one slot of the drive's memory: nic-to-nvme has several under way.

import ArgumentParser
import Glibc
import PeerMR
import PeerStorage

@main
struct FileToDrive: ParsableCommand {
    static let configuration = CommandConfiguration(commandName: "file-to-drive")
    @Argument(help: "The RDMA device, as rdma link show names it.") var device: String
    @Argument(help: "The drive, which must be empty: the place of the file is overwritten.") var drive: String
    @Argument(help: "The file.") var file: String
    @Option(help: "Where on the drive, in bytes: a multiple of its blocks.") var offset: UInt64 = 0
    @Option(help: "Where to write what came back.") var output: String?
    @Flag(help: "Print the outcome as JSON, on one line.") var json = false

    static func main() {
        // What was printed is written at the end only, when the disk may be full.
        atexit {
            guard fflush(nil) != 0 else { return }
            unsafe perror("output")
            _exit(EXIT_FAILURE)
        }
        main(nil)
    }

    func run() throws {
        let sent = try read()
        let drive = try BlockDevice(opening: FilePath(self.drive))
        guard let provider = drive.function else { throw Failure(description: "\(self.drive) is on no PCI function") }
        let blocks = (sent.count + drive.blockBytes - 1) / drive.blockBytes * drive.blockBytes
        let range = try drive.range(at: offset, count: UInt64(blocks))
        var slot = try Slot(of: provider, on: ProtectionDomain(try Device(name: device).open()))
        var storage = try StorageQueue(drive, range: range, depth: 1)
        // At once, where print(_:) would wait for more: who looks on can now ask the kernel about the region.
        let choice = slot.memory.choice
        try FileDescriptor.standardError.writeAll(
            "slot: \(Slot.byteCount) bytes of p2pmem of \(provider), \(choice.method.rawValue): \(choice.reason)\n".utf8
        )

        let (put, putTime) = try Self.measured { try slot.store(sent, in: &storage, &$0) }
        var seen: [UInt8] = []
        let (get, getTime) = try Self.measured { seen = try slot.fetch(sent.count, from: &storage, &$0) }
        if let output { try write(seen, to: output) }
        guard seen == sent else { throw Failure(description: "other bytes came back than were sent") }
        print(json ? line(slot, sent.count, (put, putTime), (get, getTime)) : "data: \(sent.count) bytes, all as sent")
    }

    private func read() throws -> [UInt8] {
        let file = try FileDescriptor.open(FilePath(self.file), .readOnly)
        defer { try? file.close() }
        var (bytes, piece) = ([UInt8](), [UInt8](repeating: 0, count: 1 << 16))
        while case let count = try unsafe piece.withUnsafeMutableBytes({ try unsafe file.read(into: $0) }), count > 0 {
            bytes += piece[..<count]
        }
        guard !bytes.isEmpty else { throw Failure(description: "\(self.file) is empty") }
        return bytes
    }

    private func write(_ bytes: [UInt8], to path: String) throws {
        let file = try FileDescriptor.open(
            FilePath(path), .writeOnly, options: [.create, .truncate],
            permissions: [.ownerReadWrite, .groupRead, .otherRead])
        defer { try? file.close() }
        try file.writeAll(bytes)
    }

    private static func measured(_ body: (inout TransferCount) throws -> Void) rethrows -> (TransferCount, Duration) {
        var count = TransferCount()
        let time = try ContinuousClock().measure { try body(&count) }
        return (count, time)
    }

    private func line(
        _ slot: borrowing Slot, _ byteCount: Int, _ put: (TransferCount, Duration), _ get: (TransferCount, Duration)
    ) -> String {
        func counts(_ count: TransferCount) -> String {
            #"{"bytesPeerToPeer": \#(count.peerToPeer), "bytesBounced": \#(count.bounced), "#
                + #""bytesHost": \#(count.host)}"#
        }
        return #"{"operation": "file-to-drive", "bytes": \#(byteCount), "memory": "\#(slot.memory.kind.rawValue)", "#
            + #""method": "\#(slot.memory.choice.method.rawValue)", "nic": "\#(slot.memory.nic.rawValue)", "#
            + #""putSeconds": \#(put.1 / .seconds(1)), "getSeconds": \#(get.1 / .seconds(1)), "#
            + #""put": \#(counts(put.0)), "get": \#(counts(get.0)), "verified": true}"#
    }
}

/// A piece of the drive's memory, host memory of the same length, and the NIC between them.
struct Slot: ~Copyable {
    static let byteCount = 8 << 10
    let memory: PeerRegion
    private let host: PeerRegion
    private let completions: CompletionQueue
    private var pair: QueuePair
    private var flush: PeerWriteFlush?
    private var batch = CompletionBatch(capacity: 1)

    init(of provider: PCIAddress, on domain: ProtectionDomain) throws {
        let memory = try PeerRegion.allocate(
            Self.byteCount, of: .p2pmem(provider), on: domain, access: [.localWrite, .remoteWrite, .remoteRead])
        let host = try PeerRegion.allocate(Self.byteCount, of: .host, on: domain, access: [.localWrite])
        let completions = try CompletionQueue(domain.context, capacity: 4)
        var pair = try QueuePair(
            domain: domain, sendQueue: completions, receiveQueue: completions,
            capacity: QueuePairCapacity(sends: 1, receives: 1))
        try pair.connectLoopback(access: [.remoteWrite, .remoteRead])
        try pair.check(memory.keys.constraint)
        var flush: PeerWriteFlush?
        if PeerWriteFlush.isNeeded(for: memory) {
            flush = try PeerWriteFlush(depth: 1, on: domain, completions: completions, like: pair)
        }
        self.memory = memory
        self.host = host
        self.completions = completions
        self.pair = pair
        self.flush = flush
    }

    /// Host, NIC, the drive's memory, the drive.
    mutating func store(_ bytes: [UInt8], in storage: inout StorageQueue, _ count: inout TransferCount) throws {
        for start in stride(from: 0, to: bytes.count, by: Self.byteCount) {
            let piece = Array(bytes[start..<min(start + Self.byteCount, bytes.count)])
            // The rest of the slot is not to hold what was there before.
            let padded = piece + [UInt8](repeating: 0, count: Self.byteCount - piece.count)
            try unsafe host.write(padded.span.bytes, at: 0)
            let length = rounded(piece.count, to: storage.device.blockBytes)
            try pair.postWrite(try element(piece.count, storage), to: remote, requestID: 1)
            try wait()
            count.add(UInt64(piece.count), through: memory)
            // The completion is in the host's memory, and says nothing of when the bytes reach the drive's.
            if flush != nil {
                try flush?.post(reading: 0, of: memory.keys, requestID: 2)
                try wait()
            }
            let slice = try memory.slice(at: 0, count: length)
            try finish(&storage, length, "write") { queue throws(Errno) in
                try queue.write(slice, at: UInt64(start), tag: 1)
            }
        }
        // Until this is done, a loss of power may lose the bytes.
        try finish(&storage, 0, "flush") { queue throws(Errno) in try queue.flush(tag: 2) }
    }

    /// The drive, its memory, NIC, host.
    mutating func fetch(
        _ byteCount: Int, from storage: inout StorageQueue, _ count: inout TransferCount
    ) throws -> [UInt8] {
        var bytes: [UInt8] = []
        for start in stride(from: 0, to: byteCount, by: Self.byteCount) {
            let here = min(Self.byteCount, byteCount - start)
            let length = rounded(here, to: storage.device.blockBytes)
            let slice = try memory.slice(at: 0, count: length)
            try finish(&storage, length, "read") { queue throws(Errno) in
                try queue.read(slice, at: UInt64(start), tag: 3)
            }
            try unsafe host.write([UInt8](repeating: 0, count: Self.byteCount).span.bytes, at: 0)
            try pair.postRead(try element(here, storage), from: remote, requestID: 3)
            try wait()
            count.add(UInt64(here), through: memory)
            var piece = [UInt8](repeating: 0, count: here)
            var span = piece.mutableSpan
            var raw = unsafe span.mutableBytes
            try host.read(into: &raw, at: 0)
            bytes += piece
        }
        return bytes
    }

    private var remote: RemoteAddress { RemoteAddress(address: memory.keys.address, key: memory.keys.remoteKey) }

    /// The blocks of a piece at the beginning of the host memory; all of it where the NIC moves whole pages only.
    private func element(_ count: Int, _ storage: borrowing StorageQueue) throws -> ScatterGatherElement {
        let length = rounded(count, to: storage.device.blockBytes)
        return try host.keys.element(
            at: 0, count: UInt64(memory.keys.constraint == .any ? length : Self.byteCount))
    }

    private func rounded(_ count: Int, to unit: Int) -> Int { (count + unit - 1) / unit * unit }

    /// Waits for one completion, and leaves the processor to others meanwhile.
    private mutating func wait() throws {
        let deadline = ContinuousClock.now + .seconds(30)
        while try completions.poll(into: &batch) == 0 {
            guard ContinuousClock.now < deadline else { throw Failure(description: "the NIC says nothing for 30 s") }
            usleep(500)
        }
        // What the NIC says of memory that is gone is a status; the region knows the cause.
        if let error = memory.explain(batch[0]) { throw error }
    }

    /// Starts one operation of the drive, and waits for its end.
    private func finish(
        _ queue: inout StorageQueue, _ count: Int, _ verb: String,
        _ start: (inout StorageQueue) throws(Errno) -> Void
    ) throws {
        do throws(Errno) {
            try start(&queue)
            try queue.submit()
            // Longer than Linux waits for a drive, which it then resets.
            let deadline = ContinuousClock.now + .seconds(120)
            while true {
                if let completion = queue.next() {
                    if let errno = completion.errno { throw errno }
                    guard completion.result == count else { throw .ioError }
                    return
                }
                guard ContinuousClock.now < deadline else { throw .timedOut }
                _ = try waitReadable([queue.descriptor], milliseconds: 1000)
            }
        } catch {
            throw PeerMRError.storage(error, verb, on: queue.device, memory: memory.kind)
        }
    }
}

struct Failure: Error, CustomStringConvertible { let description: String }
