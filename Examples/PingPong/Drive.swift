// SPDX-License-Identifier: Apache-2.0

import PeerMR
import PeerStorage

/// A queue of a drive: by the block device, or by NVMe commands.
protocol DriveQueue: ~Copyable {
    /// The drive's block, in bytes.
    var blockBytes: Int { get }
    var range: BlockRange { get }
    /// Why the drive did not do what it was told, in words.
    borrowing func failed(_ errno: Errno, to verb: String, _ memory: MemoryKind) -> PeerMRError
    /// The most bytes of one read or write.
    var limit: Int { get }
    var descriptor: Int32 { get }
    mutating func write(_ slice: IOVector, at offset: UInt64, tag: UInt64) throws(Errno)
    mutating func read(_ slice: IOVector, at offset: UInt64, tag: UInt64) throws(Errno)
    mutating func flush(tag: UInt64) throws(Errno)
    mutating func submit() throws(Errno)
    /// The next operation that has ended, if there is one: why it failed, or nil.
    mutating func ended(byteCount: Int) -> (isEnded: Bool, failure: Errno?)
}

extension StorageQueue: DriveQueue {
    var blockBytes: Int { device.blockBytes }
    var limit: Int { Int(Int32.max) }

    borrowing func failed(_ errno: Errno, to verb: String, _ memory: MemoryKind) -> PeerMRError {
        .storage(errno, verb, on: device, memory: memory)
    }

    mutating func ended(byteCount: Int) -> (isEnded: Bool, failure: Errno?) {
        guard let completion = next() else { return (false, nil) }
        // A read or write that was cut short tells how far it came.
        return (true, completion.errno ?? (Int(completion.result) == byteCount ? nil : .ioError))
    }
}

extension PassthroughQueue: DriveQueue {
    var blockBytes: Int { device.blockBytes }
    var limit: Int { commandLimit }

    borrowing func failed(_ errno: Errno, to verb: String, _ memory: MemoryKind) -> PeerMRError {
        guard errno == .ioError, let lastStatus else { return .storage(errno, verb, on: device, memory: memory) }
        return PeerMRError(
            .system, errno: errno,
            reason: "the drive \(device.name) answers \(verb) with NVMe status 0x\(String(lastStatus, radix: 16))",
            // Invalid Use of Controller Memory Buffer: the kernel hands commands of users over as lists of segments,
            // and QEMU's drive takes its own memory in one segment only.
            remedy: lastStatus == 0x12
                ? "it does not take its own memory in more than one page: take --size \(pageBytes) or less, or leave "
                    + "--passthrough out"
                : "see the NVM Express Base Specification for it, and compare without --passthrough")
    }

    mutating func ended(byteCount: Int) -> (isEnded: Bool, failure: Errno?) {
        guard let completion = next() else { return (false, nil) }
        return (true, completion.errno)
    }
}

/// The parts of a round trip through a drive, as the server sees them.
enum Phase: Int, CaseIterable {
    case arrive, store, load, leave

    var name: String {
        switch self {
        case .arrive: "NIC to memory"
        case .store: "to drive"
        case .load: "from drive"
        case .leave: "memory to NIC"
        }
    }
}

/// Answers with bytes from the drive: a message is written to it and flushed, read back, and sent.
final class DriveResponder<Queue: DriveQueue & ~Copyable>: Responder {
    private var queue: Queue
    private var flush: PeerWriteFlush?
    private var isReceived = false
    private var isSent = false
    private var isFlushed = false

    init(_ queue: consuming Queue) { self.queue = queue }

    let operations: [Operation] = [.send]
    let separatesAreas = true

    func begin(on endpoint: borrowing Endpoint) throws(PeerMRError) {
        guard PeerWriteFlush.isNeeded(for: endpoint.region) else { return }
        flush = try PeerWriteFlush(depth: 1, on: endpoint.domain, completions: endpoint.queue, like: endpoint.queuePair)
    }

    /// Each message goes to the next place of the range; the figures are those of the phases.
    func run(_ plan: LoopPlan, on endpoint: inout Endpoint, _ options: RunOptions) throws(PeerMRError) -> [Run] {
        let bytes = (Int(plan.size) + queue.blockBytes - 1) / queue.blockBytes * queue.blockBytes
        let places = queue.range.byteCount / UInt64(bytes)
        let room = min(queue.limit, Int(clamping: queue.range.byteCount), endpoint.areaBytes)
        guard bytes <= room else { throw .doesNotFit(bytes, room) }
        var times = Phase.allCases.map { _ in [UInt64]() }
        var last = monotonicNanoseconds()
        for message in 0..<plan.count {
            for phase in Phase.allCases {
                try go(phase, plan, on: &endpoint, bytes, at: UInt64(message) % places * UInt64(bytes))
                let now = monotonicNanoseconds()
                if message >= options.warmUp { times[phase.rawValue].append(now - last) }
                last = now
            }
        }
        return Phase.allCases.map { Run($0.name, ways: 1, times[$0.rawValue], plan, options, endpoint.region) }
    }

