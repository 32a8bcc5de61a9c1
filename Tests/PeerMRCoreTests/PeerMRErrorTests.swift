// SPDX-License-Identifier: Apache-2.0

import SystemPackage
import PeerMRCore
import Testing

@Suite struct PeerMRErrorTests {
    @Test func aSentenceHasReasonCauseAndRemedy() {
        let error = PeerMRError(
            .resourceLimit, call: "mmap", errno: .noMemory, reason: "no memory is left",
            remedy: "stop something")
        #expect(
            error.description
                == "no memory is left (mmap: Cannot allocate memory, errno 12); stop something")
    }

    @Test(arguments: [
        (PeerMRError(.system, reason: "it broke"), "it broke"),
        (PeerMRError(.system, reason: "it broke", remedy: "mend it"), "it broke; mend it"),
        (
            PeerMRError(.system, errno: .ioError, reason: "it broke"),
            "it broke (Input/output error, errno 5)"
        ),
        (PeerMRError(.system, call: "read", reason: "it broke"), "it broke"),
    ])
    func partsThatAreMissingLeaveNoTrace(_ error: PeerMRError, _ text: String) {
        #expect(error.description == text)
    }

    /// Kernel-internal numbers reach user space, and the C library calls them unknown.
    @Test(arguments: [
        (512, "ERESTARTSYS"), (517, "EPROBE_DEFER"), (524, "ENOTSUPP"), (529, "EIOCBQUEUED"),
    ] as [(Int32, String)])
    func kernelInternalNumbersHaveTheirKernelNames(_ number: Int32, _ name: String) {
        let text = Errno(rawValue: number).explanation
        #expect(text.hasPrefix(name))
        #expect(!text.contains("Unknown"))
    }

    @Test func number524SaysThatTheDriverDoesNotSupportIt() {
        let error = PeerMRError(
            .notSupported, call: "ibv_reg_mr", errno: Errno(rawValue: 524), reason: "it cannot be had")
        #expect(error.description.contains("the driver does not support this"))
        #expect(error.description.contains("errno 524"))
    }

    @Test func everyOtherNumberIsPrintedWithItsValue() {
        for number in Int32(1)...600 {
            let errno = Errno(rawValue: number)
            #expect(!errno.explanation.isEmpty)
            let text = PeerMRError(.system, call: "c", errno: errno, reason: "r").description
            #expect(text.hasSuffix("errno \(number))"), "\(text)")
        }
    }

    /// Whatever name or path it quotes, and whoever adds to it.
    @Test func aSentenceHasNothingThatATerminalActsUpon() {
        let error = PeerMRError(.system, reason: "a\u{1b}[2Jb\nc", remedy: "d\u{202e}e\u{9b}f")
        #expect(error.reason == "a?[2Jb?c" && error.remedy == "d?e?f")
        #expect(error.from(.drive).description == "a?[2Jb?c; d?e?f")
    }

    @Test func codesAreComparedByTheirNames() {
        #expect(PeerMRError.Code(rawValue: "busy") == .busy)
        #expect(PeerMRError.Code(rawValue: "of a later version").rawValue == "of a later version")
    }
}
