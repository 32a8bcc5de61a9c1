// SPDX-License-Identifier: Apache-2.0

import CommandSupport
import Glibc
import PeerMR
import PeerMRCore

/// Where the figures go: a table or JSON on standard output while it runs, files at the end.
final class Report {
    private let isJSON: Bool
    private let table: OutputFile?
    private let distributions: OutputFile?
    private let picture: LatencyPicture?
    private var runs: [Run] = []

    /// Opens the files.
    ///
    /// - Throws: the errno of open(2), and `notSupported` where gnuplot is missing, before anything is measured.
    init(_ arguments: OutputArguments) throws(PeerMRError) {
        isJSON = arguments.json
        picture = try LatencyPicture(ifNamed: arguments.svg)
        table = try OutputFile(ifNamed: arguments.csv)
        distributions = try OutputFile(ifNamed: arguments.hgrm)
    }

    /// Tells of one run.
    func add(_ run: Run) {
        runs.append(run)
        guard !isJSON else { return writeAll(1, run.json.encoded + "\n") }
        if runs.count == 1 { writeAll(1, Self.line(Self.heads)) }
        let columns =
            [run.what, String(run.size), String(run.count - run.warmUp)]
            + run.figures.map { NumberFormat.microseconds($0.value) }
            + [NumberFormat.fixed(run.bytesPerSecond / 1e6, 2)]
        writeAll(1, Self.line(columns))
    }

    /// Writes the files that were asked for.
    ///
    /// - Throws: the errno of write(2).
    func finish() throws(PeerMRError) {
        guard let run = runs.first else { return }
        try table?.write(Run.csv(runs))
        try distributions?.write(Run.hgrm(runs))
        try picture?.draw(
            csv: Run.csv(runs), hgrm: Run.hgrm(runs), title: "Round trips, \(run.what)",
            subtitle: "\(run.count - run.warmUp) of \(run.count) round trips each, \(run.memory.rawValue) memory, "
                + (run.waits ? "events" : "polling"))
    }

    /// Whether anything was measured.
    var isEmpty: Bool { runs.isEmpty }

    private static let heads = ["what", "bytes", "round trips", "min", "p50", "p99", "p99.9", "max µs", "MB/s"]

    private static func line(_ columns: [String]) -> String {
        let widths = [14, 9, 12, 10, 10, 10, 10, 10, 10]
        return zip(columns, widths).map { String(repeating: " ", count: max(1, $1 - $0.count)) + $0 }.joined() + "\n"
    }
}

/// What says its errors, and ends with 1 for them.
let program = Program("ping-pong", adding: \.namingOption) { _ in 1 }

/// A line for people, on standard error.
func say(_ text: String) { program.say(text) }

/// Interrupts system calls that wait, five times a second, so that they see whether there is still someone to wait for.
func wakeRegularly() {
    var action = sigaction()
    unsafe action.__sigaction_handler.sa_handler = { _ in }
    // Without SA_RESTART: the call returns EINTR.
    unsafe sigaction(SIGALRM, &action, nil)
    let period = timeval(tv_sec: 0, tv_usec: 200_000)
    var timer = itimerval(it_interval: period, it_value: period)
    unsafe setitimer(__itimer_which_t(ITIMER_REAL.rawValue), &timer, nil)
}

/// Whether a descriptor on which nothing is to come has become readable: the other end has gone.
func hasPeerClosed(_ descriptor: Int32) -> Bool {
    isReadable(descriptor)
}
