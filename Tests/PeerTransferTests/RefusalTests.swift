// SPDX-License-Identifier: Apache-2.0

import PeerMR
import Testing

@testable import PeerTransfer

@Suite struct RefusalTests {
    static let codes = Refusal.Code.allCases

    /// Codes are an interface: they keep their numbers, and new ones come behind them.
    @Test func codesAreNumberedWithoutAGap() {
        #expect(Self.codes.map(\.rawValue) == (1...UInt8(Self.codes.count)).map { $0 })
        #expect(Refusal.Code.stopping.rawValue == 13)
        #expect(Refusal.Code(rawValue: 0) == nil)
        #expect(Refusal.Code(rawValue: UInt8(Self.codes.count + 1)) == nil)
    }

    @Test(arguments: codes, [0, 1, 4096, UInt64.max])
    func everyRefusalSurvivesARoundTripAndItsPadding(_ code: Refusal.Code, _ detail: UInt64) {
        let refusal = Refusal(code, detail: detail)
        #expect(refusal.bytes.count == 13)
        #expect(Refusal(parsing: refusal.bytes) == refusal)
        #expect(Refusal(parsing: refusal.bytes + [UInt8](repeating: 0, count: 135)) == refusal)
        for count in 0..<13 { #expect(Refusal(parsing: Array(refusal.bytes.prefix(count))) == nil) }
    }

    @Test func aRefusalIsNoWelcomeAndNoHello() {
        let bytes = Refusal(.busy).bytes + [UInt8](repeating: 0, count: 135)
        #expect(Welcome(parsing: bytes) == nil)
        #expect(throws: Refusal.self) { try Hello(parsing: bytes) }
        #expect(throws: Refusal.self) { try Preface(parsing: bytes) }
        #expect(Challenge(parsing: bytes) == nil)
    }

    @Test func anUnknownCodeIsNone() {
        var bytes = Refusal(.busy).bytes
        for code in [0, UInt8(Self.codes.count + 1), 255] {
            bytes[4] = code
            #expect(Refusal(parsing: bytes) == nil)
        }
    }

    /// Whatever number a server sends along, the client has a whole sentence for it.
    @Test(arguments: codes, [0, 5, 12, 4096, UInt64(Int64.max), UInt64.max])
    func everyRefusalIsASentenceWithARemedy(_ code: Refusal.Code, _ detail: UInt64) {
        let error = Refusal(code, detail: detail).explained(by: "10.0.0.2:18515")
        #expect(!error.reason.isEmpty && !error.reason.hasSuffix("."))
        #expect(error.remedy?.hasSuffix(".") == false)
        #expect(!error.description.contains("Optional("))
    }

    @Test(
        arguments: [
            (.otherVersion, 7, .protocolViolation, "speaks version 7"), (.notAllowed, 0, .refused, "address"),
            (.busy, 0, .busy, "as many clients as it can"), (.outOfRange, 4096, .invalidArgument, "4096 bytes"),
            (.offBlock, 512, .invalidArgument, "beginning of a block"), (.noMemory, 12, .resourceLimit, "memory"),
            (.smallPackets, 1024, .unsafeConfiguration, "1024 bytes"), (.driveFailed, 5, .system, "drive"),
            (.driveFailed, 19, .disconnected, "drive of server is gone"),
            (.driveFailed, 110, .disconnected, "not answer"),
            (.driveFailed, 28, .resourceLimit, "no space"), (.tooSlow, 30, .disconnected, "30 s"),
            (.deviceFailed, 0, .disconnected, "RDMA device"),
            (.stopping, 0, .disconnected, "stopped"), (.empty, 0, .invalidArgument, "nothing"),
        ] as [(Refusal.Code, UInt64, PeerMRError.Code, String)])
    func sentencesHaveTheirFacts(
        _ code: Refusal.Code, _ detail: UInt64, _ expected: PeerMRError.Code, _ words: String
    ) {
        let error = Refusal(code, detail: detail).explained(by: "server")
        #expect(error.code == expected)
        #expect(error.reason.contains(words), "\(error.reason)")
    }
}
