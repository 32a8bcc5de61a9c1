// SPDX-License-Identifier: Apache-2.0

import CommandSupport
import Glibc
import Histogram
import PeerMR

/// A plot with logarithmic axes: what a picture of times has in common with another.
struct Plot {
    /// The ranges of the axes, in the units of the data; above 0.
    let horizontal: ClosedRange<Double>
    let vertical: ClosedRange<Double>
    /// Whether the vertical axis is logarithmic; the horizontal always is.
    let isVerticalLogarithmic: Bool
    private(set) var body = ""

    static let width = 900.0
    static let height = 470.0
    /// Where the axes stand.
    static let left = 76.0
    static let right = 700.0
    static let top = 62.0
    static let bottom = 410.0

    init(_ horizontal: ClosedRange<Double>, _ vertical: ClosedRange<Double>, isVerticalLogarithmic: Bool) {
        self.horizontal = horizontal
        self.vertical = vertical
        self.isVerticalLogarithmic = isVerticalLogarithmic
    }

    func x(_ value: Double) -> Double {
        let (low, high) = (logarithm(horizontal.lowerBound), logarithm(horizontal.upperBound))
        return Self.left + (logarithm(value) - low) / max(high - low, 1e-9) * (Self.right - Self.left)
    }

    func y(_ value: Double) -> Double {
        let scale = { (value: Double) in isVerticalLogarithmic ? logarithm(value) : value }
        let (low, high) = (scale(vertical.lowerBound), scale(vertical.upperBound))
        return Self.bottom - (scale(value) - low) / max(high - low, 1e-9) * (Self.bottom - Self.top)
    }

    mutating func add(_ element: String) { body += element + "\n" }

    mutating func text(_ text: String, _ x: Double, _ y: Double, _ attributes: String = "") {
        add("<text x=\"\(decimal(x, 1))\" y=\"\(decimal(y, 1))\" \(attributes)>\(text)</text>")
    }

    mutating func line(_ x1: Double, _ y1: Double, _ x2: Double, _ y2: Double, _ attributes: String) {
        add(
            "<line x1=\"\(decimal(x1, 1))\" y1=\"\(decimal(y1, 1))\" x2=\"\(decimal(x2, 1))\" y2=\"\(decimal(y2, 1))\" "
                + "\(attributes)/>")
    }

    /// A mark on the horizontal axis, with its line through the plot.
    mutating func horizontalTick(_ value: Double, _ label: String) {
        line(x(value), Self.top, x(value), Self.bottom, "class=\"grid\"")
        text(label, x(value), Self.bottom + 18, "text-anchor=\"middle\"")
    }

    /// A mark on the vertical axis, with its line through the plot.
    mutating func verticalTick(_ value: Double, _ label: String) {
        line(Self.left, y(value), Self.right, y(value), "class=\"grid\"")
        text(label, Self.left - 8, y(value) + 4, "text-anchor=\"end\"")
    }

    /// The whole picture.
    func svg(title: String, subtitle: String, horizontal: String, vertical: String) -> String {
        var plot = self
        plot.text(title, Self.left, 26, "class=\"title\"")
        plot.text(subtitle, Self.left, 46, "class=\"quiet\"")
        plot.text(horizontal, (Self.left + Self.right) / 2, Self.bottom + 44, "text-anchor=\"middle\"")
        let middle = (Self.top + Self.bottom) / 2
        plot.text(
            vertical, 20, middle, "text-anchor=\"middle\" transform=\"rotate(-90 20 \(decimal(middle, 1)))\"")
        plot.line(Self.left, Self.bottom, Self.right, Self.bottom, "class=\"axis\"")
        plot.line(Self.left, Self.top, Self.left, Self.bottom, "class=\"axis\"")
        return """
            <svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 \(Int(Self.width)) \(Int(Self.height))" \
            width="\(Int(Self.width))" height="\(Int(Self.height))" font-family="sans-serif" font-size="12">
            <style>.title{font-size:16px;font-weight:bold}.quiet{fill:#666}.grid{stroke:#e4e4e4}
            .axis{stroke:#333}text{fill:#222}</style>
            <rect width="100%" height="100%" fill="#fff"/>
            \(plot.body)</svg>

            """
    }
}

/// The logarithm to base 2 of a number above 0.
func logarithm(_ value: Double) -> Double { value > 0 ? log2(value) : 0 }

/// 1, 2 and 5 times the powers of ten in a range; only the powers where that would be many.
private func steps(_ range: ClosedRange<Double>) -> [Double] {
    var found: [Double] = []
    var power = 1e-3
    while power <= range.upperBound {
        for factor in [1.0, 2, 5] where range.contains(power * factor) { found.append(power * factor) }
        power *= 10
    }
    guard found.count > 9 else { return found }
    return found.filter { value in
        var rest = value
        while rest >= 10 { rest /= 10 }
        while rest < 0.999 { rest *= 10 }
        return rest < 1.5
    }
}

/// Microseconds on an axis.
private func label(_ microseconds: Double) -> String {
    microseconds >= 1 ? decimal(microseconds, 0) : decimal(microseconds, 3)
}

private let colors = [
    "min": "#7f8c8d", "p50": "#1f77b4", "p99": "#e67e22", "p99.9": "#c0392b", "max": "#6c3483",
]

/// The distribution of one run: how many round trips took how long.
struct HistogramPicture {
    let run: Run

    init(_ run: Run) { self.run = run }

