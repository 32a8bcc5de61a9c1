// SPDX-License-Identifier: Apache-2.0

import TestSupport
import Testing

@testable import PeerTransfer

@Suite struct MessageTests {
    @Test(
        arguments: [
            (.chunk(slot: 0, sequence: 0), 0x1000_0000), (.chunk(slot: 4095, sequence: 65535), 0x1fff_ffff),
            (.chunk(slot: 3, sequence: 258), 0x1003_0102), (.credit(slot: 0), 0x2000_0000),
            (.credit(slot: 4095), 0x2fff_0000), (.done, 0x3000_0000),
            (.failed(.malformed, errno: 0), 0x4001_0000), (.failed(.stopping, errno: 65535), 0x400d_ffff),
            (.waiting, 0x5000_0000),
        ] as [(Message, UInt32)])
    func aMessageHasThisImmediate(_ message: Message, _ immediate: UInt32) {
        #expect(message.immediate == immediate)
        #expect(Message(immediate: immediate) == message)
    }

    @Test func everySlotAndSequenceSurvivesARoundTrip() {
        for slot in 0..<slotLimit {
            let messages: [Message] = [.credit(slot: slot), .chunk(slot: slot, sequence: slot &* 16)]
            for message in messages where Message(immediate: message.immediate) != message {
                Issue.record("\(message)")
            }
        }
        for sequence in UInt16.min...UInt16.max {
            let chunk = Message.chunk(slot: 7, sequence: sequence)
            if Message(immediate: chunk.immediate) != chunk { Issue.record("\(chunk)") }
        }
    }

    @Test(
        arguments: [
            0, 1, 0x0fff_ffff, 0x2000_0001, 0x2fff_ffff, 0x3000_0001, 0x3001_0000, 0x4000_0000, 0x40ff_0000,
            0x4100_0000, 0x4fff_ffff, 0x5000_0001, 0x5001_0000, 0x6000_0000, 0x8000_0000, 0xffff_ffff,
        ] as [UInt32])
    func whatTheProtocolDoesNotHaveIsNone(_ immediate: UInt32) {
        #expect(Message(immediate: immediate) == nil)
    }

    @Test func requestsCarryTheirKindAndSlot() {
        for kind in (UInt8(0)...4).compactMap(Tag.Kind.init(rawValue:)) {
            for slot in [0, 1, 4095, Int(UInt32.max)] {
                let tag = Tag(kind, slot: slot)
                #expect(Tag(requestID: tag.requestID) == tag)
            }
        }
        #expect(Tag(requestID: 5 << 32) == nil)
    }

    @Test func storageOperationsCarryTheirKindAndSlot() {
        for kind in [StorageTag.data, StorageTag.tail, StorageTag.flush] {
            for slot in [0, 1, 4095] {
                let tag = StorageTag.make(kind, slot: slot)
                #expect(StorageTag.kind(tag) == kind)
                #expect(StorageTag.slot(tag) == slot)
            }
        }
    }
}
