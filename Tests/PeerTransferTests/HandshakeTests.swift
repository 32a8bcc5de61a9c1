// SPDX-License-Identifier: Apache-2.0

import PeerMR
import TestSupport
import Testing

@testable import PeerTransfer

/// Values that a test needs of a handshake, from a seed.
extension SeededGenerator {
    mutating func hello() -> Hello {
        Hello(
            operation: next() % 2 == 0 ? .put : .get, offset: next(), byteCount: next(),
            buffer: RemoteAddress(address: next(), key: UInt32(truncatingIfNeeded: next())),
            slotBytes: UInt32(1 + next() % 1_048_575) * 4096,
            slotCount: UInt16(1 + next() % UInt64(slotLimit)), queueSeconds: UInt32(truncatingIfNeeded: next()),
            idleSeconds: UInt32(truncatingIfNeeded: next()))
    }

    mutating func welcome() -> Welcome {
        Welcome(
            slotCount: UInt16(1 + next() % 65535), slotBytes: UInt32(1 + next() % 0xffff_fffe),
            capacity: next(), blockBytes: UInt32(1 + next() % 65536),
            buffer: RemoteAddress(address: next(), key: UInt32(truncatingIfNeeded: next())),
            memory: MemoryKind.allCases[Int(next() % 3)], method: Method.allCases[Int(next() % 3)],
            nic: next() % 2 == 0 ? .software : .device, isBounce: next() % 2 == 0,
            limits: TransferLimits(
                clientSeconds: UInt32(truncatingIfNeeded: next()), driveSeconds: UInt32(truncatingIfNeeded: next()),
                minimumRate: next()))
    }
}

@Suite struct HandshakeTests {
    /// The layout on the wire: whoever changes it must change the version too.
    @Test func aHelloHasThisLayout() {
        let hello = Hello(
            operation: .get, offset: 0x0102_0304_0506_0708, byteCount: 0x1112_1314_1516_1718,
            buffer: RemoteAddress(address: 0x2122_2324_2526_2728, key: 0x3132_3334), slotBytes: 0x0004_0000,
            slotCount: 8, queueSeconds: 0x4142_4344, idleSeconds: 0x5152_5354)
        let bytes: [UInt8] = [
            0x31, 0x50, 0x4d, 0x52, 2, 0, 2, 0, 8, 7, 6, 5, 4, 3, 2, 1, 0x18, 0x17, 0x16, 0x15, 0x14, 0x13,
            0x12, 0x11, 0x28, 0x27, 0x26, 0x25, 0x24, 0x23, 0x22, 0x21, 0x34, 0x33, 0x32, 0x31, 0, 0, 4, 0,
            8, 0, 0x44, 0x43, 0x42, 0x41, 0x54, 0x53, 0x52, 0x51,
        ]
        #expect(hello.bytes == bytes + [UInt8](repeating: 0, count: 46))
        #expect(wireVersion == 2)
    }

    @Test func aWelcomeHasThisLayout() {
        let welcome = Welcome(
            slotCount: 8, slotBytes: 0x0004_0000, capacity: 0x1112_1314_1516_1718, blockBytes: 512,
            buffer: RemoteAddress(address: 0x2122_2324_2526_2728, key: 0x3132_3334), memory: .p2pmem,
            method: .onDemand, nic: .software, isBounce: false,
            limits: TransferLimits(
                clientSeconds: 0x4142_4344, driveSeconds: 0x5152_5354, minimumRate: 0x6162_6364_6566_6768))
        let bytes: [UInt8] = [
            0x31, 0x50, 0x4d, 0x52, 2, 0, 8, 0, 0, 0, 4, 0, 0, 2, 0, 0, 0x18, 0x17, 0x16, 0x15, 0x14, 0x13,
            0x12, 0x11, 0x28, 0x27, 0x26, 0x25, 0x24, 0x23, 0x22, 0x21, 0x34, 0x33, 0x32, 0x31, 1, 1, 1, 0, 0,
            0x44, 0x43, 0x42, 0x41, 0x54, 0x53, 0x52, 0x51, 0x68, 0x67, 0x66, 0x65, 0x64, 0x63, 0x62, 0x61,
        ]
        #expect(welcome.bytes == bytes + [UInt8](repeating: 0, count: 39))
    }

