// SPDX-License-Identifier: Apache-2.0

import PeerMR
import Testing

@testable import PeerTransfer

/// What a failed completion or post means for the transfer.
@Suite struct LinkErrorTests {
    @Test func aFullQueueNamesItsErrno() {
        let error = PeerMRError.post(.noMemory)
        #expect(error.errno == .noMemory)
        #expect(error.remedy != nil)
    }

    @Test func aBrokenProtocolSaysWhat() {
        let error = PeerMRError.outOfTurn("a chunk that nobody asked for")
        #expect(error.code == .protocolViolation)
        #expect(error.reason.hasSuffix("a chunk that nobody asked for"))
    }
}
