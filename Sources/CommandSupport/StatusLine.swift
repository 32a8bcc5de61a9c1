// SPDX-License-Identifier: Apache-2.0

internal import Glibc
internal import Synchronization

/// The line at the end of standard error that changes while a program works.
package enum StatusLine {
    private static let isOpen = Atomic(false)

    /// Whether standard error is a terminal.
    package static var isTerminal: Bool { isatty(2) == 1 }

    /// Draws the line anew, over the one before.
    package static func draw(_ text: String) {
        isOpen.store(true, ordering: .relaxed)
        writeAll(2, "\r\(text)")
    }

    /// Leaves the line as it is: what follows begins on the next one.
    package static func finish() {
        if isOpen.exchange(false, ordering: .relaxed) { writeAll(2, "\n") }
    }

    /// Erases the line on a terminal.
    package static func erase() {
        if isOpen.exchange(false, ordering: .relaxed) { writeAll(2, "\r\u{1b}[K") }
    }
}