    @Test func aPrefaceAndAChallengeHaveTheseLayouts() throws {
        let nonce = (0..<32).map { UInt8($0) }
        let zeros = { [UInt8](repeating: 0, count: $0) }
        let head: [UInt8] = [0x31, 0x50, 0x4d, 0x52, 2, 0]
        #expect(Preface(nonce: nonce).bytes == head + [0, 0] + nonce + zeros(16))
        let challenge = Challenge(wantsKey: true, nonce: nonce, patienceSeconds: 10)
        #expect(challenge.bytes == head + [1, 0] + nonce + [10, 0, 0, 0] + zeros(20))
        #expect(try Preface(parsing: Preface(nonce: nonce).bytes) == Preface(nonce: nonce))
        #expect(Challenge(parsing: challenge.bytes + zeros(132)) == challenge)
    }

    /// What a later version may mean by them must not be taken for nothing.
    @Test func fieldsThatAreReservedAreZero() {
        var random = SeededGenerator(seed: 9)
        for place in [6, 7, 40, 55] {
            var bytes = Preface().bytes
            bytes[place] = 1
            #expect(throws: Refusal(.malformed, detail: 2)) { try Preface(parsing: bytes) }
        }
        for place in [7, 44, 63] {
            var bytes = Challenge(wantsKey: false, patienceSeconds: 1).bytes
            bytes[place] = 2
            #expect(Challenge(parsing: bytes) == nil)
        }
        for place in [7, 50, 95] {
            var bytes = random.hello().bytes
            bytes[place] = 2
            #expect(throws: Refusal(.malformed, detail: 2)) { try Hello(parsing: bytes) }
        }
        for place in [38, 39, 40, 57, 95] {
            var bytes = random.welcome().bytes
            bytes[place] = 2
            #expect(Welcome(parsing: bytes) == nil)
        }
    }

    /// Only what was put can be read back.
    @Test func aHelloSaysWhetherItIsReadBack() throws {
        var random = SeededGenerator(seed: 8)
        var hello = random.hello()
        hello.operation = .put
        hello.isReadBack = true
        #expect(hello.bytes[7] == 1)
        #expect(try Hello(parsing: hello.bytes) == hello)
        hello.operation = .get
        #expect(throws: Refusal(.malformed, detail: 2)) { try Hello(parsing: hello.bytes) }
        var welcome = random.welcome()
        welcome.hasDigests = true
        #expect(welcome.bytes[40] == 1 && Welcome(parsing: welcome.bytes) == welcome)
    }

    @Test func zerosAreNoNonce() {
        let padded = Array(Preface().bytes.prefix(6)) + [UInt8](repeating: 0, count: 50)
        #expect(throws: Refusal(.malformed, detail: 2)) { try Preface(parsing: padded) }
    }

    @Test func noncesAreNeverTheSame() {
        let nonces = (0..<1000).map { _ in Preface().nonce }
        #expect(Set(nonces).count == 1000 && nonces.allSatisfy { $0.count == 32 })
    }

    /// A client of version 1 says its hello in the connection request, and must be told in words that it understands.
    @Test func aClientOfVersionOneIsToldTheVersion() {
        let old: [UInt8] = [0x31, 0x50, 0x4d, 0x52, 1, 0, 1, 0] + [UInt8](repeating: 0, count: 48)
        #expect(throws: Refusal(.otherVersion, detail: 2)) { try Preface(parsing: old) }
        let told = Refusal(.otherVersion, detail: 1).explained(by: "10.0.0.2")
        #expect(told.reason == "10.0.0.2 speaks version 1 of the protocol, this client version 2")
    }

    /// A connection request carries at most 56 bytes, its answer 196, a rejection 148 (InfiniBand specification, 12.6).
    @Test func allFitTheirPrivateData() {
        var random = SeededGenerator(seed: 10)
        #expect(Preface().bytes.count == 56)
        #expect(Challenge(wantsKey: true, patienceSeconds: 1).bytes.count <= 196)
        #expect(random.hello().bytes.count == ProvenMessage.bodyBytes)
        #expect(random.welcome().bytes.count == ProvenMessage.bodyBytes)
        #expect(ProvenMessage.bodyBytes + SharedKey.codeBytes <= Link.messageBytes)
        #expect(Refusal(.busy, detail: .max).bytes.count <= 148)
    }

    @Test func everyHelloSurvivesARoundTripAndItsPadding() throws {
        var random = SeededGenerator(seed: 11)
        for _ in 0..<5_000 {
            let hello = random.hello()
            let padded = hello.bytes + [UInt8](repeating: 0, count: 12)
            if try Hello(parsing: hello.bytes) != hello || Hello(parsing: padded) != hello {
                Issue.record("\(hello)")
            }
        }
    }

