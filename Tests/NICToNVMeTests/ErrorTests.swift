// SPDX-License-Identifier: Apache-2.0

import CommandSupport
import PeerMR
import PeerTransfer
import Testing

@testable import NICToNVMe

@Suite struct ErrorTests {
    @Test func otherBytesThanExpectedAreAMismatch() {
        let error = PeerMRError.mismatch("aa", "bb")
        #expect(error.code == .dataMismatch)
        #expect(error.reason.contains("bb instead of aa"))
    }

    @Test func aSignalEndsTheProgramAsItEndsOthers() {
        #expect(program.status { () throws(PeerMRError) in throw .stopped } == 130)
        #expect(program.status { () throws(PeerMRError) in throw .mismatch("aa", "bb") } == 1)
        #expect(program.status { () throws(PeerMRError) in 0 } == 0)
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
