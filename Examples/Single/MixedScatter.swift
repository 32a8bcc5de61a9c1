// SPDX-License-Identifier: Apache-2.0
//
// mixed-scatter: one message out of two memories, and into two. A header lies in the host's memory and its payload in
// another device's; the NIC sends them as one message, and takes one apart the same way. No byte of the payload goes
// through the host.
//
//   swift run -c release mixed-scatter mlx5_0 p2pmem:0000:03:00.0:64K      the controller memory buffer of a drive
//   swift run -c release mixed-scatter mlx5_0 vfio:0000:04:00.0:2          a BAR of a device bound to vfio-pci
//
// The NIC talks to itself, so one machine is enough.

import ArgumentParser
import Glibc
import PeerMR

@main
struct MixedScatter: ParsableCommand {
    static let configuration = CommandConfiguration(commandName: "mixed-scatter")
    @Argument(help: "The RDMA device, as rdma link show names it.") var device: String
    @Argument(help: "The memory of the payload.") var memory: String

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
        var exchange = try Exchange(device: device, memory: memory)
        try exchange.gather()
        try exchange.scatter()
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

    init(device: String, memory: String) throws {
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
    mutating func gather() throws {
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
    mutating func scatter() throws {
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
    ) throws {
        try pair.postReceive(scatteringTo: targets, requestID: 1)
        try pair.postSend(gathering: sources, requestID: 2)
        var batch = CompletionBatch(capacity: 4)
        var open = 2
        let deadline = ContinuousClock.now + .seconds(30)
        while open > 0 {
            for index in 0..<(try queue.poll(into: &batch)) {
                if let error = payload.explain(batch[index]) { throw error }
                open -= 1
            }
            guard ContinuousClock.now < deadline else { throw Failure(description: "the NIC says nothing for 30 s") }
        }
    }

    private func compare(_ what: String, _ region: borrowing PeerRegion, _ expected: [UInt8]) throws {
        var seen = [UInt8](repeating: 0, count: expected.count)
        var span = seen.mutableSpan
        var raw = unsafe span.mutableBytes
        try region.read(into: &raw, at: 0)
        guard seen == expected else { throw Failure(description: "\(what): the bytes differ") }
        print("\(what): \(expected.count) bytes of \(region.kind.rawValue) memory, all as sent")
    }
}

/// A piece of a region, from its beginning.
private func entry(_ region: borrowing PeerRegion, _ count: Int) throws -> ScatterGatherElement {
    try region.keys.element(at: 0, count: UInt64(count))
}

/// Bytes that differ from their neighbors, other ones for each seed.
private func pattern(_ count: Int, _ seed: Int) -> [UInt8] {
    (0..<count).map { UInt8(truncatingIfNeeded: ($0 * 31 + $0 >> 8) ^ (seed * 77)) }
}

struct Failure: Error, CustomStringConvertible { let description: String }
