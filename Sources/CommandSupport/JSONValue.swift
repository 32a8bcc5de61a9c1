// SPDX-License-Identifier: Apache-2.0

internal import PeerMRCore

/// A value of the JSON that programs read.
package enum JSONValue: Sendable {
    case text(String)
    case integer(Int64)
    case number(Double)
    case flag(Bool)
    case list([JSONValue])
    /// Fields in the order in which they are written.
    case object([(String, JSONValue)])
    case null

    /// A text, or null.
    package static func optional(_ text: String?) -> JSONValue { text.map { .text($0) } ?? .null }

    /// A count; one beyond 63 bits is written as the largest that fits.
    package static func count(_ value: some BinaryInteger) -> JSONValue {
        .integer(Int64(clamping: value))
    }

    /// The value on one line.
    package var encoded: String {
        var text = ""
        append(to: &text)
        return text
    }

    /// All into one text: a matrix has a hundred thousand values.
    private func append(to text: inout String) {
        switch self {
        case .text(let value): text += Self.quote(value)
        case .integer(let value): text += String(value)
        case .number(let value): text += value.isFinite ? String(value) : "null"
        case .flag(let value): text += value ? "true" : "false"
        case .list(let values):
            text += "["
            for (index, value) in values.enumerated() {
                if index > 0 { text += ", " }
                value.append(to: &text)
            }
            text += "]"
        case .object(let fields):
            text += "{"
            for (index, field) in fields.enumerated() {
                text += index > 0 ? ", " : ""
                text += Self.quote(field.0)
                text += ": "
                field.1.append(to: &text)
            }
            text += "}"
        case .null: text += "null"
        }
    }

    /// A string of JSON that is safe on a terminal, too: what is not printable is an escape, and comes back as it was.
    private static func quote(_ text: String) -> String {
        // Most texts are plain.
        let isPlain = text.utf8.allSatisfy { (0x20...0x7e).contains($0) && $0 != 0x22 && $0 != 0x5c }
        if isPlain { return "\"" + text + "\"" }
        var quoted = "\""
        for scalar in text.unicodeScalars {
            switch scalar {
            case "\"": quoted += "\\\""
            case "\\": quoted += "\\\\"
            case "\n": quoted += "\\n"
            case _ where scalar.isPrintable: quoted.unicodeScalars.append(scalar)
            default: quoted += UTF16.encode(scalar)?.map(escape).joined() ?? ""
            }
        }
        return quoted + "\""
    }

    private static func escape(_ unit: UInt16) -> String {
        let digits = String(unit, radix: 16)
        return "\\u" + String(repeating: "0", count: 4 - digits.count) + digits
    }
}