    var svg: String {
        let low = Double(max(1, run.shortest)) / 1000
        let high = max(Double(run.longest) / 1000, low * 1.2)
        let bars = bins(low, high)
        let most = Double(max(1, bars.map(\.count).max() ?? 1))
        var plot = Plot((low * 0.97)...(high * 1.03), 0...most * 1.05, isVerticalLogarithmic: false)
        for value in steps(plot.horizontal) { plot.horizontalTick(value, label(value)) }
        for part in 0...4 {
            let value = (most * Double(part) / 4).rounded()
            plot.verticalTick(value, decimal(value, 0))
        }
        for bar in bars where bar.count > 0 {
            let (from, to, top) = (plot.x(bar.from), plot.x(bar.to), plot.y(Double(bar.count)))
            let width = max(1, to - from - 0.6)
            plot.add(
                "<rect x=\"\(decimal(from, 2))\" y=\"\(decimal(top, 2))\" width=\"\(decimal(width, 2))\" "
                    + "height=\"\(decimal(max(0.8, Plot.bottom - top), 2))\" fill=\"#9ec5e8\"/>")
        }
        mark(&plot)
        return plot.svg(
            title: "Round trips of \(run.size) bytes, \(run.what)",
            subtitle: "\(run.count - run.warmUp) of \(run.count) round trips, \(run.memory.rawValue) memory, "
                + (run.waits ? "events" : "polling"),
            horizontal: "round trip, µs (logarithmic)", vertical: "round trips")
    }

    /// Lines at the percentiles, and their figures beside the plot.
    private func mark(_ plot: inout Plot) {
        for (index, figure) in run.figures.enumerated() {
            let color = colors[figure.name] ?? "#333"
            let x = plot.x(Double(max(1, figure.value)) / 1000)
            plot.line(x, Plot.top, x, Plot.bottom, "stroke=\"\(color)\" stroke-width=\"1.5\" stroke-dasharray=\"5 3\"")
            let y = Plot.top + 14 + Double(index) * 22
            plot.line(Plot.right + 14, y - 4, Plot.right + 34, y - 4, "stroke=\"\(color)\" stroke-width=\"2\"")
            plot.text("\(figure.name) \(NumberFormat.microseconds(figure.value)) µs", Plot.right + 40, y)
        }
    }

    /// Bars of equal width on the logarithmic axis.
    private func bins(_ low: Double, _ high: Double) -> [(from: Double, to: Double, count: UInt64)] {
        let number = 60
        let step = (logarithm(high * 1.0001) - logarithm(low)) / Double(number)
        var counts = [UInt64](repeating: 0, count: number)
        for value in run.latency.recordedValues() {
            let place = (logarithm(Double(max(1, value.value)) / 1000) - logarithm(low)) / step
            counts[min(number - 1, max(0, Int(place)))] += value.count
        }
        var edge = low
        let factor = exp2(step)
        return counts.map { count in
            defer { edge *= factor }
            return (edge, edge * factor, count)
        }
    }
}

/// A sweep: how the times grow with the size.
struct SweepPicture {
    let runs: [Run]

    init(_ runs: [Run]) { self.runs = runs }

    var svg: String {
        let sizes = runs.map { Double($0.size) }
        let times = runs.flatMap { $0.figures.map { Double(max(1, $0.value)) / 1000 } }
        let low = times.min() ?? 1
        let high = max(times.max() ?? 1, low * 2)
        var plot = Plot(
            (sizes.min() ?? 1) * 0.9...(sizes.max() ?? 1) * 1.1, low * 0.8...high * 1.25, isVerticalLogarithmic: true)
        for run in runs { plot.horizontalTick(Double(run.size), short(run.size)) }
        for value in steps(plot.vertical) { plot.verticalTick(value, label(value)) }
        let last = runs.last.map { Double($0.size) } ?? 1
        for (index, name) in ["min", "p50", "p99", "p99.9", "max"].enumerated() {
            let color = colors[name] ?? "#333"
            let points = runs.map { run in
                (plot.x(Double(run.size)), plot.y(Double(max(1, run.figures[index].value)) / 1000))
            }
            let path = points.map { "\(decimal($0.0, 1)),\(decimal($0.1, 1))" }.joined(separator: " ")
            plot.add("<polyline points=\"\(path)\" fill=\"none\" stroke=\"\(color)\" stroke-width=\"2\"/>")
            for point in points {
                plot.add(
                    "<circle cx=\"\(decimal(point.0, 1))\" cy=\"\(decimal(point.1, 1))\" r=\"3\" fill=\"\(color)\"/>")
            }
            let y = Plot.top + 14 + Double(4 - index) * 22
            plot.line(Plot.right + 14, y - 4, Plot.right + 34, y - 4, "stroke=\"\(color)\" stroke-width=\"2\"")
            let figure = runs.last.map { NumberFormat.microseconds($0.figures[index].value) } ?? ""
            plot.text("\(name) \(figure) µs", Plot.right + 40, y)
        }
        plot.text("at \(short(Int(last))) bytes", Plot.right + 14, Plot.top + 14 + 5 * 22, "class=\"quiet\"")
        let run = runs[0]
        return plot.svg(
            title: "Round trips by size, \(run.what)",
            subtitle: "\(run.count - run.warmUp) of \(run.count) round trips each, \(run.memory.rawValue) memory, "
                + (run.waits ? "events" : "polling"),
            horizontal: "message, bytes (logarithmic)", vertical: "round trip, µs (logarithmic)")
    }

    /// A size on an axis: `64`, `4K`, `1M`.
    private func short(_ size: Int) -> String {
        if size >= 1 << 20, size % (1 << 20) == 0 { return "\(size >> 20)M" }
        return size >= 1024 && size % 1024 == 0 ? "\(size >> 10)K" : "\(size)"
    }
}

private func decimal(_ value: Double, _ digits: Int) -> String { NumberFormat.fixed(value, digits) }
