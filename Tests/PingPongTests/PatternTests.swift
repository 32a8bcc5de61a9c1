// SPDX-License-Identifier: Apache-2.0

import Testing

@testable import PingPong

/// The bytes that are sent: those of this program, and those of `rping`.
struct PatternTests {
    /// The text of `rping`, written down as its C program makes it: a formatted head, then letters.
    private func text(ping: Int, count: Int) -> [UInt8] {
        var bytes = Array("rdma-ping-\(ping): ".utf8.prefix(count - 1))
        var letter = 65 + ping % 58
        while bytes.count < count {
            bytes.append(UInt8(letter))
            letter = letter == 122 ? 65 : letter + 1
        }
        bytes[count - 1] = 0
        return bytes
    }

    @Test(arguments: [0, 1, 9, 10, 57, 58, 99, 100, 12_345, 1_000_000_007])
    func textOfRping(_ ping: Int) {
        for count in [24, 25, 64, 100, 4096, 65_535] {
            var bytes = [UInt8](repeating: 0xff, count: count)
            bytes.withUnsafeMutableBytes { buffer in
                let address = UInt(bitPattern: buffer.baseAddress)
                PingText.write(message: ping, to: address, count: count)
                #expect(PingText.firstDifference(message: ping, at: address, count: count) == -1)
                #expect(PingText.firstDifference(message: ping + 1, at: address, count: count) >= 10)
            }
            #expect(bytes == text(ping: ping, count: count))
        }
    }

    /// Every changed byte is found, a message of another number or moved by a byte too.
    @Test func everyByteCounts() {
        for count in [1, 2, 63, 4096, 4097, 9000] {
            var bytes = [UInt8](repeating: 0xff, count: count)
            bytes.withUnsafeMutableBytes { buffer in
                let address = UInt(bitPattern: buffer.baseAddress)
                let check = PatternCheck(
                    isOn: true, mayEcho: false, isStaged: false, outgoing: address, incoming: address)
                Pattern.write(message: 7, to: address, count: count)
                #expect(Pattern.firstDifference(message: 7, at: address, count: count) == -1)
                #expect(Pattern.firstDifference(message: 8, at: address, count: count) >= 0)
                for index in 0..<count {
                    buffer[index] ^= 0x20
                    #expect(Pattern.firstDifference(message: 7, at: address, count: count) == index)
                    buffer[index] ^= 0x20
                }
                for index in 0..<count - 1 { buffer[index] = buffer[index + 1] }
                if count > 2 { #expect(Pattern.firstDifference(message: 7, at: address, count: count) >= 0) }
                check.scrub(count: count)
                #expect(Pattern.firstDifference(message: 7, at: address, count: count) == 0)
            }
        }
    }

    /// `ibv_rc_pingpong --chk` looks at the first byte of each page, which must be 0.
    @Test func pagesBeginWithZero() {
        for message in [0, 1, 500] {
            for index in stride(from: 0, to: 65_536, by: 4096) {
                #expect(Pattern.byte(at: index, of: message, count: 65_536) == 0)
            }
        }
    }
}
