// SPDX-License-Identifier: Apache-2.0

/// Columns for people: as wide as their widest cell, two spaces apart.
package enum Table {
    /// Rows without a heading.
    package static func plain(_ rows: [[String]], indent: Int = 2) -> String {
        let columns = rows.map(\.count).max() ?? 0
        var widths = [Int](repeating: 0, count: columns)
        for row in rows {
            // The last column needs no padding.
            for (index, cell) in row.enumerated() where index + 1 < columns {
                widths[index] = max(widths[index], cell.count)
            }
        }
        var text = ""
        for row in rows {
            var line = String(repeating: " ", count: indent)
            for (index, cell) in row.enumerated() {
                line += cell
                if index + 1 < row.count {
                    line += String(repeating: " ", count: widths[index] - cell.count + 2)
                }
            }
            while line.hasSuffix(" ") { line.removeLast() }
            text += line + "\n"
        }
        return text
    }

    /// Rows below a heading.
    package static func titled(_ heading: [String], _ rows: [[String]]) -> String {
        plain([heading] + rows, indent: 0)
    }
}
