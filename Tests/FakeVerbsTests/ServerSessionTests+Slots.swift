// SPDX-License-Identifier: Apache-2.0

import PeerMR
import Testing

@testable import PeerTransfer

/// What a client may do with the slots, and when.
extension ServerSessionTests {
    /// The drive takes whole blocks: what begins inside of one would touch what stands before it.
    @Test(arguments: [1, 100, 511, 4095] as [UInt64], [PeerTransfer.Operation.put, .get])
    func aTransferThatBeginsInsideABlockIsRefused(_ offset: UInt64, _ operation: PeerTransfer.Operation) throws {
        try withSessionBed { bed in
            let client = try ScriptedClient(bed)
            try client.connect(client.hello(operation, 4096, at: offset))
            try awaitAnswer(client, bed)
            #expect(client.refusal == Refusal(.offBlock, detail: 512) && client.welcome == nil)
        }
    }

    /// A chunk of fewer bytes than were offered would put a slot's old bytes on the drive, and count as a whole one.
    @Test(arguments: [(1, 4096), (4095, 4096), (512, 100), (4096, 100)] as [(UInt64, UInt64)])
    func aChunkOfAnotherSizeEndsAPut(_ count: UInt64, _ byteCount: UInt64) throws {
        try withSessionBed { bed in
            let client = try connected(bed, .put, byteCount)
            try client.write(slot: 0, sequence: 0, byteCount: count)
            bed.settle(milliseconds: 2000)
            try client.listen()
            #expect(!client.messages.contains(.done))
            #expect(bed.drive.log.allSatisfy { $0.operation == .read })
            #expect(bed.reports.map { $0.failure?.code } == [.protocolViolation])
        }
    }

    /// A slot is the client's once for each offer: while the drive reads from it, nothing new may come into it.
    @Test func aSlotThatIsNotOfferedIsNotWrittenTo() throws {
        try withSessionBed { bed in
            let client = try connected(bed, .put, 8 * 4096)
            bed.isDriveTelling = false
            for chunk in 0..<4 { try client.write(slot: chunk, sequence: UInt64(chunk)) }
            bed.settle()
            #expect(bed.drive.held.count == 4)
            try client.write(slot: 0, sequence: 4)
            bed.settle(milliseconds: 1000)
            try client.listen()
            #expect(client.messages.last == .failed(.outOfTurn, errno: 0))
            bed.isDriveTelling = true
            bed.settle(milliseconds: 2000)
            #expect(bed.reports.map { $0.failure?.code } == [.protocolViolation])
        }
    }

    /// A slot that the drive still reads into is not the client's to return, the first time or later.
    @Test(arguments: [false, true])
    func aSlotThatTheClientDoesNotHaveIsNotReturned(_ hasHadIt: Bool) throws {
        try withSessionBed { bed in
            bed.isDriveTelling = hasHadIt
            let client = try connected(bed, .get, 8 * 4096)
            bed.isDriveTelling = false
            if hasHadIt { try client.link.send(.credit(slot: 0)) }
            bed.settle()
            #expect(bed.drive.held.count == (hasHadIt ? 1 : 4))
            try client.link.send(.credit(slot: 0))
            bed.settle(milliseconds: 2000)
            try client.listen()
            #expect(client.messages.last == .failed(.outOfTurn, errno: 0))
            bed.isDriveTelling = true
            bed.settle(milliseconds: 2000)
            #expect(bed.reports.map { $0.failure?.code } == [.protocolViolation])
        }
    }
}
