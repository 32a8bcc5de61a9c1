// SPDX-License-Identifier: Apache-2.0

import CFakeVerbs
import PeerMR
import SystemPackage
import TestSupport
import Testing

@testable import PeerTransfer

/// A server and many clients over one network and one drive: what happens next is drawn.
@Suite struct ManyClientsTests {
    private func clients(
        _ bed: SessionBed, _ random: inout SeededGenerator, _ count: Int, areAllGood: Bool
    ) throws -> [SteppingClient] {
        try (0..<count).map { index in
            let manners = SteppingClient.Manner.allCases
            let isGood = areAllGood || random.next() % 3 > 0
            // Mostly a range of its own; else any.
            let isOwn = random.next() % 4 > 0
            let start = isOwn ? index * 8192 : Int(random.next() % 100) * 512
            let count = 1 + Int(random.next() % 8192)
            return try SteppingClient(
                bed, isPut: random.next() % 2 == 0, place: start..<min(start + count, SessionBed.capacity),
                bytes: random.bytes(exactly: count), manner: isGood ? .good : manners[Int(random.next() % 5)],
                patience: Int(random.next() % 60), waits: random.next() % 8 == 0 ? 0 : 3600)
        }
    }

    /// What is complete is on the drive, or came from it; nothing else is touched, and nobody suffers from another.
    @Test(arguments: 0..<100)
    func theyDoNotGetInEachOthersWay(_ seed: UInt64) throws {
        var random = SeededGenerator(seed: 20_000 + seed)
        let served = 1 + Int(random.next() % 5)
        try withSessionBed(seed: 21_000 + seed, {
            $0.clientCount = served
            $0.timeoutSeconds = 20
            $0.minimumRate = 0
        }) { bed in
            bed.drive.bytes = random.bytes(exactly: SessionBed.capacity)
            for _ in 0..<3 {
                let before = bed.drive.bytes
                let moved = fake_network_moved()
                let told = bed.reports.count
                let all = try clients(bed, &random, 1 + Int(random.next() % 7), areAllGood: seed % 3 == 0)
                try bed.run(all, &random)
                #expect(fake_network_moved() - moved <= all.reduce(0) { $0 + UInt64($1.place.count) })
                #expect(bed.reports.count - told <= all.count)
                check(all, before, bed.drive.bytes)
            }
        }
    }

    private func check(_ clients: [SteppingClient], _ before: [UInt8], _ after: [UInt8]) {
        var isWritten = [Bool](repeating: false, count: after.count)
        for client in clients where client.isPut && client.wasServed {
            for place in client.place { isWritten[place] = true }
        }
        let expected = zip(before, zip(isWritten, after)).map { $1.0 ? $1.1 : $0 }
        #expect(isSame(expected[...], after[...]), "nobody's bytes have changed")
        for client in clients {
            if client.manner == .good {
                let isFine: [SteppingClient.Outcome?] = [.complete, .refused(.overlapping), .refused(.busy)]
                #expect(isFine.contains(client.outcome), "\(client.place) put: \(client.isPut)")
            }
            let blocks = client.place.lowerBound / 512 * 512..<(client.place.upperBound + 511) / 512 * 512
            let isAlone = !clients.contains {
                $0 !== client && $0.wasServed && ($0.isPut || client.isPut) && $0.place.overlaps(blocks)
            }
            guard client.outcome == .complete, isAlone else { continue }
            let found = client.isPut ? after[client.place] : before[client.place]
            let expected = client.isPut ? client.bytes[..<client.place.count] : client.came[...]
            #expect(isSame(found, expected), "complete, and other bytes")
        }
    }

    /// A drive that fails some operations fails those clients alone.
    @Test(arguments: 0..<50)
    func aDriveThatFailsOneFailsNoOther(_ seed: UInt64) throws {
        var random = SeededGenerator(seed: 22_000 + seed)
        try withSessionBed(seed: 23_000 + seed) { bed in
            bed.drive.bytes = random.bytes(exactly: SessionBed.capacity)
            let before = bed.drive.bytes
            bed.drive.fault = { entry in
                if (8192..<16_384).contains(entry.offset), entry.operation != .flush {
                    entry.result = -Errno.ioError.rawValue
                }
            }
            let all = try (0..<4).map { index in
                try SteppingClient(
                    bed, isPut: index % 2 == 1, place: index * 8192..<(index + 1) * 8192,
                    bytes: random.bytes(exactly: 8192))
            }
            try bed.run(all, &random)
            for (index, client) in all.enumerated() {
                #expect(client.outcome == (index == 1 ? .failed(.driveFailed) : .complete))
            }
            check(all.filter { $0 !== all[1] && $0.isPut }, Array(before), bed.drive.bytes.enumerated().map {
                (8192..<16_384).contains($0.offset) ? before[$0.offset] : $0.element
            })
            #expect(bed.reports.count { $0.failure != nil } == 1)
        }
    }

    /// An operation that the drive keeps stops its client, and nobody else.
    @Test func anOperationThatHangsHoldsOneClient() throws {
        var random = SeededGenerator(seed: 5)
        try withSessionBed(seed: 5, { $0.driveTimeoutSeconds = 60 }) { bed in
            let stuck = try SteppingClient(bed, isPut: false, place: 0..<512, bytes: [])
            bed.isDriveTelling = false
            for _ in 0..<6 {
                bed.settle()
                try stuck.step(&random)
            }
            try #require(stuck.wasServed && bed.drive.held.count == 1)
            let other = try SteppingClient(
                bed, isPut: true, place: 4096..<20_000, bytes: random.bytes(exactly: 20_000))
            for _ in 0..<60 where other.outcome == nil {
                bed.settle()
                try other.step(&random)
                while bed.drive.held.count > 1 { bed.drive.tell(1) }
            }
            #expect(other.outcome == .complete)
            for _ in 0..<9 {
                bed.settle(milliseconds: 8000)
                try stuck.step(&random)
            }
            #expect(stuck.outcome == .failed(.driveFailed))
            bed.isDriveTelling = true
        }
    }

