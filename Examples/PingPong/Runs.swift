// SPDX-License-Identifier: Apache-2.0

import PeerMR
import SystemSupport

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
    var patience: Int
}

/// The most messages of one run: their times are kept until its end, 8 bytes each.
let countLimit = 10_000_000

/// Times of messages, in memory that was touched before they are taken.
@safe final class Stamps {
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

    /// The time of all messages but the first ones, in nanoseconds.
    func elapsed(after warmUp: Int, count: Int) -> UInt64 { unsafe times[count] &- times[warmUp] }
}

extension Station {
    /// The plan of a run, for either end.
    func plan(
        _ operation: Operation, size: Int, count: Int, isClient: Bool, remote: RemoteSlice, with peer: borrowing Peer,
        _ options: RunOptions
    ) throws(CallError) -> LoopPlan {
        // A server sends back what it gets, from where it got it, unless it looks at every byte.
        let separate = isClient || options.validates
        let outgoing = try area(incoming: false, count: size)
        let incoming = try area(incoming: separate, count: self.options.sizeLimit)
        let isInline = size <= (region.kind == .host ? try queuePair.inlineByteCount() : 0)
        return LoopPlan(
            operation: operation, isClient: isClient, count: count, size: UInt32(size), depth: self.options.depth,
            waits: self.options.waits, isInline: isInline, outgoing: outgoing.entry, incoming: incoming.entry,
            remote: remote,
            check: PatternCheck(
                isOn: options.validates, mayEcho: !isClient && !peer.isExtended, outgoing: outgoing.address,
                incoming: incoming.address),
            patience: UInt64(options.patience) * 1_000_000_000,
            hangUp: peer.isExtended ? peer.socket.descriptor : -1)
    }

    /// As a client: one run for each size.
    mutating func measure(
        with peer: borrowing Peer, _ options: RunOptions, report: (Run) -> Void
    ) throws(CallError) {
        guard peer.isExtended || (options.operation == .send && options.sizes.count == 1) else {
            throw CallError(
                .refused, reason: "the other end is ibv_rc_pingpong, which sends messages of one size and nothing else",
                remedy: "run ping-pong there too, or leave --operation and --sweep out")
        }
        let stamps = Stamps(count: options.count)
        for size in options.sizes {
            var remote = RemoteSlice(address: 0, key: 0)
            if peer.isExtended { remote = try ask(peer, size, options) }
            let plan = try plan(
                options.operation, size: size, count: options.count, isClient: true, remote: remote, with: peer, options)
            if options.validates { plan.check.scrub(count: size) }
            let end = unsafe options.operation == .read ? read(plan, stamps.times) : exchange(plan, stamps.times)
            guard case .complete = end else { throw .loop(end) }
            report(Run(plan, stamps, options, region))
        }
        if peer.isExtended { try peer.socket.send(Request.end) }
    }

    /// Asks the server for a run, and returns where its memory is.
    private func ask(_ peer: borrowing Peer, _ size: Int, _ options: RunOptions) throws(CallError) -> RemoteSlice {
        let request = Request(
            operation: options.operation, size: UInt32(size), count: UInt32(options.count),
            remote: remote(incoming: true))
        try peer.socket.send(request.encoded)
        let bytes = try peer.socket.receive(Answer.byteCount, milliseconds: Int32(clamping: options.patience * 1000))
        let answer = try Answer(decoding: bytes)
        guard size <= Int(answer.sizeLimit) else {
            throw CallError(
                .refused, reason: "the server has room for messages of \(answer.sizeLimit) bytes, and \(size) are asked for",
                remedy: "start it with --size \(size) or more")
        }
        guard options.count <= Int(answer.countLimit) else {
            throw CallError(
                .refused, reason: "the server takes no more than \(answer.countLimit) messages in a run",
                remedy: "take fewer --iterations")
        }
        return answer.remote
    }

    /// As a server: what the client asks for, or one run of messages where it is `ibv_rc_pingpong`.
    mutating func serve(
        with peer: borrowing Peer, _ options: RunOptions, report: (Run) -> Void
    ) throws(CallError) {
        guard peer.isExtended else {
            let stamps = Stamps(count: options.count)
            let plan = try plan(
                .send, size: options.sizes.first ?? 1, count: options.count, isClient: false,
                remote: RemoteSlice(address: 0, key: 0), with: peer, options)
            let end = unsafe exchange(plan, stamps.times)
            guard case .complete = end else { throw .loop(end) }
            return report(Run(plan, stamps, options, region))
        }
        while let request = try Request.decode(peer.socket.receive(Request.byteCount, milliseconds: -1)) {
            let count = Int(request.count)
            let isPossible = Int(request.size) <= self.options.sizeLimit && count <= countLimit
            // A client that is refused ends; only what is known to fit is looked at further.
            let separate = options.validates && request.operation != .read
            let answer = Answer(
                sizeLimit: UInt32(clamping: self.options.sizeLimit), countLimit: UInt32(countLimit),
                remote: remote(incoming: separate))
            guard isPossible else {
                try peer.socket.send(answer.encoded)
                throw .tooMuch(request, self.options.sizeLimit)
            }
            let plan = try plan(
                request.operation, size: Int(request.size), count: count, isClient: false, remote: request.remote,
                with: peer, options)
            if request.operation == .read { plan.check.write(message: 0, count: Int(request.size)) }
            let stamps = Stamps(count: count)
            // The client begins when it has the answer: by then the receives stand.
            do throws(LoopEnd) { try begin(plan) } catch { throw .loop(error) }
            try peer.socket.send(answer.encoded)
            guard request.operation != .read else { continue }
            let end = unsafe exchange(plan, stamps.times)
            guard case .complete = end else { throw .loop(end) }
            var heard = options
            heard.count = count
            heard.warmUp = min(options.warmUp, count / 10)
            report(Run(plan, stamps, heard, region))
        }
    }
}

extension CallError {
    fileprivate static func tooMuch(_ request: Request, _ limit: Int) -> CallError {
        CallError(
            .refused, reason: "the client asks for \(request.count) messages of \(request.size) bytes, and there is room "
                + "for \(countLimit) of \(limit)",
            remedy: "start this end with --size \(request.size) or more, or the client with less")
    }
}