    @Test func everyWelcomeSurvivesARoundTripAndItsPadding() {
        var random = SeededGenerator(seed: 12)
        for _ in 0..<5_000 {
            let welcome = random.welcome()
            let padded = welcome.bytes + [UInt8](repeating: 0, count: 156)
            if Welcome(parsing: welcome.bytes) != welcome || Welcome(parsing: padded) != welcome {
                Issue.record("\(welcome)")
            }
        }
    }

    @Test func aHelloThatIsCutShortIsMalformed() {
        var random = SeededGenerator(seed: 13)
        let bytes = random.hello().bytes
        for count in 0..<96 {
            #expect(throws: Refusal(.malformed, detail: 2)) { try Hello(parsing: Array(bytes.prefix(count))) }
        }
    }

    @Test func aWelcomeThatIsCutShortIsNone() {
        var random = SeededGenerator(seed: 14)
        let bytes = random.welcome().bytes
        for count in 0..<bytes.count { #expect(Welcome(parsing: Array(bytes.prefix(count))) == nil) }
    }

    @Test(arguments: [0, 1, 3, 255, 256, 257, 65535] as [UInt16])
    func anotherVersionIsNamedInTheRefusal(_ version: UInt16) {
        var random = SeededGenerator(seed: 15)
        var bytes = Preface().bytes
        bytes[4] = UInt8(truncatingIfNeeded: version)
        bytes[5] = UInt8(version >> 8)
        #expect(throws: Refusal(.otherVersion, detail: 2)) { try Preface(parsing: bytes) }
        // A later version may be shorter: its number is told all the same.
        #expect(throws: Refusal(.otherVersion, detail: 2)) { try Preface(parsing: Array(bytes.prefix(6))) }
        var answer = random.welcome().bytes
        answer[4] = UInt8(truncatingIfNeeded: version)
        answer[5] = UInt8(version >> 8)
        #expect(Welcome(parsing: answer) == nil)
    }

    @Test func anotherProtocolIsMalformed() {
        for bytes in [[], Array("GET / HTTP/1.1\r\n".utf8), [UInt8](repeating: 0, count: 56)] {
            #expect(throws: Refusal(.malformed, detail: 2)) { try Preface(parsing: bytes) }
        }
        #expect(throws: Refusal(.malformed, detail: 2)) { try Hello(parsing: []) }
        #expect(throws: Refusal(.malformed, detail: 2)) { try Hello(parsing: Array("GET / HTTP/1.1\r\n".utf8)) }
        #expect(throws: Refusal(.malformed, detail: 2)) { try Hello(parsing: [UInt8](repeating: 0, count: 56)) }
    }

    @Test(
        arguments: [
            (36, [0, 0, 0, 0]), (36, [1, 0, 0, 0]), (36, [0xff, 0x0f, 0, 0]), (36, [1, 16, 0, 0]),
            (40, [0, 0]), (40, [1, 16]), (40, [255, 255]),
        ] as [(Int, [UInt8])])
    func slotsThatCannotBeAreRefused(_ place: Int, _ value: [UInt8]) {
        var random = SeededGenerator(seed: 16)
        var bytes = random.hello().bytes
        bytes.replaceSubrange(place..<place + value.count, with: value)
        #expect(throws: Refusal(.badSlots)) { try Hello(parsing: bytes) }
    }

    @Test(arguments: [(6, 0), (6, 3), (6, 255), (7, 2), (7, 255)] as [(Int, UInt8)])
    func anOperationThatIsNoneIsMalformed(_ place: Int, _ value: UInt8) {
        var random = SeededGenerator(seed: 17)
        var bytes = random.hello().bytes
        bytes[place] = value
        #expect(throws: Refusal(.malformed, detail: 2)) { try Hello(parsing: bytes) }
    }

    @Test(arguments: [(6, 2), (8, 4), (12, 4)])
    func aWelcomeWithNothingInItIsNone(_ place: Int, _ count: Int) {
        var random = SeededGenerator(seed: 18)
        var bytes = random.welcome().bytes
        for index in place..<place + count { bytes[index] = 0 }
        #expect(Welcome(parsing: bytes) == nil)
    }

    @Test(arguments: [36, 37])
    func aWelcomeOfUnknownMemoryOrMethodIsNone(_ place: Int) {
        var random = SeededGenerator(seed: 19)
        var bytes = random.welcome().bytes
        for value: UInt8 in [4, 5, 255] {
            bytes[place] = value
            #expect(Welcome(parsing: bytes) == nil)
        }
    }
}
