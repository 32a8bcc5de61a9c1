// SPDX-License-Identifier: Apache-2.0

import ArgumentParser
import CommandSupport
import MachineArchive
import PCITopology
import PeerMR
import SystemPackage
import PeerMRCore

/// Where to look, and how to say it: the same for every command.
struct CommonOptions: ParsableArguments {
    @Option(
        help: ArgumentHelp(
            "Evaluate another machine: a directory with copies of its sys and proc, or a tar archive of one, "
                + "compressed or not, from peermr snapshot or hwloc-gather-topology.", valueName: "path"),
        completion: .file())
    var root: String?
    @Option(help: ArgumentHelp("The same as --root.", valueName: "path"), completion: .file())
    var snapshot: String?
    @Flag(help: "Print JSON, on one line.") var json = false

    func validate() throws {
        if snapshot != nil && root != nil {
            throw ValidationError("--snapshot and --root cannot be given together.")
        }
    }

    /// The machine that is meant.
    func system() throws(PeerMRError) -> SystemRoot {
        guard let path = root ?? snapshot else { return .live }
        let system = SystemRoot(FilePath(path))
        // A directory without sys is what a machine looks like that does not show it.
        let found = system.entries("") != nil ? system : SystemRoot(try MachineArchive.read(FilePath(path)))
        try MachineLimits.validate(found)
        return found
    }

    /// Runs a command's body; an error is JSON too where that was asked for.
    func run(_ body: () throws(PeerMRError) -> Int32) throws {
        try program.run(json: json ? { .object($0.jsonFields) } : nil, body)
    }
}
