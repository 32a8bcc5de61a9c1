// SPDX-License-Identifier: Apache-2.0

import CommandSupport
import RegistrationBench
import PeerMRCore

/// What is told on standard error while a bench runs: on a terminal one line that changes, else a line for each
/// combination in the first round, and one every five seconds after it.
final class ProgressLine {
    private let isTerminal: Bool
    private var told: UInt64 = 0

    init(isTerminal: Bool) { self.isTerminal = isTerminal }

    func tell(_ progress: BenchRun.Progress) {
        let pause: UInt64 = isTerminal ? 100_000_000 : progress.rounds == 0 ? 0 : 5_000_000_000
        guard told == 0 || progress.nanoseconds - told >= pause else { return }
        told = progress.nanoseconds
        let line = Self.line(progress)
        if isTerminal { StatusLine.draw("\u{1b}[K\(line)") } else { writeAll(2, line + "\n") }
    }

    /// Leaves an empty line to what follows.
    func end() {
        if isTerminal { StatusLine.erase() }
    }

    static func line(_ progress: BenchRun.Progress) -> String {
        let seconds = NumberFormat.fixed(Double(progress.nanoseconds) / 1e9, 1)
        let found: String
        if progress.cell.timings.register.count > 0 {
            let register = NumberFormat.microseconds(progress.cell.timings.register.median)
            let deregister = NumberFormat.microseconds(progress.cell.timings.deregister.median)
            found = "register \(register) µs, deregister \(deregister) µs"
        } else {
            found = "left out: \(progress.cell.refusal?.reason ?? "no sample")"
        }
        return "\(seconds) s, round \(progress.rounds + 1), \(progress.index) of \(progress.count): "
            + "\(progress.cell.cell): \(found)".printable
    }
}
