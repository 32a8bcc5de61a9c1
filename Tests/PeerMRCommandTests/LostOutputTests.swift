// SPDX-License-Identifier: Apache-2.0

import Foundation
import PeerMRCore
import SystemPackage
import TestSupport
import Testing

@testable import CommandSupport

/// Output that nobody gets is a failure, of every program and every command.
@Suite struct LostOutputTests {
    /// Where output goes.
    enum Place: String, CaseIterable { case fullDisk, closedPipe, nowhere }

    /// What prints something, without a device.
    static let commands: [[String]] = {
        let root = ["--root", machine.path.string]
        let own: [[String]] = [
            ["devices"], ["devices", "--json"], ["topology"], ["topology", "--json"], ["topology", "--pairs"],
            ["topology", "--dot"], ["topology", "--svg"], ["topology", "--all"],
            ["check", "0000:03:00.0", "mlx5_0"], ["check", "0000:03:00.0", "mlx5_0", "--json"],
            ["check", "0000:03:00.0", "nothing", "--json"], ["doctor"], ["doctor", "--json"],
            ["doctor", "--boot-parameters"], ["doctor", "--boot-parameters", "--json"],
            ["snapshot", machine.path.appending("written.tar").string],
        ]
        let helps: [[String]] = [
            ["peermr"], ["peermr", "devices"], ["peermr", "topology"], ["peermr", "check"], ["peermr", "register"],
            ["peermr", "bench"], ["peermr", "bench", "registration"], ["peermr", "doctor"], ["peermr", "snapshot"],
            ["peermr", "vfio"], ["peermr", "vfio", "bind"], ["peermr", "vfio", "unbind"], ["peermr", "vfio", "status"],
            ["nic-to-nvme"], ["nic-to-nvme", "serve"], ["nic-to-nvme", "put"], ["nic-to-nvme", "get"], ["ping-pong"],
            ["file-to-drive"], ["mixed-scatter"], ["nic-to-drive"], ["peer-pingpong"], ["register-dmabuf"],
            ["register-p2pmem"],
        ]
        return own.map { ["peermr"] + $0 + root } + helps.map { $0 + ["--help"] }
            + [
                ["peermr", "--version"], ["peermr", "--generate-completion-script", "bash"],
                ["nic-to-nvme", "--generate-completion-script", "zsh"], ["ping-pong", "--experimental-dump-help"],
                ["error-page"],
            ]
    }()

    nonisolated(unsafe) private static let machine: TemporaryFolder = {
        let folder = TemporaryFolder()
        CheckTests.machine().write(to: folder)
        return folder
    }()

    /// Runs a program with its output to a place, by a shell.
    private func run(_ command: [String], output: Place) throws -> Tool.Outcome {
        let redirection =
            switch output {
            case .fullDisk: "> /dev/full"
            // The shell has another signal mask and disposition than tests have.
            case .closedPipe: "| true"
            case .nowhere: ">&-"
            }
        let path = Tool.path(of: command[0])
        let script =
            output == .closedPipe
            // What it writes to is closed before it begins.
            ? "set -o pipefail; { sleep 0.05; exec \"$0\" \"$@\"; } \(redirection)"
            : "exec \"$0\" \"$@\" \(redirection)"
        return try Tool.run("/bin/bash", arguments: ["-c", script, path] + command.dropFirst())
    }

    @Test(arguments: commands)
    func aFullDiskIsAFailureThatNamesIt(_ command: [String]) throws {
        let outcome = try run(command, output: .fullDisk)
        #expect(outcome.status != 0, "\(command)")
        #expect(outcome.complaint.contains("No space left on device"), "\(command): \(outcome.complaint)")
        if ["peermr", "nic-to-nvme", "ping-pong"].contains(command[0]) {
            #expect(outcome.complaint.contains("the disk is full"), "\(command): \(outcome.complaint)")
            #expect(outcome.status == (command[0] == "peermr" ? 2 : 1), "\(command)")
        }
    }

    /// As of any other program: the shell shows SIGPIPE, and there is no word of it.
    @Test(arguments: commands)
    func aClosedPipeEndsItQuietly(_ command: [String]) throws {
        let outcome = try run(command, output: .closedPipe)
        #expect(outcome.status == 141, "\(command)")
        #expect(!outcome.complaint.contains("cannot be written"), "\(command): \(outcome.complaint)")
    }

    /// What a program opens must not become its standard output.
    @Test(arguments: commands.filter { ["peermr", "nic-to-nvme", "ping-pong"].contains($0[0]) })
    func outputThatIsNotOpenIsAFailure(_ command: [String]) throws {
        let outcome = try run(command, output: .nowhere)
        #expect(outcome.status == (command[0] == "peermr" ? 2 : 1), "\(command)")
        #expect(outcome.complaint.contains("standard output cannot be written: it is not open"), "\(command)")
    }

    /// A complaint that is lost leaves a status.
    @Test(arguments: [
        ["peermr", "check", "x", "y"], ["peermr", "nothing"], ["peermr", "register", "--device", "x", "--memory", "y"],
        ["peermr", "vfio", "status", "x"], ["peermr", "bench", "registration", "--device", "x"],
        ["nic-to-nvme", "put", "--connect", "127.0.0.1", "/nonexistent"], ["nic-to-nvme", "serve"],
        ["ping-pong", "--device", "nothing"],
    ])
    func aLostComplaintIsAFailure(_ command: [String]) throws {
        for place in ["> /dev/null 2> /dev/full", ">&- 2>&-", "2>&1 > /dev/null | true"] {
            let script = "set -o pipefail; exec \"$0\" \"$@\" \(place)"
            let outcome = try Tool.run(
                "/bin/bash",
                arguments: ["-c", place.contains("|") ? "set -o pipefail; \"$0\" \"$@\" \(place)" : script]
                    + [Tool.path(of: command[0])] + command.dropFirst())
            #expect(outcome.status != 0, "\(command) \(place)")
        }
    }

    @Test func filesOnAFullDiskAreFailuresThatNameIt() throws {
        let error = #expect(throws: PeerMRError.self) { try OutputFile("/dev/full").write("text") }
        #expect(error?.errno == .noSpace && error?.reason == "\"/dev/full\" cannot be written: the disk is full")
        let snapshot = try Tool.run("snapshot", "/dev/full", "--compress", "none", "--root", Self.machine.path.string)
        #expect(snapshot.status == 2 && snapshot.complaint.contains("/dev/full cannot be written: the disk is full"))
    }

    /// The limit of a file's size is an error, and no signal that nobody hears of.
    @Test func aFileThatMayNotBeAsLargeIsNamed() throws {
        let folder = TemporaryFolder()
        let file = folder.path.appending("machine.tar").string
        let outcome = try Tool.run(
            "/bin/bash",
            arguments: ["-c", "ulimit -f 1; exec \"$0\" snapshot \"$1\" --root \"$2\"", Tool.path, file]
                + [Self.machine.path.string])
        #expect(outcome.status == 2 && outcome.complaint.contains("File too large"))
        // What is not whole has no name.
        #expect(folder.root.entries("") == [])
    }
}
