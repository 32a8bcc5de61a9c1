// SPDX-License-Identifier: Apache-2.0

import PeerMR
import PeerMRCore

/// What is measured, as the client was told.
struct RunOptions {
    var operation: Operation
    /// Sizes of messages in bytes: one, or a sweep.
    var sizes: [Int]
    /// Messages each way, for each size.
    var count: Int
    /// How many of them are left out of the figures, at the beginning.
    var warmUp: Int
    var validates: Bool
    /// How long nothing may come, in seconds.
    var timeout: Int
}

/// The most messages of one run: their times are kept until its end, 8 bytes each.
let countLimit = 10_000_000

/// Times of messages, in memory that was touched before they are taken.
@safe final class Timestamps {
    let times: UnsafeMutablePointer<UInt64>
    let capacity: Int

    init(count: Int) {
        capacity = count + 1
        unsafe times = .allocate(capacity: capacity)
        unsafe times.initialize(repeating: 0, count: capacity)
    }

    deinit { unsafe times.deallocate() }

    /// The time from one message to the next, in nanoseconds, without the first ones.
    func intervals(after warmUp: Int, count: Int) -> [UInt64] {
        (warmUp..<count).map { unsafe times[$0 + 1] &- times[$0] }
    }
}

extension Endpoint {
    /// The plan of a run, for either end.
    ///
    /// - Parameter separate: what comes in is not what goes out. A server that only sends back what it gets has one
    ///   place for both.
    func plan(
        _ operation: Operation, size: Int, count: Int, isClient: Bool, separate: Bool, remote: RemoteAddress,
        with peer: borrowing Peer, _ options: RunOptions
    ) throws(PeerMRError) -> LoopPlan {
        let outgoing = try area(incoming: false, count: size)
        let incoming = try area(incoming: separate, count: self.options.sizeLimit)
        let isInline = size <= (region.kind == .host ? try queuePair.inlineByteCount() : 0)
        return LoopPlan(
            operation: operation, isClient: isClient, count: count, size: UInt32(size),
            waits: self.options.waits, isInline: isInline, outgoing: outgoing.entry, incoming: incoming.entry,
            remote: remote,
            check: PatternCheck(
                isOn: options.validates, mayEcho: !isClient && !peer.isExtended, isStaged: staging != nil,
                outgoing: outgoing.address, incoming: incoming.address),
            timeout: UInt64(options.timeout) * 1_000_000_000,
            peerSocket: peer.isExtended ? peer.socket.descriptor : -1)
    }

    /// As a client: one run for each size.
    mutating func measure(
        with peer: borrowing Peer, _ options: RunOptions, report: (Run) -> Void
    ) throws(PeerMRError) {
        guard peer.isExtended || (options.operation == .send && options.sizes.count == 1) else {
            throw PeerMRError(
                .refused, reason: "the other end is ibv_rc_pingpong, which sends messages of one size and nothing else",
                remedy: "run ping-pong there too, or leave --operation and --sweep out")
        }
        let timestamps = Timestamps(count: options.count)
        for size in options.sizes {
            var remote = RemoteAddress(address: 0, key: 0)
            if peer.isExtended { remote = try ask(peer, size, options) }
            let plan = try plan(
                options.operation, size: size, count: options.count, isClient: true, separate: true, remote: remote,
                with: peer, options)
            do throws(LoopEnd) { if options.validates { try scrub(plan) } } catch { throw self.error(for: error) }
            let times = unsafe timestamps.times
            let end = unsafe options.operation == .read ? read(plan, times) : exchange(plan, times)
            guard case .complete = end else { throw error(for: end) }
            report(Run(plan, timestamps, options, region))
        }
        if peer.isExtended { try peer.socket.send(Request.end) }
    }

    /// Asks the server for a run, and returns where its memory is.
    private func ask(_ peer: borrowing Peer, _ size: Int, _ options: RunOptions) throws(PeerMRError) -> RemoteAddress {
        let request = Request(
            operation: options.operation, size: UInt32(size), count: UInt32(options.count),
            remote: remote(incoming: true))
        try peer.socket.send(request.encoded)
        let bytes = try peer.socket.receive(Answer.byteCount, milliseconds: Int32(clamping: options.timeout * 1000))
        let answer = try Answer(decoding: bytes)
        guard answer.operations.contains(options.operation) else {
            throw PeerMRError(
                .refused,
                reason: "the server does not take part in \(options.operation.rawValue): its pong comes from a drive",
                remedy: "leave --operation out, or start it without --nvme")
        }
        guard size <= Int(answer.sizeLimit) else {
            throw PeerMRError(
                .refused,
                reason: "the server has room for messages of \(answer.sizeLimit) bytes, and \(size) are asked for",
                remedy: "start it with --size \(size) or more")
        }
        guard options.count <= Int(answer.countLimit) else {
            throw PeerMRError(
                .refused, reason: "the server takes no more than \(answer.countLimit) messages in a run",
                remedy: "take fewer --iterations")
        }
        return answer.remote
    }

