// SPDX-License-Identifier: Apache-2.0

import PeerMR

/// One end of the protocol of `rping`: an endpoint, and host memory for the messages of 16 bytes.
struct PingEndpoint: ~Copyable {
    var endpoint: Endpoint
    private let messages: PeerRegion
    private let slots: [4 of ScatterGatherElement]
    private var isOnMessage = false
    private var isOnWork = false

    /// Where messages lie in their memory: what was received, and the three that are sent.
    private enum Slot {
        static let received = 0
        static let source = 1
        static let sink = 2
        static let goAhead = 3
        static let bytes = 64
    }

    private enum ID {
        static let message: UInt64 = 1
        static let send: UInt64 = 2
        static let work: UInt64 = 3
    }

    init(_ endpoint: consuming Endpoint) throws(PeerMRError) {
        let messages = try PeerRegion.allocate(4 * Slot.bytes, of: .host, on: endpoint.domain, access: [.localWrite])
        let slots: [4 of ScatterGatherElement]
        do {
            let keys = messages.keys
            let size = UInt64(Advertisement.encodedBytes)
            slots = [
                try keys.element(at: 0, count: size), try keys.element(at: UInt64(Slot.bytes), count: size),
                try keys.element(at: UInt64(2 * Slot.bytes), count: size),
                try keys.element(at: UInt64(3 * Slot.bytes), count: size),
            ]
        } catch { throw .loop(.refused(.invalidArgument)) }
        self.slots = slots
        self.messages = messages
        self.endpoint = endpoint
    }

    /// Posts the receive for the other end's first message; before connecting.
    mutating func prepare(_ plan: LoopPlan) throws(PeerMRError) {
        do throws(LoopEnd) {
            try postReceive()
            if plan.waits { try request() }
        } catch { throw .loop(error) }
    }

    /// Writes what the client advertises: the own memory for the server to read, and to write.
    func advertise(count: Int) {
        let here = [(Slot.source, false), (Slot.sink, true)]
        for (slot, incoming) in here {
            let encoded = Advertisement(endpoint.remote(incoming: incoming), byteCount: UInt32(count)).encoded
            unsafe messages.hostBytes(at: slot * Slot.bytes, count: encoded.count)?.copyBytes(from: encoded)
        }
    }
}

// MARK: - The loops

extension PingEndpoint {
    /// As a client: `count` pings; the time at which each begins goes to `timestamps`, which has room for one more.
    @inline(never)
    mutating func ping(_ plan: LoopPlan, _ timestamps: UnsafeMutablePointer<UInt64>) -> LoopEnd {
        do throws(LoopEnd) {
            for index in 0..<plan.count {
                unsafe timestamps[index] = monotonicNanoseconds()
                PingText.write(message: index, to: plan.check.outgoing, count: Int(plan.size))
                try send(Slot.source)
                try waitForMessage(plan)
                try send(Slot.sink)
                try waitForMessage(plan)
                guard plan.check.isOn else { continue }
                let offset = PingText.firstDifference(message: index, at: plan.check.incoming, count: Int(plan.size))
                guard offset < 0 else { throw .corrupt(message: index, offset: offset) }
            }
        } catch { return error }
        unsafe timestamps[plan.count] = monotonicNanoseconds()
        return .complete
    }

    /// As a server: one ping, read from the client's memory and written back to it.
    ///
    /// - Parameter pings: how many there were; it becomes one more.
    @inline(never)
    mutating func pong(_ plan: LoopPlan, _ pings: inout Int) -> LoopEnd {
        do throws(LoopEnd) {
            try waitForMessage(plan)
            let source = try received(plan)
            do {
                try endpoint.queuePair.postRead(
                    plan.outgoing.prefix(source.byteCount), from: source.remote, requestID: ID.work)
            } catch { throw .refused(error) }
            try waitForWork(plan)
            if plan.check.isOn {
                let offset = PingText.firstDifference(
                    message: pings, at: plan.check.outgoing, count: Int(source.byteCount))
                guard offset < 0 else { throw .corrupt(message: pings, offset: offset) }
            }
            try send(Slot.goAhead)
            try waitForMessage(plan)
            let sink = try received(plan)
            do {
                try endpoint.queuePair.postWrite(
                    plan.outgoing.prefix(min(source.byteCount, sink.byteCount)), to: sink.remote, requestID: ID.work)
            } catch { throw .refused(error) }
            try waitForWork(plan)
            try send(Slot.goAhead)
            pings += 1
        } catch { return error }
        return .complete
    }

    private mutating func postReceive() throws(LoopEnd) {
        do { try endpoint.queuePair.postReceive(slots[Slot.received], requestID: ID.message) } catch {
            throw .refused(error)
        }
    }

    private func request() throws(LoopEnd) {
        do { try endpoint.queue.requestNotification() } catch { throw .refused(error) }
    }

    private mutating func send(_ slot: Int) throws(LoopEnd) {
        do { try endpoint.queuePair.postSend(slots[slot], requestID: ID.send) } catch { throw .refused(error) }
    }

    /// What the client has advertised; it must fit into the own memory.
    private func received(_ plan: LoopPlan) throws(LoopEnd) -> Advertisement {
        guard let bytes = unsafe messages.hostBytes(at: 0, count: Advertisement.encodedBytes),
            let told = unsafe Advertisement(UnsafeRawBufferPointer(bytes)), told.byteCount > 0
        else { throw .otherSize(0) }
        guard told.byteCount <= plan.outgoing.count else { throw .otherSize(told.byteCount) }
        return told
    }

    private mutating func waitForMessage(_ plan: LoopPlan) throws(LoopEnd) {
        try wait(plan, forMessage: true)
        isOnMessage = false
        try postReceive()
    }

    private mutating func waitForWork(_ plan: LoopPlan) throws(LoopEnd) {
        try wait(plan, forMessage: false)
        isOnWork = false
    }

    private mutating func wait(_ plan: LoopPlan, forMessage: Bool) throws(LoopEnd) {
        let began = monotonicNanoseconds()
        var idle: UInt32 = 0
        while forMessage ? !isOnMessage : !isOnWork {
            let found = try endpoint.poll()
            for index in 0..<found { try note(endpoint.batch[index]) }
            guard found == 0 else { continue }
            if plan.waits {
                try sleep(plan, since: began)
            } else {
                idle &+= 1
                if idle & 0xffff == 0 { try endpoint.checkTimeout(plan, since: began) }
            }
        }
    }

    private mutating func note(_ completion: Completion) throws(LoopEnd) {
        guard completion.status.isSuccess else {
            throw .failed(completion.status, vendor: completion.vendorSyndrome)
        }
        switch completion.requestID {
        case ID.message:
            guard completion.byteCount == Advertisement.encodedBytes else { throw .otherSize(completion.byteCount) }
            isOnMessage = true
        case ID.work: isOnWork = true
        default: break
        }
    }

    /// Waits for an event, or for news of the connection, and asks for the next event.
    private mutating func sleep(_ plan: LoopPlan, since began: UInt64) throws(LoopEnd) {
        let ready: UInt8
        do {
            ready = try waitReadable([endpoint.channel.descriptor, plan.peerSocket], milliseconds: 200)
        } catch { throw .refused(error) }
        guard ready & 1 != 0 else { return try endpoint.checkTimeout(plan, since: began) }
        endpoint.channel.drain()
        try request()
    }
}
