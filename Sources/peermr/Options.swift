// SPDX-License-Identifier: Apache-2.0

import ArgumentParser
import CommandSupport
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

    /// Runs a command's body; an error is JSON too where that was asked for.
    func run(_ body: () throws(PeerMRError) -> Int32) throws {
        try program.run(json: json ? { .object($0.jsonFields) } : nil, body)
    }
}
