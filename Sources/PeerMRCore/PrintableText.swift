// SPDX-License-Identifier: Apache-2.0

extension StringProtocol {
    /// Text from outside as part of one line for people: names, paths, what a file holds, what the other side sent.
    ///
    /// What a terminal acts upon or does not show, and what XML does not allow, is a question mark: control characters
    /// of both sets, line and paragraph separators, bidirectional controls, invisible characters, noncharacters.
    package var printable: String {
        // Most texts are plain.
        if utf8.allSatisfy({ (0x20...0x7e).contains($0) }) { return String(self) }
        var shown = String.UnicodeScalarView()
        for scalar in unicodeScalars { shown.append(scalar.isPrintable ? scalar : "?") }
        return String(shown)
    }

    /// What a user wrote, in quotation marks and ``printable``: at most 80 characters.
    package var quoted: String {
        "\"\(String(String.UnicodeScalarView(unicodeScalars.prefix(80))).printable)\""
    }
}

extension Unicode.Scalar {
    /// Whether text for people may have it; see ``Swift/StringProtocol/printable``.
    package var isPrintable: Bool {
        if value < 0x7f { return value >= 0x20 }
        switch properties.generalCategory {
        case .control, .format, .lineSeparator, .paragraphSeparator, .surrogate, .privateUse, .unassigned: return false
        default: return !properties.isDefaultIgnorableCodePoint
        }
    }
}
