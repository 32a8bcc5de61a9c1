// SPDX-License-Identifier: Apache-2.0

import Glibc
import PeerMR

/// A little-endian integer of `count` bytes.
func integer(_ bytes: [UInt8], at place: Int, _ count: Int) -> UInt64 {
    (0..<count).reduce(0) { $0 | UInt64(bytes[place + $1]) << (8 * UInt64($1)) }
}

/// What the server has answered to a hello that it took.
struct Welcome {
    let slotCount: Int
    let slotBytes: UInt64
    let buffer: RemoteAddress

    /// Reads it from the private data; nil where it is something else.
    init?(_ bytes: [UInt8]) {
        guard bytes.count >= 40, integer(bytes, at: 0, 4) == 0x524d_5031 else { return nil }
        slotCount = Int(integer(bytes, at: 6, 2))
        slotBytes = integer(bytes, at: 8, 4)
        buffer = RemoteAddress(
            address: integer(bytes, at: 24, 8), key: UInt32(integer(bytes, at: 32, 4)))
    }
}

/// A connection to the server that can send anything.
final class Peer {
    /// The request ID of what the server must not let be done.
    static let forbidden: UInt64 = 99

    /// The own memory: a megabyte.
    let memory: PeerRegion
    var queuePair: QueuePair
    private let events: EventChannel
    private let connection: Connection
    private let queue: CompletionQueue
    private var batch = CompletionBatch(capacity: 16)
    /// Where messages of the server arrive, one place for each receive.
    private let places: PeerRegion
    private static let receives = 200
    private static let placeBytes = 128
    private static let firstReceive: UInt64 = 1000
    /// What came together with the answer.
    private var pending: [Completion] = []
    private var hasEnded = false

    init(_ server: SocketAddress) throws(PeerMRError) {
        events = try EventChannel()
        connection = try Connection(events)
        try connection.resolve(server)
        guard let context = connection.context else {
            throw PeerMRError(.notFound, reason: "no RDMA device leads to \(server)")
        }
        let domain = try ProtectionDomain(context)
        memory = try PeerRegion.allocate(
            1 << 20, of: .host, on: domain, access: [.localWrite, .remoteWrite])
        places = try PeerRegion.allocate(
            Self.receives * Self.placeBytes, of: .host, on: domain, access: [.localWrite])
        queue = try CompletionQueue(context, capacity: 1024)
        queuePair = try QueuePair(
            for: connection, domain: domain, sendQueue: queue, receiveQueue: queue,
            capacity: QueuePairCapacity(sends: 600, receives: 200))
        do {
            for index in 0..<Self.receives {
                let place = try places.keys.element(
                    at: UInt64(index * Self.placeBytes), count: UInt64(Self.placeBytes))
                try queuePair.postReceive(place, requestID: Self.firstReceive + UInt64(index))
            }
        } catch { throw PeerMRError(.system, reason: "no receive can be posted: \(error)") }
    }

    /// Connects with these bytes as the private data of the request, and tells where that is not accepted.
    ///
    /// - Returns: whether there is a connection, and the server waits for the hello.
    @discardableResult
    func connect(_ preface: [UInt8] = Preface().bytes) throws(PeerMRError) -> Bool {
        try connection.connect(privateData: preface)
        guard let event = try events.next(within: 20_000) else {
            tell("silence")
            return false
        }
        switch event.kind {
        case .established:
            let isChallenge = event.privateData.starts(with: LittleEndian.magic + [2, 0])
            if !isChallenge { tell("accepted with other bytes") }
            return isChallenge
        case .rejected where event.privateData.starts(with: Self.refusal): tellRefusal(event.privateData)
        default: tell("event \(event.kind) \(event.status)")
        }
        return false
    }

    /// Says a hello on a connection of its own, and tells of the answer.
    @discardableResult
    func say(_ hello: [UInt8]) throws(PeerMRError) -> Welcome? {
        guard try connect() else { return nil }
        let at = memory.byteCount - Self.placeBytes
        unsafe memory.hostBytes(at: at, count: hello.count)?.copyBytes(from: hello)
        do {
            try queuePair.postSend(memory.keys.element(at: UInt64(at), count: UInt64(hello.count)), requestID: 1)
        } catch { throw PeerMRError(.system, reason: "the hello cannot be sent: \(error)") }
        let deadline = monotonicNanoseconds() + 20_000_000_000
        while monotonicNanoseconds() < deadline {
            let completions = try poll()
            guard let place = completions.firstIndex(where: isMessage) else {
                for completion in completions { describe(completion) }
                continue
            }
            pending = Array(completions[(place + 1)...])
            return answered(message(completions[place]))
        }
        tell("silence")
        return nil
    }

