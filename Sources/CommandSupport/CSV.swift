// SPDX-License-Identifier: Apache-2.0

internal import PeerMRCore

/// Comma-separated values, as RFC 4180 has them but for the line ends; fields are made printable.
package enum CSV {
    /// A line.
    package static func line(_ fields: [String]) -> String {
        fields.map(field).joined(separator: ",") + "\n"
    }

    private static func field(_ text: String) -> String {
        let text = text.printable
        guard text.utf8.contains(where: { $0 == 0x2c || $0 == 0x22 }) else { return text }
        return "\"" + text.split(separator: "\"", omittingEmptySubsequences: false).joined(separator: "\"\"") + "\""
    }
}
