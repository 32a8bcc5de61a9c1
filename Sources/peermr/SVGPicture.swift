// SPDX-License-Identifier: Apache-2.0

import PCITopology
import PeerMRCore

/// The picture as SVG: the tree from left to right, one row for each device at an end, routes as arcs at the right.
struct SVGPicture {
    private struct Box {
        let lines: [String]
        let column: Int
        let row: Double
        let fill: String
        let above: String?
    }

    private let part: TreePart
    private var boxes: [String: Box] = [:]
    private var order: [String] = []
    private var rows = 0.0
    private var columns = 1

    private static let boxWidth = 132
    private static let columnWidth = 168
    private static let rowHeight = 72
    private static let margin = 16

    init(matrix: Matrix) {
        part = TreePart(matrix)
        var below: [String: [PCIFunction]] = [:]
        for function in part.functions {
            let above = function.chain.dropFirst().first.map { "\($0)" } ?? "\(function.rootBus)"
            below[above, default: []].append(function)
        }
        for bus in Set(part.functions.map(\.rootBus)).sorted() {
            let row = place(below["\(bus)"] ?? [], under: "\(bus)", column: 1, below)
            add("\(bus)", Box(lines: ["host bridge", "\(bus)"], column: 0, row: row, fill: "#eaeef2", above: nil))
        }
    }

    /// Puts functions and what is below them in their places.
    ///
    /// - Returns: the middle of their rows.
    private mutating func place(
        _ functions: [PCIFunction], under above: String, column: Int, _ below: [String: [PCIFunction]]
    ) -> Double {
        var middles: [Double] = []
        columns = max(columns, column + 1)
        for function in functions {
            let name = "\(function.address)"
            var row = rows
            // A chain is at most as long as a path of sysfs: some hundred bridges.
            if let children = below[name] {
                row = place(children, under: name, column: column + 1, below)
            } else {
                rows += 1
            }
            let fill =
                function.accessControl.redirects == true ? "#ffebe9" : function.poolBytes != nil ? "#dafbe1" : "#ffffff"
            add(name, Box(lines: part.lines(function), column: column, row: row, fill: fill, above: above))
            middles.append(row)
        }
        return ((middles.first ?? rows) + (middles.last ?? rows)) / 2
    }

    private mutating func add(_ name: String, _ box: Box) {
        boxes[name] = box
        order.append(name)
    }

    private static func left(_ box: Box) -> Int { margin + box.column * columnWidth }
    private static func middle(_ box: Box) -> Int { margin + Int((box.row + 0.5) * Double(rowHeight)) }

    var text: String {
        let right = Self.margin + (columns - 1) * Self.columnWidth + Self.boxWidth
        let reach = 40 + 14 * min(part.routes.count, 20)
        let legend = Self.margin + Int(max(rows, 1)) * Self.rowHeight + 8
        let (width, height) = (max(right + reach + 24, 560), legend + 40)
        var text = """
            <svg xmlns="http://www.w3.org/2000/svg" width="\(width)" height="\(height)" viewBox="0 0 \(width) \
            \(height)" font-family="sans-serif" font-size="11">
            <rect width="\(width)" height="\(height)" fill="#ffffff"/>

            """
        for name in order {
            guard let box = boxes[name], let above = box.above.flatMap({ boxes[$0] }) else { continue }
            let (x1, y1) = (Self.left(above) + Self.boxWidth, Self.middle(above))
            let (x2, y2) = (Self.left(box), Self.middle(box))
            let half = (x1 + x2) / 2
            text += "<path d=\"M\(x1) \(y1)H\(half)V\(y2)H\(x2)\" fill=\"none\" stroke=\"#57606a\"/>\n"
        }
        for name in order { boxes[name].map { text += Self.drawn($0) } }
        for (index, route) in part.routes.enumerated() { text += arc(route, index, right: right, reach: reach) }
        return text + self.legend(at: legend) + "</svg>\n"
    }

    private static func drawn(_ box: Box) -> String {
        let (x, y) = (left(box), middle(box))
        let height = 8 + 14 * box.lines.count
        var text =
            "<rect x=\"\(x)\" y=\"\(y - height / 2)\" width=\"\(boxWidth)\" height=\"\(height)\" rx=\"4\" "
            + "fill=\"\(box.fill)\" stroke=\"#57606a\"/>\n"
        for (index, line) in box.lines.enumerated() {
            let weight = index == 0 ? " font-weight=\"bold\"" : ""
            text +=
                "<text x=\"\(x + boxWidth / 2)\" y=\"\(y - height / 2 + 15 + 14 * index)\" "
                + "text-anchor=\"middle\"\(weight)>\(quote(line))</text>\n"
        }
        return text
    }

    private func arc(
        _ route: (client: PCIAddress, provider: PCIAddress, verdict: Verdict), _ index: Int, right: Int, reach: Int
    ) -> String {
        guard let from = boxes["\(route.client)"], let to = boxes["\(route.provider)"] else { return "" }
        let (x1, x2) = (Self.left(from) + Self.boxWidth, Self.left(to) + Self.boxWidth)
        // Arcs that leave one box at one height would lie on each other.
        let shift = (index % 5 - 2) * 4
        let (y1, y2) = (Self.middle(from) + shift, Self.middle(to) + shift)
        let bend = right + 24 + (reach - 40) * (index + 1) / (part.routes.count + 1)
        let (colour, words) = route.verdict.style
        let dash = route.verdict.isSupported == true ? "" : " stroke-dasharray=\"5 4\""
        return
            "<path d=\"M\(x1) \(y1)L\(right + 6) \(y1)C\(bend) \(y1) \(bend) \(y2) \(right + 6) \(y2)L\(x2) "
            + "\(y2)\" fill=\"none\" stroke=\"\(colour)\" stroke-width=\"1.6\"\(dash)><title>\(route.client) "
            + "to \(route.provider): \(words)</title></path>\n"
    }

    private func legend(at y: Int) -> String {
        var seen: [String] = []
        var text = ""
        for route in part.routes {
            let (colour, words) = route.verdict.style
            guard !seen.contains(words) else { continue }
            let x = Self.margin + seen.count * 170
            seen.append(words)
            let dash = route.verdict.isSupported == true ? "" : " stroke-dasharray=\"5 4\""
            text += "<path d=\"M\(x) \(y + 12)h26\" stroke=\"\(colour)\" stroke-width=\"1.6\"\(dash)/>\n"
            text += "<text x=\"\(x + 32)\" y=\"\(y + 16)\">\(words)</text>\n"
        }
        return text
    }

    private static func quote(_ text: String) -> String {
        var quoted = ""
        for scalar in text.unicodeScalars {
            switch scalar {
            case "&": quoted += "&amp;"
            case "<": quoted += "&lt;"
            case ">": quoted += "&gt;"
            case "\"": quoted += "&quot;"
            case _ where scalar.value < 32: quoted += "?"
            default: quoted.unicodeScalars.append(scalar)
            }
        }
        return quoted
    }
}