    private static let refusal: [UInt8] = [0x30, 0x50, 0x4d, 0x52]

    private func tellRefusal(_ bytes: [UInt8]) { tell("rejected \(bytes[4]) \(integer(bytes, at: 5, 8))") }

    private func answered(_ bytes: [UInt8]) -> Welcome? {
        if bytes.starts(with: Self.refusal) {
            tellRefusal(bytes)
            return nil
        }
        guard let welcome = Welcome(bytes) else {
            tell("answered with other bytes")
            return nil
        }
        tell("accepted \(welcome.slotCount) \(welcome.slotBytes)")
        return welcome
    }

    private func isMessage(_ completion: Completion) -> Bool {
        completion.status == .success && completion.operation == .receive && completion.immediate == nil
    }

    private func message(_ completion: Completion) -> [UInt8] {
        let place = Int(completion.requestID - Self.firstReceive) * Self.placeBytes
        guard let bytes = unsafe places.hostBytes(at: place, count: Int(completion.byteCount)) else { return [] }
        return unsafe Array(UnsafeRawBufferPointer(bytes))
    }

    /// Waits for messages: the first `count` credits are expected, and not told of.
    func awaitCredits(_ count: Int) throws(PeerMRError) {
        var left = count
        let deadline = monotonicNanoseconds() + 20_000_000_000
        while left > 0, monotonicNanoseconds() < deadline {
            // That the hello has arrived may be told after its answer.
            for completion in try poll() where completion.status != .success || completion.operation != .send {
                guard let immediate = received(completion), immediate >> 28 == 2 else {
                    return describe(completion)
                }
                left -= 1
            }
        }
    }

    /// Waits, and takes what comes without telling of credits: whether the server has ended the connection.
    func isOver(within milliseconds: Int32) throws(PeerMRError) -> Bool {
        if let event = try events.next(within: milliseconds), event.kind == .disconnected { hasEnded = true }
        for completion in try poll() where received(completion).map({ $0 >> 28 != 2 }) ?? true { describe(completion) }
        return hasEnded
    }

    /// Tells what comes until the server ends the connection, or `seconds` have passed.
    func listen(seconds: UInt64 = 20) throws(PeerMRError) {
        let deadline = monotonicNanoseconds() + seconds * 1_000_000_000
        var isOver = hasEnded
        while !isOver, monotonicNanoseconds() < deadline {
            if let event = try events.next(within: 50) { isOver = event.kind == .disconnected }
            while true {
                let completions = try poll()
                if completions.isEmpty { break }
                completions.forEach(describe)
            }
        }
        tell(isOver ? "disconnected" : "still connected")
    }

    private func poll() throws(PeerMRError) -> [Completion] {
        guard pending.isEmpty else {
            defer { pending = [] }
            return pending
        }
        do {
            let count = try queue.poll(into: &batch)
            return (0..<count).map { batch[$0] }
        } catch { throw PeerMRError(.system, errno: error, reason: "the queue cannot be polled") }
    }

    private func received(_ completion: Completion) -> UInt32? {
        let isReceive =
            completion.operation == .receive || completion.operation == .receiveWriteWithImmediate
        return completion.status == .success && isReceive ? completion.immediate : nil
    }

    /// What was posted when the queue pair broke says nothing: the first failure does.
    private func describe(_ completion: Completion) {
        if isMessage(completion) {
            _ = answered(message(completion))
        } else if completion.operation == .receiveWriteWithImmediate, completion.status == .success {
            tell("chunk \(completion.byteCount)")
        } else if let immediate = received(completion) {
            tell("immediate \(immediate >> 28) \(immediate >> 16 & 0xfff) \(immediate & 0xffff)")
        } else if completion.status == .success {
            if completion.requestID == Self.forbidden { tell("done what must not be") }
        } else if completion.status != .flushed {
            tell("completion \(completion.status.rawValue)")
        }
    }

    func disconnect() { connection.disconnect() }
}
