// SPDX-License-Identifier: Apache-2.0

extension StringProtocol {
    /// What a user wrote, in quotation marks and safe to print: at most 80 characters, without control characters.
    package var quoted: String {
        let shown = unicodeScalars.prefix(80).map { $0.value < 32 || $0.value == 127 ? "?" : String($0) }
        return "\"\(shown.joined())\""
    }
}
