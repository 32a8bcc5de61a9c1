// SPDX-License-Identifier: Apache-2.0

internal import Glibc
package import PeerMRCore

/// A program of another package that draws: gnuplot, or Graphviz's dot.
package struct ExternalProgram: Sendable {
    private let command: String

    /// Looks for a program on PATH.
    ///
    /// - Parameters:
    ///   - command: its name and its options, words for a shell.
    ///   - package: the Debian package that has it.
    /// - Throws: `notSupported` where it is not installed.
    package init(_ command: String, package: String) throws(PeerMRError) {
        self.command = command
        let name = String(command.prefix { $0 != " " })
        guard unsafe system("command -v \(name) > /dev/null 2>&1") == 0 else {
            throw PeerMRError(
                .notSupported, reason: "\(name), which draws pictures, is not installed",
                remedy: "install it, on Debian and Ubuntu with: apt-get install \(package)")
        }
    }

    /// Runs it.
    ///
    /// - Parameter input: what it reads on standard input.
    /// - Returns: what it wrote to standard output.
    /// - Throws: `system`, with the first line that it wrote to standard error.
    package func run(_ input: String) throws(PeerMRError) -> String {
        let (input, output, complaints) = (try ScratchFile(input), try ScratchFile(), try ScratchFile())
        let status = unsafe system("\(command) < \(input.path) > \(output.path) 2> \(complaints.path)")
        guard status == 0 else {
            let line = complaints.contents.split(separator: "\n").first { !$0.allSatisfy(\.isWhitespace) }
            throw PeerMRError(
                .system, reason: "\(command.prefix { $0 != " " }) cannot draw the picture: \((line ?? "?").quoted)",
                remedy: "see whether the disk is full, or its version too old")
        }
        return output.contents
    }
}

/// A file without a name, which a child process can open.
@safe package final class ScratchFile {
    private let file: UnsafeMutablePointer<FILE>

    package init(_ text: String = "") throws(PeerMRError) {
        guard let file = unsafe tmpfile() else {
            throw PeerMRError(
                .system, call: "tmpfile", errno: currentErrno(), reason: "a temporary file cannot be made",
                remedy: "make room in /tmp")
        }
        unsafe self.file = unsafe file
        writeAll(unsafe fileno(file), text)
    }

    deinit { unsafe fclose(file) }

    /// Its path for this process and its children.
    package var path: String { "/proc/self/fd/\(unsafe fileno(file))" }

    package var contents: String {
        SystemRoot.live.contents(String(path.dropFirst()), limit: 1 << 26).map { String(decoding: $0, as: UTF8.self) }
            ?? ""
    }
}