    /// The key of a client opens its own slots, as long as it is served, and nothing else.
    @Test func aKeyOpensItsOwnersSlotsAlone() throws {
        try withSessionBed { bed in
            let clients = try (0..<2).map { index in
                let client = try ScriptedClient(bed)
                try client.connect(client.hello(.put, 2 * 4096, at: UInt64(index) * 16_384))
                return client
            }
            for _ in 0..<6 {
                bed.settle()
                for client in clients { try client.listen() }
            }
            let buffers = try clients.map { try #require($0.welcome).buffer }
            #expect(buffers[0].key != buffers[1].key)
            // It knows the other's address, and has its own key.
            try clients[0].link.write(
                clients[0].slots.keys.element(at: 0, count: 4096),
                to: RemoteAddress(address: buffers[1].address, key: buffers[0].key), slot: 0, immediate: 0)
            bed.settle(milliseconds: 400)
            try clients[0].listen()
            #expect(clients[0].failure != nil)
            #expect(fake_network_moved() == 0)
            bed.settle(until: { bed.reports.count == 1 }, "the server has given it up")
            #expect(fake_verbs_coverage(buffers[0].key).is_live == 0)
            #expect(fake_verbs_coverage(buffers[1].key).is_live == 1)
            for chunk in 0..<2 { try clients[1].write(slot: chunk, sequence: UInt64(chunk)) }
            bed.settle()
            try clients[1].listen()
            #expect(clients[1].messages.contains(.done))
            clients[1].connection.disconnect()
            bed.settle(until: { bed.isIdle }, "all are gone")
            #expect(fake_verbs_coverage(buffers[1].key).is_live == 0)
        }
    }

    /// What one client left in its slots is not there for the next.
    @Test func aPartIsWipedForTheNextClient() throws {
        try withSessionBed(seed: 3, { $0.clientCount = 1 }) { bed in
            for index in 0..<2 {
                let client = try ScriptedClient(bed)
                try client.connect(client.hello(.put, 4096))
                for _ in 0..<4 {
                    bed.settle()
                    try client.listen()
                }
                let buffer = try #require(client.welcome).buffer
                let found = fake_verbs_coverage(buffer.key)
                let bytes = UnsafeRawBufferPointer(
                    start: UnsafeRawPointer(bitPattern: UInt(found.address)), count: Int(found.byte_count))
                #expect(bytes.allSatisfy { $0 == 0 }, "client \(index)")
                client.slots.hostBytes(at: 0, count: 4096)?.initializeMemory(as: UInt8.self, repeating: 7)
                try client.write(slot: 0, sequence: 0)
                bed.settle()
                client.connection.disconnect()
                bed.settle(until: { bed.isIdle }, "it is gone")
            }
        }
    }

    /// One that moves a little, time and again, is given up; the others are not.
    @Test func aTricklerIsGivenUp() throws {
        var random = SeededGenerator(seed: 9)
        try withSessionBed(seed: 9, { $0.timeoutSeconds = 10 }) { bed in
            let trickler = try ScriptedClient(bed)
            try trickler.connect(trickler.hello(.put, 40_000))
            var chunk: UInt64 = 0
            for _ in 0..<20 where !trickler.isOver {
                bed.settle(milliseconds: 3000)
                try trickler.listen()
                if trickler.welcome != nil, !trickler.isOver, chunk < 9 {
                    try trickler.write(slot: Int(chunk % 4), sequence: chunk)
                    chunk += 1
                }
            }
            #expect(trickler.messages.last == .failed(.belowRate, errno: 64))
            let failure = try #require(bed.reports.first?.failure)
            #expect(failure.origin == .client && failure.reason.contains("over 10 s in which it was waited for"))
            let good = try SteppingClient(bed, isPut: true, place: 0..<9000, bytes: random.bytes(exactly: 9000))
            try bed.run([good], &random)
            #expect(good.outcome == .complete)
        }
    }

    /// Both sides know how long they wait for each other: the shorter of what they want.
    @Test(arguments: [(0, 30), (7, 7), (40, 30)] as [(UInt32, UInt32)])
    func theLimitsAreAgreedOn(_ wanted: UInt32, _ agreed: UInt32) throws {
        try withSessionBed { bed in
            let client = try ScriptedClient(bed)
            var hello = client.hello(.put, 4096)
            hello.idleSeconds = wanted
            try client.connect(hello)
            for _ in 0..<4 {
                bed.settle()
                try client.listen()
            }
            let limits = try #require(client.welcome).limits
            #expect(limits == TransferLimits(clientSeconds: agreed, driveSeconds: 300, minimumRate: 64 << 10))
            bed.settle(milliseconds: agreed * 1000 - 1000)
            try client.listen()
            #expect(!client.isOver)
            bed.settle(milliseconds: 4000)
            try client.listen()
            #expect(client.messages.last == .failed(.tooSlow, errno: UInt16(agreed)))
        }
    }
}
