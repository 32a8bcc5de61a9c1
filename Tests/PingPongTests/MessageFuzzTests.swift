// SPDX-License-Identifier: Apache-2.0

import PeerMR
import TestSupport
import Testing

@testable import PingPong

/// What comes from the network is read by these: no bytes may crash them, and what they take must be what was meant.
struct MessageFuzzTests {
    /// Drawn bytes, and messages of which some bytes were changed: so many of each, for each parser.
    private static let rounds = 25_000 * Fuzz.factor

    /// Ends the test with the bytes that broke it: an expectation for each round would take minutes.
    private func hold(_ condition: Bool, _ bytes: [UInt8]) throws {
        if !condition { try #require(Bool(false), "these bytes: \(bytes)") }
    }

    /// Bytes at random, or a message that is nearly right.
    private func damage(_ message: [UInt8], _ generator: inout SeededGenerator) -> [UInt8] {
        var bytes = message
        switch Int.random(in: 0..<4, using: &generator) {
        case 0: return generator.bytes(upTo: 80)
        case 1: return Array(bytes.prefix(Int.random(in: 0...bytes.count, using: &generator)))
        case 2: bytes += generator.bytes(upTo: 8)
        default: break
        }
        for _ in 0..<Int.random(in: 0...4, using: &generator) where !bytes.isEmpty {
            let characters = Array("+:0123456789abcdefABCDEF \0x-".utf8)
            bytes[Int.random(in: 0..<bytes.count, using: &generator)] =
                Bool.random(using: &generator)
                ? characters.randomElement(using: &generator) ?? 0 : UInt8.random(in: 0...255, using: &generator)
        }
        return bytes
    }

    /// What a server says that it takes is what it is asked for, and no more.
    @Test(
        arguments: [
            (.write, 4096, 10, true), (.read, 1, 1, false), (.write, 4097, 10, false), (.write, 4096, 11, false),
        ] as [(Operation, UInt32, UInt32, Bool)])
    func limitsAreHeeded(_ operation: Operation, _ size: UInt32, _ count: UInt32, _ isAllowed: Bool) {
        let none = RemoteAddress(address: 0, key: 0)
        let answer = Answer(operations: [.send, .write], sizeLimit: 4096, countLimit: 10, remote: none)
        let request = Request(operation: operation, size: size, count: count, remote: none)
        #expect(answer.allows(request) == isAllowed)
    }

    @Test func addresses() throws {
        var generator = SeededGenerator(seed: 51_851)
        var taken = 0
        for _ in Fuzz.inputs(Self.rounds, "addresses of ping-pong") {
            let original = AddressMessage(
                QueuePairEndpoint(
                    localIdentifier: .random(in: 0...0xffff, using: &generator),
                    number: .random(in: 0...0xff_ffff, using: &generator),
                    sequence: .random(in: 0...0xffff, using: &generator),
                    gid: GID(networkOrder: (0..<16).map { _ in UInt8.random(in: 1...255, using: &generator) })),
                mtu: Bool.random(using: &generator) ? PathMTU(rawValue: .random(in: 1...5, using: &generator)) : nil)
            try hold(try AddressMessage(decoding: original.encoded) == original, original.encoded)
            let bytes = damage(original.encoded, &generator)
            guard let found = try? AddressMessage(decoding: bytes) else { continue }
            taken += 1
            // What was taken says the same again, but for the case of digits.
            let lower = bytes.map { (65...90).contains($0) ? $0 + 32 : $0 }
            try hold(found.encoded == lower, bytes)
            try hold(found.endpoint.number <= 0xff_ffff && found.endpoint.sequence <= 0xff_ffff, bytes)
        }
        #expect(taken > Self.rounds / 20)
    }

    @Test func requests() throws {
        var generator = SeededGenerator(seed: 51_852)
        for _ in Fuzz.inputs(Self.rounds, "requests") {
            let original = Request(
                operation: Operation.allCases.randomElement(using: &generator) ?? .send,
                size: .random(in: 1...UInt32.max, using: &generator),
                count: .random(in: 1...UInt32.max, using: &generator),
                remote: RemoteAddress(address: generator.next(), key: UInt32(truncatingIfNeeded: generator.next())))
            try hold(try Request.decode(original.encoded) == original, original.encoded)
            let bytes = damage(original.encoded, &generator)
            guard let found = try? Request.decode(bytes) else { continue }
            try hold(found.size > 0 && found.count > 0 && found.encoded.prefix(28) == bytes.prefix(28), bytes)
        }
        #expect(try Request.decode(Request.end) == nil)
    }

    @Test func answers() throws {
        var generator = SeededGenerator(seed: 51_853)
        for _ in Fuzz.inputs(Self.rounds, "answers") {
            let original = Answer(
                operations: Operation.allCases.filter { _ in Bool.random(using: &generator) },
                sizeLimit: UInt32(truncatingIfNeeded: generator.next()),
                countLimit: UInt32(truncatingIfNeeded: generator.next()),
                remote: RemoteAddress(address: generator.next(), key: UInt32(truncatingIfNeeded: generator.next())))
            try hold(try Answer(decoding: original.encoded) == original, original.encoded)
            _ = try? Answer(decoding: damage(original.encoded, &generator))
        }
    }

    @Test func advertisements() throws {
        var generator = SeededGenerator(seed: 51_854)
        for _ in Fuzz.inputs(Self.rounds, "advertisements") {
            let original = Advertisement(
                RemoteAddress(address: generator.next(), key: UInt32(truncatingIfNeeded: generator.next())),
                byteCount: UInt32(truncatingIfNeeded: generator.next()))
            let bytes = original.encoded
            let isSame = unsafe bytes.withUnsafeBytes { unsafe Advertisement($0) } == original
            try hold(bytes.count == 16 && isSame, bytes)
            let drawn = generator.bytes(upTo: 40)
            let found = unsafe drawn.withUnsafeBytes { unsafe Advertisement($0) }
            try hold((found != nil) == (drawn.count == 16), drawn)
        }
    }
}
