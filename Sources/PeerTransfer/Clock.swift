// SPDX-License-Identifier: Apache-2.0

/// How long someone has been waited for: runs only while there is something that it has to do.
struct Clock {
    /// Silence is told of after so many seconds, and again after each as many.
    static let strikeSeconds = 30
    /// The other side hears that the wait goes on after so many seconds, and again after each as many.
    static let beatSeconds = 10

    private var since: UInt64?
    private var struck = 0
    private var beaten = 0

    /// There is headway: what is left is waited for anew.
    mutating func reset() { self = Clock() }

    /// Runs where it is waited for, at this time, and stands still where it is not.
    mutating func run(_ isWaitedFor: Bool, _ now: UInt64) {
        if !isWaitedFor {
            reset()
        } else if since == nil {
            since = now
        }
    }

    /// How long it has been waited for; 0 where it is not.
    func seconds(_ now: UInt64) -> Int {
        since.map { now > $0 ? Int((now - $0) / 1_000_000_000) : 0 } ?? 0
    }

    /// Whether it is time to tell of it, once for each.
    mutating func strikes(_ now: UInt64) -> Bool { Self.rings(&struck, seconds(now) / Self.strikeSeconds) }

    /// Whether it is time to let the other side know, once for each.
    mutating func beats(_ now: UInt64) -> Bool { Self.rings(&beaten, seconds(now) / Self.beatSeconds) }

    private static func rings(_ last: inout Int, _ count: Int) -> Bool {
        defer { last = count }
        return count > last
    }
}
