// SPDX-License-Identifier: Apache-2.0

import CommandSupport
import PeerMR
import RegistrationBench
import PeerMRCore

/// Latency over size as SVG, both on logarithmic scales: registration at the left, deregistration at the right. Each
/// line is a sort of memory, from its median up to the 99th percentile.
struct LatencyPicture {
    private struct Series {
        let name: String
        let color: String
        let isDashed: Bool
        let results: [CellResult]
    }

    private let result: BenchResult
    private let series: [Series]
    private let sizes: [UInt64]
    /// The decades of the vertical axis, as powers of ten of nanoseconds.
    private let decades: ClosedRange<Int>

    /// Told apart by people who do not see all colours, too (Okabe and Ito).
    private static let colors = [
        "#0072b2", "#d55e00", "#009e73", "#cc79a7", "#56b4e9", "#e69f00", "#444444", "#8c6d31",
    ]
    private static let (panelWidth, panelHeight, left, top, gap) = (452.0, 400.0, 72.0, 84.0, 76.0)

    init(_ result: BenchResult) {
        self.result = result
        let measured = result.measured
        sizes = Set(measured.map(\.cell.byteCount)).sorted()
        series = Self.lines(of: measured)
        var low = UInt64.max
        var high: UInt64 = 1
        for cell in measured {
            for times in [cell.timings.register, cell.timings.deregister] {
                low = min(low, times.median)
                high = max(high, times.percentile(99))
            }
        }
        let first = Self.decade(min(low, high))
        decades = first...max(Self.decade(high) + 1, first + 1)
    }

    /// Cells that differ in their size only are one line. Cold and warm have one colour.
    private static func lines(of measured: [CellResult]) -> [Series] {
        var order: [String] = []
        var groups: [String: [CellResult]] = [:]
        var colors: [String: String] = [:]
        for result in measured {
            let cell = result.cell
            var name = "\(cell.memory)"
            if cell.isHuge { name += ", huge pages" }
            if cell.registeredBytes > 0 { name += ", \(ByteCount.describe(cell.registeredBytes)) besides" }
            if cell.threads > 1 { name += ", \(cell.threads) threads" }
            if colors[name] == nil { colors[name] = Self.colors[colors.count % Self.colors.count] }
            let key = "\(name)\t\(cell.temperature.rawValue)"
            if groups[key] == nil { order.append(key) }
            groups[key, default: []].append(result)
        }
        return order.compactMap { key in
            let words = key.split(separator: "\t").map(String.init)
            guard words.count == 2, let results = groups[key], let color = colors[words[0]] else { return nil }
            let method = results.compactMap(\.method?.rawValue).first.map { " (\($0))" } ?? ""
            return Series(
                name: "\(words[0])\(method), \(words[1])", color: color,
                isDashed: words[1] == Temperature.cold.rawValue,
                results: results.sorted { $0.cell.byteCount < $1.cell.byteCount })
        }
    }

    /// The power of ten below or at a number of nanoseconds.
    private static func decade(_ nanoseconds: UInt64) -> Int {
        var (rest, power) = (nanoseconds, 0)
        while rest >= 10 {
            rest /= 10
            power += 1
        }
        return power
    }

    var text: String {
        let width = Self.left + 2 * Self.panelWidth + Self.gap + 24
        let rows = (series.count + 1) / 2
        let legend = Self.top + Self.panelHeight + 74
        let height = legend + Double(rows) * 20 + 34
        var text = """
            <svg xmlns="http://www.w3.org/2000/svg" width="\(Int(width))" height="\(Int(height))" \
            viewBox="0 0 \(Int(width)) \(Int(height))" font-family="sans-serif" font-size="12" fill="#24292f">
            <rect width="\(Int(width))" height="\(Int(height))" fill="#ffffff"/>
            <text x="\(Int(Self.left))" y="30" font-size="18" font-weight="bold">Registration latency of \
            \(Self.quote(result.device))</text>
            <text x="\(Int(Self.left))" y="50" fill="#57606a">\(Self.quote(subtitle))</text>

            """
        guard !series.isEmpty else {
            return text + "<text x=\"\(Int(Self.left))\" y=\"120\">Nothing was measured.</text>\n</svg>\n"
        }
        text += panel(0, "Register", \.timings.register, \.bare.register)
        text += panel(1, "Deregister", \.timings.deregister, \.bare.deregister)
        for (index, line) in series.enumerated() {
            // Down the left column, then down the right one.
            let x = Self.left + (index < rows ? 0 : Self.panelWidth + Self.gap)
            text += Self.key(line, x: x, y: legend + Double(index < rows ? index : index - rows) * 20)
        }
        let note = legend + Double(rows) * 20 + 6
        return text
            + "<text x=\"\(Int(Self.left))\" y=\"\(Int(note))\" fill=\"#57606a\">\(Self.quote(reading))</text>\n"
            + "</svg>\n"
    }

