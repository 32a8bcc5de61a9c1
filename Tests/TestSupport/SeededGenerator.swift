// SPDX-License-Identifier: Apache-2.0

import Foundation

/// Numbers that look random and are the same in every run (SplitMix64), or in every run with the same `PEERMR_SEED`.
public struct SeededGenerator: RandomNumberGenerator {
    private var state: UInt64
    private static let run = ProcessInfo.processInfo.environment["PEERMR_SEED"].flatMap { UInt64($0) } ?? 0

    /// A sequence of its own for each seed.
    public init(seed: UInt64) { state = seed &+ Self.run &* 0xd134_2543_de82_ef95 }

    public mutating func next() -> UInt64 {
        state &+= 0x9e37_79b9_7f4a_7c15
        var value = state
        value = (value ^ (value >> 30)) &* 0xbf58_476d_1ce4_e5b9
        value = (value ^ (value >> 27)) &* 0x94d0_49bb_1331_11eb
        return value ^ (value >> 31)
    }

    /// Bytes of a random number, at most `limit`.
    public mutating func bytes(upTo limit: Int) -> [UInt8] {
        bytes(exactly: Int.random(in: 0...limit, using: &self))
    }

    /// So many bytes.
    public mutating func bytes(exactly count: Int) -> [UInt8] {
        var bytes: [UInt8] = []
        bytes.reserveCapacity(count)
        while bytes.count < count {
            let word = next()
            for shift in 0..<min(8, count - bytes.count) {
                bytes.append(UInt8(truncatingIfNeeded: word >> UInt64(shift * 8)))
            }
        }
        return bytes
    }

    /// Valid bytes with a few faults in them: flipped bits, other values, some cut off, some added.
    public mutating func mutated(_ valid: [UInt8]) -> [UInt8] {
        var bytes = valid
        for _ in 0...Int.random(in: 0...3, using: &self) {
            let place = Int.random(in: 0...max(0, bytes.count - 1), using: &self)
            switch next() % 6 {
            case 0 where !bytes.isEmpty: bytes[place] ^= 1 << UInt8(next() % 8)
            case 1 where !bytes.isEmpty: bytes[place] = UInt8(truncatingIfNeeded: next())
            case 2 where !bytes.isEmpty: bytes[place] = [0, 1, 0x7f, 0x80, 0xff][Int(next() % 5)]
            case 3: bytes.removeLast(Int.random(in: 0...bytes.count, using: &self))
            case 4: bytes += self.bytes(upTo: 16)
            default: if !bytes.isEmpty { bytes.swapAt(0, place) }
            }
        }
        return bytes
    }
}
