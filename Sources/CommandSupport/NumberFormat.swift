// SPDX-License-Identifier: Apache-2.0

/// Numbers for people, without Foundation.
package enum NumberFormat {
    /// Nanoseconds as microseconds, with three significant digits.
    package static func microseconds(_ nanoseconds: UInt64) -> String {
        significant(Double(nanoseconds) / 1000)
    }

    /// A number with three significant digits: 0.0123, 1.23, 12.3, 123, 12345.
    package static func significant(_ value: Double) -> String {
        let size = abs(value)
        if size == 0 { return "0" }
        return fixed(value, size >= 100 ? 0 : size >= 10 ? 1 : size >= 1 ? 2 : 3)
    }

    /// A number of things: `1 round`, `3 rounds`.
    package static func count(_ number: Int, _ noun: String) -> String { "\(number) \(noun)\(number == 1 ? "" : "s")" }

    /// A number with the given count of decimals; `?` for what is too large or no number.
    package static func fixed(_ value: Double, _ digits: Int) -> String {
        guard value.isFinite, abs(value) < 1e15 else { return "?" }
        var scale: Int64 = 1
        for _ in 0..<digits { scale *= 10 }
        let scaled = Int64((value * Double(scale)).rounded())
        let whole = abs(scaled) / scale
        let sign = scaled < 0 ? "-" : ""
        guard digits > 0 else { return "\(sign)\(whole)" }
        let rest = String(abs(scaled) % scale)
        return "\(sign)\(whole)." + String(repeating: "0", count: digits - rest.count) + rest
    }
}
