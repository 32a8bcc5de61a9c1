// SPDX-License-Identifier: Apache-2.0

import PeerMR

/// A client that keeps every slot in use, by the tables in Examples/NICToNVMe/README.md. What it does is not measured.
final class BenchClient {
    private let events: EventChannel
    private let connection: Connection
    private let slots: PeerRegion
    private let places: PeerRegion
    private let queue: CompletionQueue
    private var queuePair: QueuePair
    private var batch = CompletionBatch(capacity: 64)
    private var buffer: RemoteAddress?
    private let hello: [UInt8]
    private let isPut: Bool
    private let slotBytes: Int
    private let chunkCount: Int
    /// Credits that have come (put), or chunks (get), and chunks that were sent.
    private(set) var received = 0
    private var sent = 0

    init(
        _ server: SocketAddress, isPut: Bool, offset: Int, chunkCount: Int, slotCount: Int, slotBytes: Int
    ) throws(PeerMRError) {
        (self.isPut, self.slotBytes, self.chunkCount) = (isPut, slotBytes, chunkCount)
        events = try EventChannel()
        connection = try Connection(events)
        try connection.resolve(server)
        guard let context = connection.context else { throw PeerMRError(.notFound, reason: "no device") }
        let domain = try ProtectionDomain(context)
        slots = try PeerRegion.allocate(
            slotCount * slotBytes, of: .host, on: domain, access: [.localWrite, .remoteWrite])
        let receives = 4 * slotCount
        places = try PeerRegion.allocate((receives + 1) * 128, of: .host, on: domain, access: [.localWrite])
        queue = try CompletionQueue(context, capacity: 16 * slotCount)
        queuePair = try QueuePair(
            for: connection, domain: domain, sendQueue: queue, receiveQueue: queue,
            capacity: QueuePairCapacity(sends: receives, receives: receives))
        hello = Self.integers([
            (0x524d_5031, 4), (2, 2), (isPut ? 1 : 2, 1), (0, 1), (UInt64(offset), 8),
            (UInt64(chunkCount * slotBytes), 8), (slots.keys.address, 8), (UInt64(slots.keys.remoteKey), 4),
            (UInt64(slotBytes), 4), (UInt64(slotCount), 2),
        ])
        do {
            for place in 0..<receives { try post(place) }
        } catch { throw PeerMRError(.system, reason: "\(error)") }
        let preface = Self.integers([(0x524d_5031, 4), (2, 2), (0, 2)]) + [UInt8](repeating: 7, count: 32)
        try connection.connect(privateData: preface + [UInt8](repeating: 0, count: 16))
    }

    private static func integers(_ fields: [(UInt64, Int)]) -> [UInt8] {
        fields.flatMap { value, count in (0..<count).map { UInt8(truncatingIfNeeded: value >> (8 * UInt64($0))) } }
    }

    private func post(_ place: Int) throws {
        try queuePair.postReceive(places.keys.element(at: UInt64(place * 128), count: 128), requestID: UInt64(place))
    }

    /// Whether there is something left for the server to do.
    var isDone: Bool { received >= chunkCount }

    /// Takes what has come, and answers.
    func step() throws {
        while let event = try events.next() {
            guard event.kind == .established else { continue }
            let at = places.byteCount - 128
            let bytes = hello + [UInt8](repeating: 0, count: 128 - hello.count)
            places.hostBytes(at: at, count: 128)?.copyBytes(from: bytes)
            try queuePair.postSend(places.keys.element(at: UInt64(at), count: 128), requestID: 1 << 32)
        }
        while true {
            let count = try queue.poll(into: &batch)
            if count == 0 { break }
            for index in 0..<count { try take(batch[index]) }
        }
        if isPut { while sent < received, sent < chunkCount { try write() } }
    }

    private func take(_ completion: Completion) throws {
        guard completion.status == .success else {
            throw PeerMRError(.system, reason: "the client failed: \(completion.status)")
        }
        guard completion.operation == .receive || completion.operation == .receiveWriteWithImmediate else { return }
        if completion.immediate == nil {
            readWelcome(Int(completion.requestID))
        } else if completion.operation == .receiveWriteWithImmediate {
            try queuePair.postSend(immediate: 2 << 28 | UInt32(received % slotCount) << 16, requestID: 1 << 32)
            received += 1
        } else if let immediate = completion.immediate, immediate >> 28 == 2 {
            received += 1
        }
        try post(Int(completion.requestID))
    }

    private var slotCount: Int { slots.byteCount / slotBytes }

    private func readWelcome(_ place: Int) {
        guard let bytes = places.hostBytes(at: place * 128, count: 128) else { return }
        buffer = RemoteAddress(
            address: bytes.loadUnaligned(fromByteOffset: 24, as: UInt64.self),
            key: bytes.loadUnaligned(fromByteOffset: 32, as: UInt32.self))
    }

    private func write() throws {
        guard let buffer else { return }
        let place = UInt64(sent % slotCount * slotBytes)
        try queuePair.postWrite(
            slots.keys.element(at: place, count: UInt64(slotBytes)),
            to: RemoteAddress(address: buffer.address + place, key: buffer.key), immediate: 0, requestID: 1 << 32)
        sent += 1
    }
}
