// SPDX-License-Identifier: Apache-2.0

import PeerMR
import TestSupport
import Testing

@testable import PeerTransfer

/// A client that keeps to the protocol, a step at a time: many of them in one thread.
final class SteppingClient {
    enum Outcome: Equatable { case complete, refused(Refusal.Code), failed(Refusal.Code), cutOff }

    /// What it does beside the protocol.
    enum Manner: CaseIterable { case good, silent, vanishing, babbling, slow }

    let isPut: Bool
    let place: Range<Int>
    let bytes: [UInt8]
    let manner: Manner
    let client: ScriptedClient
    private(set) var came: [UInt8] = []
    private(set) var outcome: Outcome?
    private(set) var wasServed = false
    private(set) var positions: [Int] = []
    private var next = 0
    private var heard = 0
    private var chunksTaken = 0
    private var sentBefore = 0
    private var isOffered = [Bool](repeating: false, count: 4)
    private var isLoaded = [Bool](repeating: false, count: 4)
    /// After so many steps it does what its manner is.
    private var patience: Int

    init(
        _ bed: SessionBed, isPut: Bool, place: Range<Int>, bytes: [UInt8], manner: Manner = .good, patience: Int = 0,
        waits: UInt32 = 3600
    ) throws {
        (self.isPut, self.place, self.bytes, self.manner, self.patience) = (isPut, place, bytes, manner, patience)
        client = try ScriptedClient(bed)
        try client.connect(
            client.hello(isPut ? .put : .get, UInt64(place.count), at: UInt64(place.lowerBound), waits: waits))
    }

    private var chunkCount: Int { (place.count + 4095) / 4096 }
    private func bytes(of chunk: Int) -> Int { min(4096, place.count - chunk * 4096) }

    /// Does what there is to do.
    func step(_ random: inout SeededGenerator) throws {
        guard outcome == nil else { return }
        try client.listen()
        wasServed = wasServed || client.welcome != nil
        if try misbehaves(&random) { return }
        if client.welcome != nil {
            do throws(PeerMRError) { try isPut ? put() : get() } catch {}
            if outcome == nil, isPut ? client.messages.contains(.done) : chunksTaken == chunkCount {
                outcome = .complete
                if isPut || client.link.messagesInFlight == 0 { client.connection.disconnect() }
            }
        }
        hear()
        guard outcome == nil, client.isOver || client.failure != nil else { return }
        outcome = client.refusal.map { .refused($0.code) } ?? .cutOff
    }

    /// Ends the connection of a get, when its last message has arrived.
    func leave() throws {
        try client.listen()
        client.connection.disconnect()
    }

    private func hear() {
        for message in client.messages[heard...] {
            switch message {
            case .failed(let code, _): if outcome == nil { outcome = .failed(code) }
            case .queued(let position, _): positions.append(Int(position))
            default: break
            }
        }
        heard = client.messages.count
    }

    private func misbehaves(_ random: inout SeededGenerator) throws -> Bool {
        patience -= 1
        guard patience < 0, client.challenge != nil, client.failure == nil, !client.isOver else { return false }
        switch manner {
        case .good: return false
        case .silent:
            hear()
            if client.refusal != nil { outcome = .cutOff }
            return true
        case .vanishing:
            outcome = .cutOff
            client.connection.disconnect()
            return true
        case .babbling:
            try? client.link.queuePair.postSend(
                immediate: UInt32(truncatingIfNeeded: random.next()), requestID: 77 << 40)
            return false
        case .slow: return random.next() % 50 != 0
        }
    }

    private func put() throws(PeerMRError) {
        for slot in client.sent[sentBefore...] { isLoaded[slot] = false }
        sentBefore = client.sent.count
        for message in client.messages[heard...] {
            if case .credit(let slot) = message, slot < 4 { isOffered[Int(slot)] = true }
        }
        guard let slots = client.welcome.map({ Int($0.slotCount) }) else { return }
        while next < chunkCount, isOffered[next % slots], !isLoaded[next % slots] {
            let slot = next % slots
            let count = bytes(of: next)
            let chunk = bytes[(next * 4096)...].prefix(count)
            client.slots.hostBytes(at: slot * 4096, count: count)?.copyBytes(from: chunk)
            isOffered[slot] = false
            isLoaded[slot] = true
            do { try client.write(slot: slot, sequence: UInt64(next), byteCount: UInt64(count)) } catch { return }
            next += 1
        }
    }

    private func get() throws(PeerMRError) {
        guard let slots = client.welcome.map({ Int($0.slotCount) }) else { return }
        while chunksTaken < client.chunks.count {
            let slot = chunksTaken % slots
            let count = bytes(of: chunksTaken)
            if let found = client.slots.hostBytes(at: slot * 4096, count: count) { came += Array(found) }
            chunksTaken += 1
            try client.link.send(.credit(slot: UInt16(slot)))
        }
    }
}

extension SessionBed {
    /// Rounds with these clients until each has come to its end; time passes where nothing else does.
    func run(_ clients: [SteppingClient], _ random: inout SeededGenerator, seconds: Int = 600) throws {
        var quiet = 0
        var left = seconds * 5
        while clients.contains(where: { $0.outcome == nil }), left > 0 {
            let client = clients[Int(random.next() % UInt64(clients.count))]
            try client.step(&random)
            quiet = round() ? 0 : quiet + 1
            guard quiet > 4 * clients.count else { continue }
            for client in clients { try client.step(&random) }
            step()
            passTime()
            left -= 1
            quiet = 0
        }
        settle()
        for client in clients { try client.leave() }
        settle(until: { isIdle }, "the server is through with all of them", seconds: 120)
    }
}
