// SPDX-License-Identifier: Apache-2.0

import TestSupport
import Testing

@testable import PeerTransfer

@Suite struct MessageTests {
    @Test(
        arguments: [
            (.readBack, 0x6000_0000), (.credit(slot: 0), 0x2000_0000),
            (.credit(slot: 4095), 0x2fff_0000), (.done, 0x3000_0000),
            (.failed(.malformed, errno: 0), 0x4001_0000), (.failed(.stopping, errno: 65535), 0x400d_ffff),
            (.waiting, 0x5000_0000), (.queued(position: 1, seconds: 0), 0x7001_0000),
            (.queued(position: 4095, seconds: 65535), 0x7fff_ffff),
        ] as [(Message, UInt32)])
    func aMessageHasThisImmediate(_ message: Message, _ immediate: UInt32) {
        #expect(message.immediate == immediate)
        #expect(Message(immediate: immediate) == message)
    }

    @Test func everySlotSurvivesARoundTrip() {
        for slot in 0..<slotLimit {
            let messages: [Message] = [.credit(slot: slot)]
            for message in messages where Message(immediate: message.immediate) != message {
                Issue.record("\(message)")
            }
        }
    }

    @Test(
        arguments: [
            0, 1, 0x0fff_ffff, 0x2000_0001, 0x2fff_ffff, 0x3000_0001, 0x3001_0000, 0x4000_0000, 0x40ff_0000,
            0x4100_0000, 0x4fff_ffff, 0x5000_0001, 0x5001_0000, 0x1000_0000, 0x1fff_ffff, 0x6000_0001,
            0x7000_0000, 0x8000_0000, 0xffff_ffff,
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
