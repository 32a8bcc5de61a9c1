// SPDX-License-Identifier: Apache-2.0

import Foundation
import Testing

/// The tool as people run it: a process with arguments, output and an exit status.
enum Tool {
    struct Outcome {
        let status: Int32
        let output: String
        let complaint: String

        /// The output as a JSON object; empty where it is none.
        var json: [String: Any] {
            (try? JSONSerialization.jsonObject(with: Data(output.utf8))) as? [String: Any] ?? [:]
        }
    }

    /// The tool that was built with these tests: `PEERMR`, or beside the test program.
    static let path = ProcessInfo.processInfo.environment["PEERMR"] ?? path(of: "peermr")

    /// A program that was built with these tests.
    static func path(of program: String) -> String {
        var folders = CommandLine.arguments.map { URL(fileURLWithPath: $0).deletingLastPathComponent().path }
        folders.append(Bundle.main.bundlePath)
        if let own = try? FileManager.default.destinationOfSymbolicLink(atPath: "/proc/self/exe") {
            folders.append(URL(fileURLWithPath: own).deletingLastPathComponent().path)
        }
        let found = folders.map { "\($0)/\(program)" }.first { FileManager.default.isExecutableFile(atPath: $0) }
        return found ?? program
    }

    /// Runs it to its end.
    static func run(_ arguments: String...) throws -> Outcome { try run(arguments) }

    /// Runs it to its end.
    static func run(_ arguments: [String]) throws -> Outcome { try run(path, arguments: arguments) }

    /// Runs a program to its end.
    static func run(_ path: String, arguments: [String]) throws -> Outcome {
        let process = Process()
        process.executableURL = URL(fileURLWithPath: path)
        process.arguments = arguments
        let (output, complaint) = (Pipe(), Pipe())
        process.standardOutput = output
        process.standardError = complaint
        process.standardInput = FileHandle.nullDevice
        try process.run()
        let text = output.fileHandleForReading.readDataToEndOfFile()
        let words = complaint.fileHandleForReading.readDataToEndOfFile()
        process.waitUntilExit()
        #expect(process.terminationReason == .exit)
        return Outcome(
            status: process.terminationStatus, output: String(decoding: text, as: UTF8.self),
            complaint: String(decoding: words, as: UTF8.self))
    }
}
