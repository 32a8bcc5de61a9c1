// SPDX-License-Identifier: Apache-2.0

import CommandSupport
import PeerMR
import PeerTransfer
import PeerMRCore

/// What says its errors, and ends with 1 for them, with 130 after a signal.
let program = Program("nic-to-nvme", adding: \.namingOption) { $0 == .stopped ? 130 : 1 }

/// A line for people, on standard error.
func say(_ text: String) { program.say(text) }

/// One object on one line of standard output.
func printJSON(_ fields: [(String, JSONValue)]) { printJSON(.object(fields)) }

/// A transfer as the server counted it.
func printJSON(_ report: TransferReport) {
    printJSON([
        ("event", .text("transfer")), ("operation", .text(report.operation.name)),
        ("client", .text(report.client)), ("bytes", .count(report.byteCount)),
        ("complete", .flag(report.failure == nil)),
        ("bytesPeerToPeer", .count(report.count.peerToPeer)),
        ("bytesBounced", .count(report.count.bounced)), ("bytesHost", .count(report.count.host)),
        ("bytesUnknown", .count(report.count.unknown)),
        ("seconds", .number(report.seconds)),
        ("error", report.failure.map { .text($0.description) } ?? .null),
        ("origin", report.failure?.origin.map { .text($0.rawValue) } ?? .null),
    ])
}

/// Where in a server's queue the client is.
func tellPlace(_ place: QueuePlace, at server: String) {
    say("waiting for a turn at \(server): place \(place.position) of the queue, for up to \(place.secondsLeft) s more")
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
        StatusLine.draw("\(verb) [\(bar)] \(done * 100 / total) %  \(ByteCount.describe(done))  \(rate)/s   ")
        if done == total { StatusLine.finish() }
    }
}
