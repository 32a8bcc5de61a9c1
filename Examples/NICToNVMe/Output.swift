// SPDX-License-Identifier: Apache-2.0

import Glibc
import PeerMR

/// A line for people, on standard error.
func say(_ text: String) {
    writeAll(2, "nic-to-nvme: \(text)\n")
}

/// One object on one line of standard output.
func printJSON(_ fields: [(String, JSONValue)]) {
    writeAll(1, JSONValue.object(fields).encoded + "\n")
}

/// A progress bar on standard error, drawn at most ten times a second.
struct ProgressBar {
    let total: UInt64
    let verb: String
    let isShown: Bool
    private var drawnAt: UInt64 = 0
    private let began = monotonicNanoseconds()

    init(_ verb: String, total: UInt64, isShown: Bool) {
        self.verb = verb
        self.total = total
        self.isShown = isShown
    }

    mutating func show(_ done: UInt64) {
        let now = monotonicNanoseconds()
        guard isShown, total > 0, done == total || now - drawnAt > 100_000_000 else { return }
        drawnAt = now
        let filled = Int(done * 30 / total)
        let bar = String(repeating: "#", count: filled) + String(repeating: ".", count: 30 - filled)
        let rate = ByteCount.describe(UInt64(Double(done) / (Double(now - began + 1) / 1e9)))
        writeAll(
            2, "\r\(verb) [\(bar)] \(done * 100 / total) %  \(ByteCount.describe(done))  \(rate)/s   ")
        if done == total { writeAll(2, "\n") }
    }

    /// Whether standard error is a terminal.
    static var isTerminal: Bool { isatty(2) == 1 }
}
