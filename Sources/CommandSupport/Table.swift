// SPDX-License-Identifier: Apache-2.0

internal import PeerMRCore

/// Columns for people: as wide as their widest cell, two spaces apart.
package enum Table {
    /// Rows without a heading.
    package static func plain(_ rows: [[String]], indent: Int = 2) -> String {
        fitted(rows.map { $0.map { Cell($0) } }, .init(columns: .max, hasColor: false), indent: indent)
    }

    /// Rows below a heading.
    package static func titled(_ heading: [String], _ rows: [[String]]) -> String {
        plain([heading] + rows, indent: 0)
    }

    /// A cell's text, and its color.
    package struct Cell: ExpressibleByStringInterpolation, Sendable {
        package let text: String
        package let color: TextStyle.Color?

        package init(_ text: String, _ color: TextStyle.Color? = nil) {
            self.text = text.printable
            self.color = color
        }

        package init(stringLiteral value: String) { self.init(value) }
    }

    private static let gap = 2

    /// Rows in lines that are no wider than asked: cells of the widest columns are wrapped.
    ///
    /// - Parameter indent: the spaces before the first column.
    package static func fitted(_ rows: [[Cell]], _ style: TextStyle, indent: Int = 0) -> String {
        let widths = widths(of: rows, within: style.columns == .max ? .max : style.columns - indent)
        let margin = String(repeating: " ", count: indent)
        var text = ""
        for row in rows {
            let cells = zip(row, widths).map { cell, width in
                cell.text.count <= width
                    ? [cell.text]
                    : Wrapping.lines(cell.text, columns: width, hanging: cell.text.hasPrefix("→ ") ? 2 : 0)
            }
            for index in 0..<max(1, cells.map(\.count).max() ?? 0) {
                var line = margin
                // Spaces stand between texts only: no line ends in them.
                var spaces = 0
                for (column, lines) in cells.enumerated() {
                    let part = index < lines.count ? lines[index] : ""
                    if !part.isEmpty {
                        line += String(repeating: " ", count: spaces) + style.colored(part, row[column].color)
                        spaces = 0
                    }
                    spaces += widths[column] - part.count + gap
                }
                text += (line == margin ? "" : line) + "\n"
            }
        }
        return text
    }

    /// As wide as the widest cell, or less where all together would be too wide.
    private static func widths(of rows: [[Cell]], within columns: Int) -> [Int] {
        var widths: [Int] = []
        for row in rows {
            for (index, cell) in row.enumerated() {
                if index == widths.count { widths.append(0) }
                widths[index] = max(widths[index], cell.text.count)
            }
        }
        var excess = columns == .max ? 0 : widths.reduce(0, +) + gap * max(0, widths.count - 1) - columns
        while excess > 0, let widest = widths.indices.max(by: { widths[$0] < widths[$1] }), widths[widest] > 4 {
            widths[widest] -= 1
            excess -= 1
        }
        return widths
    }
}
