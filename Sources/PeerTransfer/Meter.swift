// SPDX-License-Identifier: Apache-2.0

/// How fast a client does its part, over the time in which it is waited for: neither the drive's time counts, nor that
/// in which others have their turn at it.
struct Meter {
    /// What counts at most between two looks: in a longer time this process was not running.
    private static let longest: UInt64 = 1_000_000_000

    private var lookedAt: UInt64?
    private var waited: UInt64 = 0
    private var bytesBefore: UInt64 = 0

    /// Looks at what the client has done so far.
    ///
    /// - Returns: bytes in a second, when it has been waited for `seconds` since the last answer; nil before that, and
    ///   where it has done nothing at all, which is silence and not slowness.
    mutating func rate(_ bytes: UInt64, _ isWaitedFor: Bool, over seconds: Int, _ now: UInt64) -> UInt64? {
        if let lookedAt, isWaitedFor, now > lookedAt { waited += min(now - lookedAt, Self.longest) }
        lookedAt = now
        guard waited >= UInt64(seconds) * 1_000_000_000 else { return nil }
        let moved = bytes - bytesBefore
        let rate = Double(moved) / (Double(waited) / 1e9)
        waited = 0
        bytesBefore = bytes
        return moved > 0 ? UInt64(rate) : nil
    }
}
