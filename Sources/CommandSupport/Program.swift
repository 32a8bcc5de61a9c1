// SPDX-License-Identifier: Apache-2.0

package import ArgumentParser
internal import CLinux
internal import Glibc
package import PeerMRCore
internal import SystemPackage

/// A command-line program: the name that its messages begin with, and how its commands end.
package struct Program: Sendable {
    private let name: String
    private let explained: @Sendable (PeerMRError) -> PeerMRError
    private let failure: @Sendable (PeerMRError) -> Int32

    /// - Parameters:
    ///   - name: the program's name.
    ///   - explained: gives an error of a library with the program's options added to its remedy.
    ///   - failure: the exit status for an error.
    package init(
        _ name: String, adding explained: @escaping @Sendable (PeerMRError) -> PeerMRError = { $0 },
        failure: @escaping @Sendable (PeerMRError) -> Int32
    ) {
        self.name = name
        self.explained = explained
        self.failure = failure
    }

    /// Prints a line for people on standard error.
    package func say(_ text: String) {
        StatusLine.finish()
        writeAll(2, "\(name): \(text.printable)\n")
    }

    /// Runs a command's body. An error is one sentence on standard error.
    ///
    /// - Parameter json: the error as JSON, printed on standard output too; nil for none.
    /// - Returns: the exit status.
    package func status(
        json: ((PeerMRError) -> JSONValue)? = nil, _ body: () throws(PeerMRError) -> Int32
    ) -> Int32 {
        do throws(PeerMRError) {
            return try body()
        } catch {
            say("error: \(explained(error))")
            if let json { printJSON(.object([("error", json(error))])) }
            return failure(error)
        }
    }

    /// Runs a command line, and ends the process: with a status other than 0 where output has been lost.
    ///
    /// A closed pipe ends it as it ends other programs, by SIGPIPE and without a word, once its work is done.
    ///
    /// - Parameters:
    ///   - command: the program's command.
    ///   - usage: the exit status for a command line that is not understood.
    package func main<Command: ParsableCommand>(_ command: Command.Type, usage: Int32? = nil) -> Never {
        peermr_prepare_standard_streams()
        var status: Int32 = 0
        do {
            var command = try Command.parseAsRoot()
            try command.run()
        } catch {
            let found = Command.exitCode(for: error)
            let text = Self.printable(Command.fullMessage(for: error))
            StatusLine.finish()
            if !text.isEmpty { writeAll(found.isSuccess ? 1 : 2, text + "\n") }
            status = found == .validationFailure ? usage ?? found.rawValue : found.rawValue
        }
        exit(statusAfterOutput(status))
    }

    /// The exit status, when all is written.
    private func statusAfterOutput(_ status: Int32) -> Int32 {
        LostOutput.finish()
        guard let (stream, errno) = LostOutput.failure else { return status }
        if errno == .brokenPipe { peermr_end_by_closed_pipe() }
        let error = PeerMRError.lostOutput("write", errno, stream)
        say("error: \(error)")
        return failure(error)
    }

    /// What ArgumentParser says: it quotes words of the command line as they are.
    private static func printable(_ message: String) -> String {
        var message = message
        for argument in CommandLine.arguments.dropFirst() where argument.printable != argument {
            for part in [argument[...]] + argument.split(separator: "=", maxSplits: 1).dropFirst() {
                message = message.replacing(part, with: part.printable)
            }
        }
        return message
    }

    /// Runs a command's body as ``status(json:_:)`` does, for ArgumentParser.
    ///
    /// - Throws: `ExitCode`, where the status is not 0.
    package func run(
        json: ((PeerMRError) -> JSONValue)? = nil, _ body: () throws(PeerMRError) -> Int32
    ) throws {
        let status = status(json: json, body)
        if status != 0 { throw ExitCode(status) }
    }
}
