// SPDX-License-Identifier: Apache-2.0
//
// mixed-scatter: one message out of two memories, and into two. A header lies in the host's memory and its payload in
// another device's; the NIC sends them as one message, and takes one apart the same way. No byte of the payload goes
// through the host.
//
//   mixed-scatter DEVICE MEMORY
//   mixed-scatter mlx5_0 p2pmem:0000:03:00.0:64K      the controller memory buffer of an NVMe drive
//   mixed-scatter mlx5_0 vfio:0000:04:00.0:2          a BAR of a device bound to vfio-pci
//
// The NIC talks to itself, so that one machine is enough. Exit status: 0 when all bytes came as they went.

import Glibc
import PeerMR

@main
struct MixedScatter {
    static func main() {
        let words = CommandLine.arguments
        guard words.count == 3 else { stop("usage: mixed-scatter DEVICE MEMORY", 2) }
        do throws(PeerMRError) {
            var exchange = try Exchange(device: words[1], memory: words[2])
            try exchange.gather()
            try exchange.scatter()
        } catch {
            stop("\(error)", 1)
        }
    }

    static func stop(_ reason: String, _ status: Int32) -> Never {
        say("mixed-scatter: \(reason)", to: 2)
        exit(status)
    }
}

/// The two memories, plain memory to compare with, and a queue pair that leads back to itself.
struct Exchange: ~Copyable {
    private var pair: QueuePair
    private let queue: CompletionQueue
    private let header: PeerRegion
    private let payload: PeerRegion
    private let plain: PeerRegion
    private let headerBytes: Int
    private let payloadBytes: Int

    init(device: String, memory: String) throws(PeerMRError) {
        let specification = try MemorySpecification(memory)
        let domain = try ProtectionDomain(try Device(name: device).open())
        let payload = try PeerRegion(registering: try specification.open(), on: domain, access: [.localWrite])
        // A software device's on-demand memory wants its part of a message to begin with a packet.
        let headerBytes = max(64, payload.keys.constraint.pathMTUBytes)
        let payloadBytes = min(payload.byteCount, 64 << 10)
        let header = try PeerRegion.allocate(headerBytes, of: .host, on: domain, access: [.localWrite])
        let plain = try PeerRegion.allocate(
            headerBytes + payloadBytes, of: .host, on: domain, access: [.localWrite])
        let queue = try CompletionQueue(domain.context, capacity: 4)
        var pair = try QueuePair(
            domain: domain, sendQueue: queue, receiveQueue: queue,
            capacity: QueuePairCapacity(sends: 1, receives: 1, entriesPerRequest: 2))
        try pair.connectLoopback(access: [.localWrite])
        try pair.check(payload.keys.constraint)
        self.headerBytes = headerBytes
        self.payloadBytes = payloadBytes
        self.pair = pair
        self.queue = queue
        self.header = header
        self.payload = payload
        self.plain = plain
    }

    /// Header from the host and payload from the device, in one SEND; they arrive in plain memory.
    mutating func gather() throws(PeerMRError) {
        let words = pattern(headerBytes, 1)
        let bytes = pattern(payloadBytes, 2)
        try unsafe header.write(words.span.bytes, at: 0)
        try unsafe payload.write(bytes.span.bytes, at: 0)
        let two: [2 of ScatterGatherElement] = [try entry(header, headerBytes), try entry(payload, payloadBytes)]
        let one: [1 of ScatterGatherElement] = [try entry(plain, headerBytes + payloadBytes)]
        try transfer(from: two.span, to: one.span)
        try compare("gathered", plain, words + bytes)
    }

    /// One message from plain memory; its beginning lands in the host's memory, the rest in the device's.
    mutating func scatter() throws(PeerMRError) {
        let bytes = pattern(headerBytes + payloadBytes, 3)
        try unsafe plain.write(bytes.span.bytes, at: 0)
        let one: [1 of ScatterGatherElement] = [try entry(plain, bytes.count)]
        let two: [2 of ScatterGatherElement] = [try entry(header, headerBytes), try entry(payload, payloadBytes)]
        try transfer(from: one.span, to: two.span)
        try compare("scattered, header", header, Array(bytes[..<headerBytes]))
        try compare("scattered, payload", payload, Array(bytes[headerBytes...]))
    }

    /// Sends one message to ourselves. The lists need not outlive the call that posts them; the memory must.
    private mutating func transfer(
        from sources: Span<ScatterGatherElement>, to targets: Span<ScatterGatherElement>
    ) throws(PeerMRError) {
        do throws(Errno) {
            try pair.postReceive(scatteringTo: targets, requestID: 1)
            try pair.postSend(gathering: sources, requestID: 2)
            var batch = CompletionBatch(capacity: 4)
            var open = 2
            let deadline = monotonicNanoseconds() + 30_000_000_000
            while open > 0 && monotonicNanoseconds() < deadline {
                let count = try queue.poll(into: &batch)
                if count == 0 { usleep(100) }
                for index in 0..<count {
                    if let error = payload.explain(batch[index]) { MixedScatter.stop("\(error)", 1) }
                    open -= 1
                }
            }
            if open > 0 { MixedScatter.stop("the message did not arrive within 30 s", 1) }
        } catch {
            throw PeerMRError(.system, errno: error, reason: "the NIC does not take the message")
        }
    }

    private func compare(
        _ what: String, _ region: borrowing PeerRegion, _ expected: [UInt8]
    ) throws(PeerMRError) {
        var seen = [UInt8](repeating: 0, count: expected.count)
        var span = seen.mutableSpan
        var raw = unsafe span.mutableBytes
        try region.read(into: &raw, at: 0)
        guard seen == expected else { MixedScatter.stop("\(what): the bytes differ", 1) }
        say("\(what): \(expected.count) bytes of \(region.kind.rawValue) memory, all as sent")
    }
}

/// A piece of a region, from its beginning.
private func entry(_ region: borrowing PeerRegion, _ count: Int) throws(PeerMRError) -> ScatterGatherElement {
    do throws(SliceError) {
        return try region.keys.element(at: 0, count: UInt64(count))
    } catch {
        throw PeerMRError(.invalidArgument, reason: "\(count) bytes cannot be addressed: \(error)")
    }
}

/// Bytes that differ from their neighbours, other ones for each seed.
private func pattern(_ count: Int, _ seed: Int) -> [UInt8] {
    (0..<count).map { UInt8(truncatingIfNeeded: ($0 * 31 + $0 >> 8) ^ (seed * 77)) }
}

private func say(_ line: String, to descriptor: Int32 = 1) {
    let bytes = Array("\(line)\n".utf8)
    _ = unsafe bytes.withUnsafeBytes { unsafe write(descriptor, $0.baseAddress, $0.count) }
}
