// SPDX-License-Identifier: Apache-2.0

import PeerMR

/// What goes to and fro.
enum Operation: String, CaseIterable, Sendable {
    /// SEND into the other end's receives: what `ibv_rc_pingpong` does.
    case send
    /// RDMA WRITE into the other end's memory, with an immediate that tells it.
    case write
    /// RDMA READ by the client; the server's processor has no part in it.
    case read

    /// The number in a ``Request``; 0 is the end.
    var code: UInt8 {
        switch self {
        case .send: 1
        case .write: 2
        case .read: 3
        }
    }

    init?(code: UInt8) {
        guard let found = Self.allCases.first(where: { $0.code == code }) else { return nil }
        self = found
    }
}

/// Everything that the loop has to know: numbers only.
struct LoopPlan: BitwiseCopyable {
    var operation: Operation
    /// The first message is the client's.
    var isClient: Bool
    /// Messages each way.
    var count: Int
    /// Bytes of a message.
    var size: UInt32
    /// Sleep until the device tells of a completion, instead of polling.
    var waits: Bool
    /// Whether messages fit into the work request and may be copied there.
    var isInline: Bool
    var outgoing: ScatterGatherElement
    /// As long as the longest message that can come.
    var incoming: ScatterGatherElement
    /// The other end's memory, for writes and reads.
    var remote: RemoteAddress
    /// Whether every byte is looked at, and where; see ``Pattern``.
    var check: PatternCheck
    /// How long nothing may come, in nanoseconds.
    var timeout: UInt64
    /// Readable when the other end has gone; -1 where nothing tells that.
    var peerSocket: Int32
}

/// How the loop came to its end: a value without memory of its own.
enum LoopEnd: Error {
    case complete
    /// A completion tells of a failure.
    case failed(CompletionStatus, vendor: UInt32)
    /// The provider refused a work request, or a poll.
    case refused(Errno)
    /// A message of another length than agreed.
    case otherSize(UInt32)
    /// A byte that is not the one that was sent.
    case corrupt(message: Int, offset: Int)
    /// The owner of the memory reads no bytes, or writes none; see ``Endpoint/error(for:)``.
    case unreachable
    /// Nothing came for too long.
    case timedOut
    /// The other end has closed its TCP connection.
    case peerClosed
}

/// The state that outlives a run: receives that are posted, events that wait to be acknowledged.
struct LoopState {
    var posted = 0
    var events: UInt32 = 0
    /// The other end sends what it has received, and nothing of its own.
    var peerEchoes = false
}

private let receiveID: UInt64 = 1
private let sendID: UInt64 = 2

extension Endpoint {
    /// The ping-pong itself. Each end sends when it has the other's message *and* its own has left.
    ///
    /// Nothing in here allocates or counts references, once per message or otherwise: a test looks at the machine code.
    /// The time at which each message is posted goes to `timestamps`, which has room for `count + 1`; the last is the
    /// end.
    @inline(never)
    mutating func exchange(_ plan: LoopPlan, _ timestamps: UnsafeMutablePointer<UInt64>) -> LoopEnd {
        var sent = 0
        var received = 0
        var taken = 0
        var waitsForSend = false
        var waitsForReceive = true
        var heard = monotonicNanoseconds()
        do throws(LoopEnd) {
            try begin(plan)
            if plan.isClient {
                unsafe timestamps[0] = monotonicNanoseconds()
                taken = 1
                try post(plan, message: 0)
                waitsForSend = true
            }
            // What came before an event was asked for has none: the first look is without sleep.
            var sleeps = false
            while sent < plan.count || received < plan.count {
                let found = try wait(plan, since: heard, sleepsFirst: sleeps)
                sleeps = plan.waits
                for index in 0..<found {
                    let completion = batch[index]
                    guard completion.status.isSuccess else {
                        throw .failed(completion.status, vendor: completion.vendorSyndrome)
                    }
                    if completion.requestID == sendID {
                        sent += 1
                        waitsForSend = false
                    } else {
                        guard completion.byteCount == plan.size else { throw .otherSize(completion.byteCount) }
                        state.posted -= 1
                        if state.posted <= 1 { try fillReceives(plan.incoming) }
                        if plan.check.isOn { try check(plan, message: received) }
                        received += 1
                        waitsForReceive = false
                    }
                }
                if sent < plan.count, !waitsForSend, !waitsForReceive {
                    heard = monotonicNanoseconds()
                    unsafe timestamps[taken] = heard
                    taken += 1
                    try post(plan, message: sent)
                    waitsForSend = true
                    waitsForReceive = received < plan.count
                }
            }
        } catch { return error }
        unsafe timestamps[plan.count] = monotonicNanoseconds()
        return .complete
    }

