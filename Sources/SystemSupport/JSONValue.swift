// SPDX-License-Identifier: Apache-2.0

internal import Glibc

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
        switch self {
        case .text(let text): Self.quote(text)
        case .integer(let value): String(value)
        case .number(let value): value.isFinite ? String(value) : "null"
        case .flag(let value): value ? "true" : "false"
        case .list(let values): "[" + values.map(\.encoded).joined(separator: ", ") + "]"
        case .object(let fields):
            "{" + fields.map { "\(Self.quote($0)): \($1.encoded)" }.joined(separator: ", ") + "}"
        case .null: "null"
        }
    }

    private static func quote(_ text: String) -> String {
        // Most texts are plain: a matrix has a hundred thousand of them.
        if text.utf8.allSatisfy({ $0 >= 32 && $0 != 0x22 && $0 != 0x5c }) { return "\"" + text + "\"" }
        var quoted = "\""
        for scalar in text.unicodeScalars {
            switch scalar {
            case "\"": quoted += "\\\""
            case "\\": quoted += "\\\\"
            case "\n": quoted += "\\n"
            case _ where scalar.value < 32:
                let digits = String(scalar.value, radix: 16)
                quoted += "\\u" + String(repeating: "0", count: 4 - digits.count) + digits
            default: quoted.unicodeScalars.append(scalar)
            }
        }
        return quoted + "\""
    }
}

/// Writes a text to a descriptor; a closed pipe ends the output, not the program's work.
package func writeAll(_ descriptor: Int32, _ text: String) {
    var bytes = Array(text.utf8)[...]
    while !bytes.isEmpty {
        let count = unsafe bytes.withUnsafeBytes { buffer in
            unsafe write(descriptor, buffer.baseAddress, buffer.count)
        }
        guard count > 0 else { return }
        bytes = bytes.dropFirst(count)
    }
}
