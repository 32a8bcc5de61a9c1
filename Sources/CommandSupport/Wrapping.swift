// SPDX-License-Identifier: Apache-2.0

internal import PeerMRCore

/// Sentences in lines that are no wider than asked.
package enum Wrapping {
    /// The lines of a text, broken between words. A word that is wider than a line is broken too, behind a separator
    /// where it has one. What would move a terminal's cursor is a question mark.
    ///
    /// - Parameters:
    ///   - columns: the most columns of a line; at least 1.
    ///   - hanging: the spaces before each line but the first.
    package static func lines(_ text: String, columns: Int, hanging: Int = 0) -> [String] {
        if hanging > 0, columns > hanging * 2 {
            let first = lines(text, columns: columns - hanging)
            let margin = String(repeating: " ", count: hanging)
            return first.enumerated().map { $0 == 0 ? $1 : margin + $1 }
        }
        let columns = max(1, columns)
        var lines: [String] = []
        var line = ""
        for word in text.printable.split(separator: " ") {
            if line.isEmpty {
                line = String(word)
            } else if line.count + 1 + word.count <= columns {
                line += " " + word
            } else {
                lines.append(line)
                line = String(word)
            }
            while line.count > columns {
                let part = fitting(line, columns)
                lines.append(part)
                line.removeFirst(part.count)
            }
        }
        if !line.isEmpty || lines.isEmpty { lines.append(line) }
        return lines
    }

    private static let separators: Set<Character> = [";", ",", "/", "=", "@"]

    /// The beginning of a long word that fits.
    private static func fitting(_ word: String, _ columns: Int) -> String {
        let part = word.prefix(columns)
        guard let last = part.lastIndex(where: { separators.contains($0) }), last > part.startIndex else {
            return String(part)
        }
        return String(part[...last])
    }
}
