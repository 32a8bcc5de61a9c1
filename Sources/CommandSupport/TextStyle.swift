// SPDX-License-Identifier: Apache-2.0

internal import Glibc

/// How text for people is shown: how wide it may be, and whether it has colors.
package struct TextStyle: Sendable {
    /// A color of a terminal's own palette, which its user has chosen.
    package enum Color: String, Sendable {
        case good = "32"
        case bad = "1;31"
        case partial = "33"
        case other = "34"
        case unsure = "35"
        case strong = "1"
        case faint = "2"
    }

    /// The most columns that a line may have.
    package let columns: Int
    /// Whether colors are shown.
    package let hasColor: Bool

    package init(columns: Int, hasColor: Bool) {
        self.columns = columns
        self.hasColor = hasColor
    }

    /// The most columns of any text for people, however wide the terminal is: longer lines are hard to follow.
    package static let widest = 100

    /// For a file or a pipe.
    package static let plain = TextStyle(columns: widest, hasColor: false)

    /// For standard output: on a terminal at most as wide as that, and in colors unless `NO_COLOR` is set
    /// (https://no-color.org) or the terminal has none.
    package static var standardOutput: TextStyle {
        guard isatty(1) == 1 else { return plain }
        var size = winsize()
        let known = unsafe ioctl(1, UInt(TIOCGWINSZ), &size) == 0 && size.ws_col > 0
        return TextStyle(
            columns: known ? min(widest, max(40, Int(size.ws_col))) : widest,
            hasColor: allowsColor(noColor: variable("NO_COLOR"), terminal: variable("TERM")))
    }

    /// Whether a terminal is to have colors, by what its environment says.
    package static func allowsColor(noColor: String?, terminal: String?) -> Bool {
        (noColor ?? "").isEmpty && terminal != nil && terminal != "" && terminal != "dumb"
    }

    private static func variable(_ name: String) -> String? {
        unsafe getenv(name).map { unsafe String(cString: $0) }
    }

    /// A text in a color, where colors are shown.
    package func colored(_ text: String, _ color: Color?) -> String {
        guard hasColor, let color, !text.isEmpty else { return text }
        return "\u{1b}[\(color.rawValue)m\(text)\u{1b}[0m"
    }

    /// A paragraph, wrapped.
    package func paragraph(_ text: String, indent: Int = 0, color: Color? = nil) -> String {
        let margin = String(repeating: " ", count: indent)
        return Wrapping.lines(text, columns: columns - indent).map { margin + colored($0, color) + "\n" }.joined()
    }
}