    private var subtitle: String {
        let seconds = NumberFormat.fixed(Double(result.nanoseconds) / 1e9, 0)
        let rounds = NumberFormat.count(result.rounds, "round")
        return "Linux \(result.kernel), \(rounds) in \(seconds) s, \(result.clock.name) over "
            + "\(result.clock.source)\(result.wasInterrupted ? ", interrupted" : "")"
    }

    private var reading: String {
        let bare = result.plan.baseline ? " Rings: medians of the bare calls." : ""
        return "Lines: medians. Bands: from there to the 99th percentile. Dashed: cold, new memory each time.\(bare)"
    }

    // MARK: - Panels

    private func x(_ byteCount: UInt64, _ panel: Int) -> Double {
        let left = Self.left + Double(panel) * (Self.panelWidth + Self.gap) + 18
        guard let first = sizes.first, let last = sizes.last, last > first else { return left + Self.panelWidth / 2 }
        let part = Self.log10(Double(byteCount) / Double(first)) / Self.log10(Double(last) / Double(first))
        return left + part * (Self.panelWidth - 36)
    }

    private func y(_ nanoseconds: Double) -> Double {
        let span = Double(decades.upperBound - decades.lowerBound)
        let part = (Self.log10(max(nanoseconds, 1)) - Double(decades.lowerBound)) / span
        return Self.top + Self.panelHeight * (1 - min(max(part, 0), 1))
    }

    private static func log10(_ value: Double) -> Double {
        // Of what is larger than 0; the standard library has no logarithm.
        var (rest, power) = (value, 0.0)
        while rest >= 10 { (rest, power) = (rest / 10, power + 1) }
        while rest < 1 { (rest, power) = (rest * 10, power - 1) }
        var bit = 0.5
        var fraction = 0.0
        // Squaring doubles the logarithm: each time it passes 1 gives a binary digit.
        for _ in 0..<30 {
            rest *= rest
            if rest >= 10 {
                rest /= 10
                fraction += bit
            }
            bit /= 2
        }
        return power + fraction
    }

