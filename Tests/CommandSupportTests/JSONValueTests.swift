// SPDX-License-Identifier: Apache-2.0

import Foundation
import TestSupport
import Testing

@testable import CommandSupport

/// JSON that another program can read, judged by another parser.
@Suite struct JSONValueTests {
    private func read(_ value: JSONValue) throws -> Any {
        try JSONSerialization.jsonObject(with: Data(value.encoded.utf8), options: .fragmentsAllowed)
    }

    @Test(arguments: [
        "", "plain", "with \"quotes\"", "back\\slash", "\\\"", "line\nbreak", "/dev/nvme0n1", "µs, ü, 漢字, 🦉",
        "\u{7f}\u{80}\u{2028}", "e\u{301}", "tab\tand\rreturn", "\u{0}\u{1}\u{1f}", "\r\n",
    ])
    func textComesBackAsItWas(_ text: String) throws {
        #expect(try read(.text(text)) as? String == text)
    }

    @Test func noTextBreaksTheLine() {
        for value in UInt32(0)..<0x100 {
            guard let scalar = Unicode.Scalar(value) else { continue }
            let encoded = JSONValue.text("a\(Character(scalar))b").encoded
            #expect(!encoded.utf8.contains { $0 < 32 }, "\(value)")
        }
    }

    @Test func randomTextComesBackAsItWas() throws {
        var random = SeededGenerator(seed: 40)
        for _ in 0..<3_000 {
            var text = ""
            for _ in 0..<Int(random.next() % 12) {
                let scalar = Unicode.Scalar(UInt32(random.next() % 0x500)) ?? "?"
                text.unicodeScalars.append(scalar)
            }
            let found = try read(.text(text)) as? String
            #expect(found.map { Array($0.unicodeScalars) } == Array(text.unicodeScalars), "\(text.debugDescription)")
        }
    }

    @Test func numbersAreWhole() throws {
        #expect(JSONValue.integer(.max).encoded == "9223372036854775807")
        #expect(JSONValue.integer(0).encoded == "0")
        for number: Double in [0, 1.5, 1e-7, 1e300, .leastNormalMagnitude, -0.25, 123456789.125] {
            #expect(try read(.number(number)) as? Double == number)
        }
    }

    /// JSON has no word for them.
    @Test(arguments: [Double.nan, .infinity, -.infinity])
    func whatIsNoNumberIsNull(_ number: Double) {
        #expect(JSONValue.number(number).encoded == "null")
    }

    @Test func flagsAndNothing() {
        #expect(JSONValue.flag(true).encoded == "true")
        #expect(JSONValue.flag(false).encoded == "false")
        #expect(JSONValue.null.encoded == "null")
    }
}
