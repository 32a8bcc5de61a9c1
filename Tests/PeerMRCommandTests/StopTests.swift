// SPDX-License-Identifier: Apache-2.0

import Foundation
import PeerMRCore
import SystemPackage
import TestSupport
import Testing

/// Programs end when they are told to, wherever they are, and wait for nobody for ever.
@Suite struct StopTests {
    /// A program that runs.
    private final class Running {
        let process = Process()
        let complaints = Pipe()

        init(_ program: String, _ arguments: [String]) throws {
            // Threads of this process block signals, and what they start would inherit that.
            let script = """
                import os, signal, sys
                signal.pthread_sigmask(signal.SIG_SETMASK, [])
                os.execv(sys.argv[1], sys.argv[1:])
                """
            process.executableURL = URL(fileURLWithPath: "/usr/bin/env")
            process.arguments = ["python3", "-c", script, Tool.path(of: program)] + arguments
            process.standardOutput = FileHandle.nullDevice
            process.standardError = complaints
            process.standardInput = FileHandle.nullDevice
            try process.run()
        }

        /// Its status when it has ended; by a signal as shells show it; nil after so many seconds, when it is killed.
        func status(within seconds: Double) -> Int32? {
            let deadline = Date().addingTimeInterval(seconds)
            while process.isRunning, Date() < deadline { usleep(10_000) }
            guard !process.isRunning else {
                kill(process.processIdentifier, SIGKILL)
                process.waitUntilExit()
                return nil
            }
            return process.terminationStatus + (process.terminationReason == .exit ? 0 : 128)
        }
    }

    /// Whatever a program waits for: it is opened before signals are only heard of now and then.
    @Test func aPipeThatNobodyReadsDoesNotKeepIt() throws {
        let folder = TemporaryFolder()
        let pipe = folder.path.appending("pipe").string
        #expect(mkfifo(pipe, 0o600) == 0)
        let waiting: [(String, [String])] = [
            ("nic-to-nvme", ["get", "--connect", "127.0.0.1", "--length", "1", "--output", pipe]),
            ("nic-to-nvme", ["put", "--connect", "127.0.0.1", pipe]), ("peermr", ["devices", "--root", pipe]),
            ("peermr", ["snapshot", pipe]),
        ]
        for (program, arguments) in waiting {
            let running = try Running(program, arguments)
            usleep(300_000)
            #expect(running.process.isRunning, "\(arguments)")
            kill(running.process.processIdentifier, SIGINT)
            #expect(running.status(within: 5) == 130, "\(arguments)")
        }
    }

    /// An archive that takes long to read, and a picture that takes long to draw.
    @Test func readingAndDrawingEndAtOnce() throws {
        let folder = TemporaryFolder()
        TestMachine.large(drives: 256).write(to: folder)
        for command in [["topology", "--all", "--pairs"], ["topology", "--all", "--svg"]] {
            let running = try Running("peermr", command + ["--root", folder.path.string])
            usleep(200_000)
            kill(running.process.processIdentifier, SIGINT)
            let status = running.status(within: 5)
            #expect(status == 130 || status == 0, "\(command)")
        }
    }
}
