// SPDX-License-Identifier: Apache-2.0
//
// nic-to-drive: a NIC writes into the memory of an NVMe drive, and the drive stores its own memory: from the network to
// the disk, and no byte in the memory of the host. What one slot of nic-to-nvme does, in one file.
//
//   swift run -c release nic-to-drive mlx5_0 /dev/nvme0n1            overwrites the first 64 KiB of the drive
//
// The drive has a controller memory buffer, and holds nothing. The NIC talks to itself, so one machine is enough.

import ArgumentParser
import Glibc
import PeerMR
import PeerStorage

@main
struct NICToDrive: ParsableCommand {
    static let configuration = CommandConfiguration(commandName: "nic-to-drive")
    @Argument(help: "The RDMA device, as rdma link show names it.") var device: String
    @Argument(help: "The drive, which must be empty: its beginning is overwritten.") var drive: String

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
        let count = 64 << 10
        // Refuses what is mounted, or holds a partition table or a file system.
        let drive = try BlockDevice(opening: FilePath(self.drive))
        guard let provider = drive.function else { throw Failure(description: "\(self.drive) is on no PCI function") }
        let domain = try ProtectionDomain(try Device(name: device).open())
        let slot = try PeerRegion.allocate(
            count, of: .p2pmem(provider), on: domain, access: [.localWrite, .remoteWrite, .remoteRead])
        let host = try PeerRegion.allocate(count, of: .host, on: domain, access: [.localWrite])
        print("slot: \(count) bytes of p2pmem of \(provider), \(slot.choice.method.rawValue): \(slot.choice.reason)")

        let sent = (0..<count).map { UInt8(truncatingIfNeeded: $0 &* 31 ^ $0 >> 8) }
        try unsafe host.write(sent.span.bytes, at: 0)
        let network = try ContinuousClock().measure { try Self.send(from: host, to: slot, on: domain) }
        print("NIC: RDMA WRITE into the drive's memory, \(network)")

        let range = try drive.range(at: 0, count: UInt64(count))
        var queue = try StorageQueue(drive, range: range, depth: 2)
        let slice = try slot.slice(at: 0, count: count)
        let storage = try ContinuousClock().measure {
            try Self.finish(&queue, count, "write", slot.kind) { queue throws(Errno) in
                try queue.write(slice, at: 0, tag: 1)
            }
            // Until this is done, a loss of power may lose the bytes.
            try Self.finish(&queue, 0, "flush", slot.kind) { queue throws(Errno) in try queue.flush(tag: 2) }
        }
        print("drive: its memory written to its blocks and flushed, \(storage)")

        // To see what was stored: from the blocks into the host, past the slot.
        try unsafe host.write([UInt8](repeating: 0, count: count).span.bytes, at: 0)
        let back = try host.slice(at: 0, count: count)
        try Self.finish(&queue, count, "read", host.kind) { queue throws(Errno) in try queue.read(back, at: 0, tag: 3) }
        var seen = [UInt8](repeating: 0, count: count)
        var span = seen.mutableSpan
        var raw = unsafe span.mutableBytes
        try host.read(into: &raw, at: 0)
        guard seen == sent else { throw Failure(description: "the drive holds other bytes than were sent") }
        print("data: \(count) bytes on the drive, all as sent")
    }

    /// Moves the bytes of one region into the other, and returns when another device can read them there.
    private static func send(
        from source: borrowing PeerRegion, to slot: borrowing PeerRegion, on domain: ProtectionDomain
    ) throws {
        let queue = try CompletionQueue(domain.context, capacity: 4)
        var pair = try QueuePair(
            domain: domain, sendQueue: queue, receiveQueue: queue, capacity: QueuePairCapacity(sends: 1, receives: 1))
        try pair.connectLoopback(access: [.remoteWrite, .remoteRead])
        try pair.check(slot.keys.constraint)
        try pair.postWrite(
            source.keys.element(at: 0, count: source.keys.byteCount),
            to: RemoteAddress(address: slot.keys.address, key: slot.keys.remoteKey), requestID: 1)
        try wait(queue, slot)
        // The completion is in the host's memory, and says nothing of when the bytes reach the drive's.
        guard PeerWriteFlush.isNeeded(for: slot) else { return }
        var flush = try PeerWriteFlush(depth: 1, on: domain, completions: queue, like: pair)
        try flush.post(reading: 0, of: slot.keys, requestID: 2)
        try wait(queue, slot)
    }

    /// Waits for one completion.
    private static func wait(_ queue: CompletionQueue, _ region: borrowing PeerRegion) throws {
        var batch = CompletionBatch(capacity: 1)
        let deadline = ContinuousClock.now + .seconds(30)
        while try queue.poll(into: &batch) == 0 {
            guard ContinuousClock.now < deadline else { throw Failure(description: "the NIC says nothing for 30 s") }
        }
        // What the NIC says of memory that is gone is a status; the region knows the cause.
        if let error = region.explain(batch[0]) { throw error }
    }

    /// Starts one operation of the drive, and waits for its end.
    private static func finish(
        _ queue: inout StorageQueue, _ count: Int, _ verb: String, _ memory: MemoryKind,
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
            // Such as a kernel that refuses the pair: put both devices under one PCIe switch.
            throw PeerMRError.storage(error, verb, on: queue.device, memory: memory)
        }
    }
}

struct Failure: Error, CustomStringConvertible { let description: String }
