// SPDX-License-Identifier: Apache-2.0

import Testing

@testable import PeerTransfer

/// A chunk of `get` counts once, whoever tells of its arrival first, and its slot is free only when both have.
@Suite struct GetSlotTests {
    @Test func theDeviceIsFirst() {
        var slot = GetSlot(chunk: 7)
        let isNews = slot.send()
        #expect(isNews)
        #expect(!slot.isFree)
        let isNewsAgain = slot.empty()
        #expect(!isNewsAgain, "it has been counted")
        #expect(slot.isFree)
    }

    /// The client takes its queue pair down with the last chunk in hand: the acknowledgement never comes.
    @Test func theClientIsFirst() {
        var slot = GetSlot(chunk: 7)
        let isNews = slot.empty()
        #expect(isNews, "its credit says that the bytes are there")
        #expect(!slot.isFree, "the device may send them again")
        let isNewsAgain = slot.send()
        #expect(!isNewsAgain, "it has been counted")
        #expect(slot.isFree)
    }

    /// A credit is for a slot that the client has.
    @Test func whatTheClientHas() {
        var slot = GetSlot(chunk: 7)
        #expect(!slot.isOut(before: 7), "it is still to be sent")
        #expect(slot.isOut(before: 8))
        _ = slot.empty()
        #expect(!slot.isOut(before: 8), "it was given back")
        #expect(!GetSlot().isOut(before: 8), "it was never used")
    }
}
