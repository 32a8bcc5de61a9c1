// SPDX-License-Identifier: Apache-2.0

import PeerMR
import Testing

@testable import NICToNVMe

@Suite struct ErrorTests {
    @Test func otherBytesThanExpectedAreAMismatch() {
        let error = PeerMRError.mismatch("aa", "bb")
        #expect(error.code == .dataMismatch)
        #expect(error.reason.contains("bb instead of aa"))
    }

    @Test func aFullDiskSaysSo() {
        #expect(PeerMRError.file(.noSpace, "written").remedy == "make room for it")
    }

    @Test func aServersRefusalNamesTheOption() {
        let refusal = PeerMRError(.refused, reason: "no", remedy: "let the server serve this host")
        #expect(refusal.namingOption.remedy == "let the server serve this host (--allow there)")
        let other = PeerMRError(.refused, call: "connect", reason: "no", remedy: "start it")
        #expect(other.namingOption.remedy == "start it")
    }
}