    /// RDMA READs, one after the other; the time at which each is posted goes to `timestamps`.
    @inline(never)
    mutating func read(_ plan: LoopPlan, _ timestamps: UnsafeMutablePointer<UInt64>) -> LoopEnd {
        do throws(LoopEnd) {
            try begin(plan)
            for message in 0..<plan.count {
                let began = monotonicNanoseconds()
                unsafe timestamps[message] = began
                do {
                    try queuePair.postRead(plan.incoming.prefix(plan.size), from: plan.remote, requestID: sendID)
                } catch { throw .refused(error) }
                _ = try wait(plan, since: began, sleepsFirst: plan.waits)
                let completion = batch[0]
                guard completion.status.isSuccess else {
                    throw .failed(completion.status, vendor: completion.vendorSyndrome)
                }
                // What is read is what the server put there once: message 0.
                if plan.check.isOn {
                    try check(plan, message: 0)
                    try scrub(plan)
                }
            }
        } catch { return error }
        unsafe timestamps[plan.count] = monotonicNanoseconds()
        return .complete
    }

    /// What has to stand before the other end sends: receives, and the request for an event.
    mutating func begin(_ plan: LoopPlan) throws(LoopEnd) {
        try fillReceives(plan.incoming)
        guard plan.waits else { return }
        do { try queue.requestNotification() } catch { throw .refused(error) }
    }

    /// The same before there is a plan: before the other end knows this one.
    mutating func prepare(separate: Bool) throws(PeerMRError) {
        let incoming = try area(incoming: separate, count: options.sizeLimit)
        do throws(LoopEnd) { try fillReceives(incoming.entry) } catch { throw .loop(error) }
    }

    private mutating func fillReceives(_ entry: ScatterGatherElement) throws(LoopEnd) {
        while state.posted < options.depth {
            do { try queuePair.postReceive(entry, requestID: receiveID) } catch { throw .refused(error) }
            state.posted += 1
        }
    }

    private mutating func post(_ plan: LoopPlan, message: Int) throws(LoopEnd) {
        if plan.check.isOn { try write(plan, message: message) }
        do {
            if plan.operation == .write {
                try queuePair.postWrite(
                    plan.outgoing, to: plan.remote, immediate: UInt32(truncatingIfNeeded: message), requestID: sendID)
            } else {
                try queuePair.postSend(plan.outgoing, requestID: sendID, isInline: plan.isInline)
            }
        } catch { throw .refused(error) }
    }

    mutating func poll() throws(LoopEnd) -> Int {
        do { return try queue.poll(into: &batch) } catch { throw .refused(error) }
    }

    /// Waits for completions: polls, and sleeps in between if the plan says so. They are in `batch`.
    ///
    /// - Parameter sleepsFirst: false where completions may be there for which no event comes.
    @inline(__always)
    mutating func wait(_ plan: LoopPlan, since heard: UInt64, sleepsFirst: Bool) throws(LoopEnd) -> Int {
        var idle: UInt32 = 0
        if sleepsFirst { try sleep(plan, since: heard) }
        while true {
            let found = try poll()
            if found > 0 { return found }
            idle &+= 1
            if idle & 0xffff == 0 { try checkTimeout(plan, since: heard) }
            if plan.waits { try sleep(plan, since: heard) }
        }
    }

    /// Waits for an event, and asks for the next before the poll that follows.
    private mutating func sleep(_ plan: LoopPlan, since heard: UInt64) throws(LoopEnd) {
        while true {
            let came: Bool
            do { came = try channel.waitForEvent() } catch { throw .refused(error) }
            if came { break }
            try checkTimeout(plan, since: heard)
        }
        state.events &+= 1
        do { try queue.requestNotification() } catch { throw .refused(error) }
    }

    /// Whether there is still someone to wait for; looked at rarely.
    @inline(never)
    func checkTimeout(_ plan: LoopPlan, since heard: UInt64) throws(LoopEnd) {
        if plan.peerSocket >= 0, hasPeerClosed(plan.peerSocket) { throw .peerClosed }
        let quiet = monotonicNanoseconds() - heard
        if quiet > plan.timeout { throw .timedOut }
        // Unbinding the memory's device waits until the program closes it.
        if plan.check.isStaged, quiet > 100_000_000 { try checkMemory() }
    }

    private mutating func check(_ plan: LoopPlan, message: Int) throws(LoopEnd) {
        let count = Int(plan.size)
        if plan.check.isStaged { try takeThroughOwner(plan.check.incoming, count: count) }
        // ibv_rc_pingpong sends back what it has received last; what it sends first is its own.
        let expected = state.peerEchoes ? message - 1 : message
        let offset = Pattern.firstDifference(message: expected, at: plan.check.incoming, count: count)
        guard offset >= 0 else { return }
        if message == 0, plan.check.mayEcho {
            state.peerEchoes = true
            return
        }
        throw .corrupt(message: message, offset: offset)
    }

    /// Puts the pattern of a message where the NIC takes it.
    func write(_ plan: LoopPlan, message: Int) throws(LoopEnd) {
        Pattern.write(message: message, to: plan.check.outgoing, count: Int(plan.size))
        if plan.check.isStaged { try putThroughOwner(plan.check.outgoing, count: Int(plan.size)) }
    }

    /// Overwrites what was received, so that the same bytes must come again.
    func scrub(_ plan: LoopPlan) throws(LoopEnd) {
        plan.check.scrub(count: Int(plan.size))
        if plan.check.isStaged { try putThroughOwner(plan.check.incoming, count: Int(plan.size)) }
    }
}
