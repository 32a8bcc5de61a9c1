// SPDX-License-Identifier: Apache-2.0

internal import CLinux
internal import Glibc
package import PeerMRCore

/// A program of another package that draws: gnuplot, or Graphviz's dot.
package struct ExternalProgram: Sendable {
    private let words: [String]
    private var name: String { words.first ?? "" }

    /// Looks for a program on PATH.
    ///
    /// - Parameters:
    ///   - command: its name and its options, between spaces.
    ///   - package: the Debian package that has it.
    /// - Throws: `notSupported` where it is not installed.
    package init(_ command: String, package: String) throws(PeerMRError) {
        words = command.split(separator: " ").map(String.init)
        let folders = unsafe getenv("PATH").map { unsafe String(cString: $0) } ?? "/usr/bin:/bin"
        guard folders.split(separator: ":").contains(where: { unsafe access("\($0)/\(name)", X_OK) == 0 }) else {
            throw PeerMRError(
                .notSupported, reason: "\(name), which draws pictures, is not installed",
                remedy: "install it, on Debian and Ubuntu with: apt-get install \(package)")
        }
    }

    /// Runs it.
    ///
    /// - Parameter input: what it reads on standard input.
    /// - Returns: what it wrote to standard output.
    /// - Throws: `system`, with the first line that it wrote to standard error; `resourceLimit` (ENOSPC) where /tmp is
    ///   full.
    package func run(_ input: String) throws(PeerMRError) -> String {
        let (input, output, complaints) = (try ScratchFile(input), try ScratchFile(), try ScratchFile())
        var arguments: [UnsafeMutablePointer<CChar>?] = unsafe words.map { unsafe strdup($0) } + [nil]
        defer { unsafe arguments.forEach { unsafe free($0) } }
        let status = unsafe peermr_run_program(
            &arguments, input.descriptor, output.descriptor, complaints.descriptor)
        guard status == 0 else {
            let errno = currentErrno()
            let line = complaints.contents.split(separator: "\n").first { !$0.allSatisfy(\.isWhitespace) }
            throw PeerMRError(
                .system, call: status < 0 ? "posix_spawn" : nil, errno: status < 0 ? errno : nil,
                reason: "\(name) cannot draw the picture: \((line ?? "it says nothing").quoted)",
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
        var text = text
        let failure = text.withUTF8 { bytes in unsafe writeBytes(bytes, to: unsafe fileno(file)) }
        if let failure { throw .lostOutput("write", failure, "a temporary file in /tmp") }
        // A program that reads the descriptor begins at the beginning.
        lseek(descriptor, 0, SEEK_SET)
    }

    /// Open for reading and writing.
    var descriptor: Int32 { unsafe fileno(file) }

    deinit { unsafe fclose(file) }

    /// Its path for this process and its children.
    package var path: String { "/proc/self/fd/\(unsafe fileno(file))" }

    package var contents: String {
        SystemRoot.live.contents(String(path.dropFirst()), limit: 1 << 26).map { String(decoding: $0, as: UTF8.self) }
            ?? ""
    }
}