    private func go(
        _ phase: Phase, _ plan: LoopPlan, on endpoint: inout Endpoint, _ bytes: Int, at place: UInt64
    ) throws(PeerMRError) {
        let memory = endpoint.region.kind
        switch phase {
        case .arrive:
            do throws(LoopEnd) { try arrive(plan, &endpoint) } catch { throw PeerMRError.loop(error) }
        case .store:
            try store(try endpoint.slice(incoming: true, count: bytes), at: place, memory)
        case .load:
            let slice = try endpoint.slice(incoming: false, count: bytes)
            try finish("read", bytes, memory) { queue throws(Errno) in try queue.read(slice, at: place, tag: 0) }
        case .leave:
            do throws(LoopEnd) { try leave(plan, &endpoint) } catch { throw PeerMRError.loop(error) }
        }
    }

    /// Waits for a message, and until its bytes are where the drive reads them.
    private func arrive(_ plan: LoopPlan, _ endpoint: inout Endpoint) throws(LoopEnd) {
        while !isReceived { try wait(plan, &endpoint) }
        isReceived = false
        if flush != nil {
            do {
                try flush?.post(reading: UInt64(endpoint.areaBytes), of: endpoint.region.keys, requestID: ID.flush)
            } catch { throw .refused(error) }
            while !isFlushed { try wait(plan, &endpoint) }
            isFlushed = false
        }
        try endpoint.begin(plan)
    }

    private func leave(_ plan: LoopPlan, _ endpoint: inout Endpoint) throws(LoopEnd) {
        do { try endpoint.queuePair.postSend(plan.outgoing, requestID: ID.send) } catch { throw .refused(error) }
        while !isSent { try wait(plan, &endpoint) }
        isSent = false
    }

    /// Waits for completions of the NIC.
    private func wait(_ plan: LoopPlan, _ endpoint: inout Endpoint) throws(LoopEnd) {
        for index in 0..<(try endpoint.wait(plan, since: monotonicNanoseconds(), sleepsFirst: false)) {
            let completion = endpoint.batch[index]
            guard completion.status.isSuccess else {
                throw .failed(completion.status, vendor: completion.vendorSyndrome)
            }
            switch completion.requestID {
            case ID.receive:
                guard completion.byteCount == plan.size else { throw .otherSize(completion.byteCount) }
                endpoint.state.posted -= 1
                isReceived = true
            case ID.send: isSent = true
            default: isFlushed = true
            }
        }
    }

    /// Starts one operation of the drive, and waits for its end: longer than Linux waits for a drive, which it then
    /// resets.
    ///
    /// - Throws: ETIMEDOUT after two minutes.
    /// A message is on the drive when that has flushed it.
    func store(_ slice: IOVector, at place: UInt64, _ memory: MemoryKind) throws(PeerMRError) {
        try finish("write", slice.byteCount, memory) { queue throws(Errno) in
            try queue.write(slice, at: place, tag: 0)
        }
        try finish("flush", 0, memory) { queue throws(Errno) in try queue.flush(tag: 0) }
    }

    private func finish(
        _ verb: String, _ bytes: Int, _ memory: MemoryKind, _ start: (inout Queue) throws(Errno) -> Void
    ) throws(PeerMRError) {
        do throws(Errno) {
            try start(&queue)
            try queue.submit()
            let deadline = monotonicNanoseconds() + 120_000_000_000
            while true {
                let (isEnded, failure) = queue.ended(byteCount: bytes)
                if let failure { throw failure }
                if isEnded { return }
                guard monotonicNanoseconds() < deadline else { throw .timedOut }
                _ = try waitReadable([queue.descriptor], milliseconds: 1000)
            }
        } catch { throw queue.failed(error, to: verb, memory) }
    }
}

/// What the completions of the responder are told apart by; the receives are those of the endpoint's own loop.
private enum ID {
    static let receive: UInt64 = 1
    static let send: UInt64 = 2
    static let flush: UInt64 = 3
}

extension PeerMRError {
    fileprivate static func doesNotFit(_ bytes: Int, _ limit: Int) -> PeerMRError {
        PeerMRError(
            .resourceLimit,
            reason: "messages of \(bytes) bytes do not fit into the range, the memory or one command of "
                + "the drive: there is room for \(limit)",
            remedy: "take a smaller --size, or a longer range (--drive-range)")
    }
}