    /// As a server: what the client asks for, or one run of messages where it is `ibv_rc_pingpong`.
    mutating func serve(
        with peer: borrowing Peer, _ options: RunOptions, _ responder: some Responder, report: (Run) -> Void
    ) throws(PeerMRError) {
        try responder.begin(on: self)
        let separate = responder.separatesAreas || options.validates
        guard peer.isExtended else {
            let plan = try plan(
                .send, size: options.sizes.first ?? 1, count: options.count, isClient: false, separate: separate,
                remote: RemoteAddress(address: 0, key: 0), with: peer, options)
            do throws(LoopEnd) { try begin(plan) } catch { throw .loop(error) }
            return try responder.run(plan, on: &self, options).forEach(report)
        }
        let timeout = Int32(clamping: options.timeout * 1000)
        while let request = try Request.decode(peer.socket.receive(Request.byteCount, milliseconds: timeout)) {
            var options = options
            options.count = Int(request.count)
            options.warmUp = min(options.warmUp, options.count / 10)
            // A client writes where messages arrive, and reads what goes out.
            let answer = Answer(
                operations: responder.operations, sizeLimit: UInt32(clamping: self.options.sizeLimit),
                countLimit: UInt32(countLimit), remote: remote(incoming: separate && request.operation != .read))
            guard answer.allows(request) else {
                try peer.socket.send(answer.encoded)
                throw .tooMuch(request, self.options.sizeLimit)
            }
            let plan = try plan(
                request.operation, size: Int(request.size), count: options.count, isClient: false, separate: separate,
                remote: request.remote, with: peer, options)
            if request.operation == .read { fill(plan) }
            // The client begins when it has the answer: by then the receives stand.
            do throws(LoopEnd) { try begin(plan) } catch { throw .loop(error) }
            try peer.socket.send(answer.encoded)
            // Reads are the client's alone.
            if request.operation != .read { try responder.run(plan, on: &self, options).forEach(report) }
        }
    }
}

extension Endpoint {
    /// Puts there what a client reads: message 0, where the processor can.
    private func fill(_ plan: LoopPlan) {
        do throws(LoopEnd) { try write(plan, message: 0) } catch {
            say("what is read here cannot be validated: \(self.error(for: error).reason)")
        }
    }
}

/// What a server does for each run.
protocol Responder: AnyObject {
    /// What a client may ask for.
    var operations: [Operation] { get }
    /// Whether what goes out is not simply what came in.
    var separatesAreas: Bool { get }
    func begin(on endpoint: borrowing Endpoint) throws(PeerMRError)
    func run(_ plan: LoopPlan, on endpoint: inout Endpoint, _ options: RunOptions) throws(PeerMRError) -> [Run]
}

/// The usual responder: from memory to memory.
final class MemoryResponder: Responder {
    let operations = Operation.allCases
    let separatesAreas = false
    func begin(on endpoint: borrowing Endpoint) {}

    func run(_ plan: LoopPlan, on endpoint: inout Endpoint, _ options: RunOptions) throws(PeerMRError) -> [Run] {
        let timestamps = Timestamps(count: plan.count)
        let end = unsafe endpoint.exchange(plan, timestamps.times)
        guard case .complete = end else { throw endpoint.error(for: end) }
        return [Run(plan, timestamps, options, endpoint.region)]
    }
}

extension PeerMRError {
    fileprivate static func tooMuch(_ request: Request, _ limit: Int) -> PeerMRError {
        PeerMRError(
            .refused,
            reason: "the client asks for \(request.count) messages of \(request.size) bytes to "
                + "\(request.operation.rawValue), and there is room for \(countLimit) of \(limit)",
            remedy: "start this end with --size \(request.size) or more and without --nvme, or the client with less")
    }
}
