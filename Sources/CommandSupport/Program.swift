// SPDX-License-Identifier: Apache-2.0

internal import ArgumentParser
package import PeerMRCore

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
