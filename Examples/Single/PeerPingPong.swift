// SPDX-License-Identifier: Apache-2.0
//
// peer-pingpong: a message to and fro between two hosts, from one device's memory into another's, every byte checked.
//
//   swift run -c release peer-pingpong p2pmem:0000:01:00.0:8K --listen 10.0.0.2        on one host
//   swift run -c release peer-pingpong p2pmem:0000:02:00.0:8K --connect 10.0.0.2       on the other
//
// The addresses are those of interfaces with an RDMA device. The memory is named as peermr(1) names it: host:8K,
// udmabuf:8K, vfio:BDF:BAR too. One host will do: both ends then have its own address.

import ArgumentParser
import Glibc
import PeerMR

@main
struct PeerPingPong: ParsableCommand {
    static let configuration = CommandConfiguration(commandName: "peer-pingpong")
    @Argument(help: "The memory of this end, with room for two messages.") var memory: String
    @Option(help: "As the server: the own address.") var listen: String?
    @Option(help: "As the client: the server's address.") var connect: String?
    @Option(help: "The port.") var port: UInt16 = 7471
    @Option(help: "Bytes of a message; whole pages.") var size = pageBytes
    @Option(help: "As the client: how many messages.") var count = 100

    static func main() {
        // What was printed is written at the end only, when the disk may be full.
        atexit {
            guard fflush(nil) != 0 else { return }
            unsafe perror("output")
            _exit(EXIT_FAILURE)
        }
        main(nil)
    }

    func validate() throws {
        guard (listen == nil) != (connect == nil) else { throw ValidationError("either --listen or --connect.") }
        guard size > 0, size <= 1 << 30, count > 0 else { throw ValidationError("--size and --count are positive.") }
    }

    func run() throws {
        let text = listen ?? connect ?? ""
        guard let address = SocketAddress(text, port: port) else { throw ValidationError("\(text) is no address.") }
        let events = try EventChannel()
        let connection: Connection
        if listen != nil {
            let listener = try Connection(events)
            try listener.listen(on: address)
            // At once, where print(_:) would wait for more.
            try FileDescriptor.standardOutput.writeAll("listening on \(address)\n".utf8)
            guard let request = try Self.next(.connectRequest, events).request else { return }
            connection = request
        } else {
            connection = try Connection(events)
            try connection.resolve(address)
        }
        var end = try End(connection, events, memory, size)
        // What is sent at once must find a receive: it is posted before the connection stands.
        try end.receive(into: listen == nil ? 1 : 0)
        if listen == nil { try connection.connect(privateData: []) } else { try connection.accept(privateData: []) }
        _ = try Self.next(.established, events)
        try end.pair.check(end.region.keys.constraint)
        print("memory: \(end.region.kind.rawValue), \(end.region.choice.method.rawValue), \(end.region.choice.reason)")
        if listen == nil { try ping(&end) } else { try pong(&end) }
        connection.disconnect()
    }

    /// Slot 0 goes out, the answer comes into slot 1.
    private func ping(_ end: inout End) throws {
        var times: [Duration] = []
        for number in 0..<count {
            let sent = (0..<size).map { UInt8(truncatingIfNeeded: $0 &* 31 ^ $0 >> 8 ^ number &* 77) }
            try unsafe end.region.write(sent.span.bytes, at: 0)
            if number > 0 { try end.receive(into: 1) }
            let began = ContinuousClock.now
            try end.send(from: 0)
            guard try end.wait(for: 2) else { throw Failure(description: "the server went away") }
            times.append(ContinuousClock.now - began)
            var seen = [UInt8](repeating: 0, count: size)
            var span = seen.mutableSpan
            var raw = unsafe span.mutableBytes
            try end.region.read(into: &raw, at: size)
            guard seen == sent else { throw Failure(description: "message \(number) came back with other bytes") }
        }
        times.sort()
        print("data: \(count) messages of \(size) bytes, all as sent")
        print("round trip: \(times[0]) at least, \(times[count / 2]) in the median, \(times[count - 1]) at most")
    }

    /// Sends each message back out of the slot that it came into; the next one comes into the other slot.
    private func pong(_ end: inout End) throws {
        var number = 0
        while try end.wait(for: number == 0 ? 1 : 2) {
            try end.receive(into: (number + 1) % 2)
            try end.send(from: number % 2)
            number += 1
        }
        print("data: \(number) messages of \(size) bytes came, and went back")
    }

    private static func next(_ kind: ConnectionEvent.Kind, _ events: EventChannel) throws -> ConnectionEvent {
        guard let event = try events.next(within: 60_000) else { throw Failure(description: "nobody answers for 60 s") }
        if event.kind == kind { return event }
        let isRefused = event.kind == .rejected
        let what = isRefused ? "nothing listens there; start the server first" : "the connection failed: \(event.kind)"
        throw Failure(description: "\(what) (\(event.status))")
    }
}

/// One end: its memory in two slots, and the queues.
struct End: ~Copyable {
    let region: PeerRegion
    var pair: QueuePair
    private let events: EventChannel
    private let queue: CompletionQueue
    private var batch: CompletionBatch
    private let size: Int

    init(_ connection: Connection, _ events: EventChannel, _ memory: String, _ size: Int) throws {
        guard let context = connection.context else { throw Failure(description: "no RDMA device leads there") }
        let domain = try ProtectionDomain(context)
        let opened = try MemorySpecification(memory).open()
        let region = try PeerRegion(registering: opened, on: domain, access: [.localWrite])
        let queue = try CompletionQueue(context, capacity: 8)
        let pair = try QueuePair(
            for: connection, domain: domain, sendQueue: queue, receiveQueue: queue,
            capacity: QueuePairCapacity(sends: 2, receives: 2))
        self.region = region
        self.queue = queue
        self.pair = pair
        batch = CompletionBatch(capacity: 4)
        self.events = events
        self.size = size
    }

    mutating func receive(into slot: Int) throws {
        try pair.postReceive(region.keys.element(at: UInt64(slot * size), count: UInt64(size)), requestID: 1)
    }

    mutating func send(from slot: Int) throws {
        try pair.postSend(region.keys.element(at: UInt64(slot * size), count: UInt64(size)), requestID: 2)
    }

    /// Waits for completions; false where the other end has gone.
    mutating func wait(for count: Int) throws -> Bool {
        var left = count
        let deadline = ContinuousClock.now + .seconds(30)
        while left > 0 {
            let found = try queue.poll(into: &batch)
            for index in 0..<found where batch[index].status != .flushed {
                // What the NIC says of memory that is gone is a status; the region knows the cause.
                if let error = region.explain(batch[index]) { throw error }
                left -= 1
            }
            if found == 0, let event = try events.next(), event.kind == .disconnected { return false }
            guard ContinuousClock.now < deadline else { throw Failure(description: "the other end says nothing") }
        }
        return true
    }
}

struct Failure: Error, CustomStringConvertible { let description: String }