    private func panel(
        _ number: Int, _ title: String, _ ours: KeyPath<CellResult, Distribution>,
        _ bare: KeyPath<CellResult, Distribution>
    ) -> String {
        let left = Self.left + Double(number) * (Self.panelWidth + Self.gap)
        var text = "<g>\n<text x=\"\(Int(left))\" y=\"\(Int(Self.top - 10))\" font-weight=\"bold\">\(title)</text>\n"
        text += grid(left, number)
        for line in series {
            let points = line.results.map { result -> (x: Double, low: Double, high: Double) in
                let times = result[keyPath: ours]
                return (
                    x(result.cell.byteCount, number), y(Double(times.median)), y(Double(times.percentile(99)))
                )
            }
            let up = points.map { "\(Self.short($0.x)),\(Self.short($0.high))" }
            let back = points.reversed().map { "\(Self.short($0.x)),\(Self.short($0.low))" }
            text += "<polygon points=\"\((up + back).joined(separator: " "))\" fill=\"\(line.color)\" "
            text += "fill-opacity=\"\(line.isDashed ? "0.07" : "0.14")\"/>\n"
            let middle = points.map { "\(Self.short($0.x)),\(Self.short($0.low))" }.joined(separator: " ")
            text += "<polyline points=\"\(middle)\" fill=\"none\" stroke=\"\(line.color)\" stroke-width=\"2\""
            text += "\(line.isDashed ? " stroke-dasharray=\"6 4\"" : "")/>\n"
            for (point, result) in zip(points, line.results) {
                text += "<circle cx=\"\(Self.short(point.x))\" cy=\"\(Self.short(point.low))\" r=\"2.5\" "
                text += "fill=\"\(line.color)\"/>\n"
                let other = result[keyPath: bare]
                guard other.count > 0 else { continue }
                text += "<circle cx=\"\(Self.short(point.x))\" cy=\"\(Self.short(y(Double(other.median))))\" r=\"5\" "
                text += "fill=\"none\" stroke=\"\(line.color)\"/>\n"
            }
        }
        return text + "</g>\n"
    }

    private func grid(_ left: Double, _ number: Int) -> String {
        let right = left + Self.panelWidth
        let bottom = Self.top + Self.panelHeight
        var text = ""
        for decade in decades {
            var value = 1.0
            for _ in 0..<max(decade, 0) { value *= 10 }
            let place = Self.short(y(value))
            text += "<path d=\"M\(Int(left)) \(place)H\(Int(right))\" stroke=\"#d0d7de\"/>\n"
            text += "<text x=\"\(Int(left - 8))\" y=\"\(Self.short(y(value) + 4))\" text-anchor=\"end\">"
            text += "\(Self.time(decade))</text>\n"
            guard decade < decades.upperBound else { continue }
            for part in 2...9 {
                let place = Self.short(y(value * Double(part)))
                text += "<path d=\"M\(Int(left)) \(place)H\(Int(right))\" stroke=\"#eff2f5\"/>\n"
            }
        }
        // A size that would be written over its neighbour is marked only.
        var last = -1000.0
        for size in sizes {
            let place = x(size, number)
            text += "<path d=\"M\(Self.short(place)) \(Int(Self.top))V\(Int(bottom) + 4)\" stroke=\"#eff2f5\"/>\n"
            guard place - last >= 42 else { continue }
            last = place
            text += "<text x=\"\(Self.short(place))\" y=\"\(Int(bottom) + 19)\" text-anchor=\"middle\" "
            text += "font-size=\"11\">\(ByteCount.describe(size))</text>\n"
        }
        text += "<text x=\"\(Int((left + right) / 2))\" y=\"\(Int(bottom) + 40)\" text-anchor=\"middle\" "
        text += "fill=\"#57606a\">size of the region</text>\n"
        return text + "<rect x=\"\(Int(left))\" y=\"\(Int(Self.top))\" width=\"\(Int(Self.panelWidth))\" "
            + "height=\"\(Int(Self.panelHeight))\" fill=\"none\" stroke=\"#57606a\"/>\n"
    }

    private static func key(_ line: Series, x: Double, y: Double) -> String {
        let dash = line.isDashed ? " stroke-dasharray=\"6 4\"" : ""
        return "<path d=\"M\(Int(x)) \(Int(y - 4))h32\" stroke=\"\(line.color)\" stroke-width=\"2\"\(dash)/>\n"
            + "<circle cx=\"\(Int(x) + 16)\" cy=\"\(Int(y - 4))\" r=\"2.5\" fill=\"\(line.color)\"/>\n"
            + "<text x=\"\(Int(x) + 42)\" y=\"\(Int(y))\">\(quote(line.name))</text>\n"
    }

    /// A power of ten of nanoseconds, for an axis.
    private static func time(_ decade: Int) -> String {
        let units = ["ns", "µs", "ms", "s"]
        let unit = min(decade / 3, units.count - 1)
        var number = "1"
        for _ in 0..<(decade - 3 * unit) { number += "0" }
        return "\(number) \(units[unit])"
    }

    private static func short(_ value: Double) -> String { NumberFormat.fixed(value, 1) }

    private static func quote(_ text: String) -> String {
        var quoted = ""
        for character in text {
            switch character {
            case "&": quoted += "&amp;"
            case "<": quoted += "&lt;"
            case ">": quoted += "&gt;"
            default: quoted.append(character)
            }
        }
        return quoted
    }
}
