// SPDX-License-Identifier: Apache-2.0

import ArgumentParser
import PCITopology
import PeerMR
import SystemPackage
import PeerMRCore

/// Where to look, and how to say it: the same for every command.
struct CommonOptions: ParsableArguments {
    @Option(
        help: ArgumentHelp("Judge a file of peermr snapshot instead of this machine.", valueName: "file"),
        completion: .file())
    var snapshot: String?
    @Option(
        help: ArgumentHelp(
            "Judge a copy of another machine's /sys and /proc: a directory with sys and proc in it.",
            valueName: "directory"),
        completion: .directory)
    var root: String?
    @Flag(help: "Print JSON, on one line.") var json = false

    func validate() throws {
        if snapshot != nil && root != nil {
            throw ValidationError("--snapshot and --root cannot be given together.")
        }
    }

    /// The machine that is meant.
    func system() throws(PeerMRError) -> SystemRoot {
        if let snapshot { return SystemRoot(try Snapshot.read(FilePath(snapshot))) }
        guard let root else { return .live }
        let system = SystemRoot(FilePath(root))
        guard system.exists("sys") else {
            throw PeerMRError(
                .notFound, reason: "\(root) holds no sys", remedy: "name a directory with sys and proc in it")
        }
        return system
    }

    /// Runs a command's body; see ``reportingErrors(as:_:)``.
    func reporting(_ body: () throws(PeerMRError) -> Int32) throws {
        try reportingErrors(as: json ? { .object($0.words) } : nil, body)
    }
}

/// Runs a command's body, and ends with the status that it gives. Bad input is one sentence on standard error, an
/// `error` in JSON where that was asked for, and exit status 2.
///
/// - Parameter json: what becomes of the error in JSON; nil for none.
func reportingErrors(as json: ((PeerMRError) -> JSONValue)?, _ body: () throws(PeerMRError) -> Int32) throws {
    var status: Int32
    do throws(PeerMRError) {
        status = try body()
    } catch {
        status = Status.badInput
        writeAll(2, "peermr: error: \(error)\n")
        if let json { printJSON(.object([("error", json(error))])) }
    }
    if status != 0 { throw ExitCode(status) }
}

extension PeerMRError {
    /// What was wrong, for programs, in words.
    var words: [(String, JSONValue)] {
        [
            ("code", .text(code.jsonName)), ("reason", .text(reason)),
            ("remedy", .optional(remedy)),
        ]
    }

    /// The same, with the call that failed.
    var json: JSONValue {
        .object(
            words + [
                ("call", .optional(call)),
                ("errno", errno.map { .integer(Int64($0.rawValue)) } ?? .null),
            ])
    }
}

/// A value on a line of standard output.
func printJSON(_ value: JSONValue) {
    writeAll(1, value.encoded + "\n")
}
