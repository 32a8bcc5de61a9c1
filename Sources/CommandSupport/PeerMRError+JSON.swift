// SPDX-License-Identifier: Apache-2.0

package import PeerMRCore
internal import SystemPackage

extension PeerMRError {
    /// Code, reason and remedy; the origin where there is one.
    package var jsonFields: [(String, JSONValue)] {
        [
            ("code", .text(code.jsonName)), ("reason", .text(reason)), ("remedy", .optional(remedy)),
        ] + (origin.map { [("origin", .text($0.rawValue))] } ?? [])
    }

    /// The same, with the call that failed and its errno.
    package var json: JSONValue {
        .object(
            jsonFields + [
                ("call", .optional(call)),
                ("errno", errno.map { .integer(Int64($0.rawValue)) } ?? .null),
            ])
    }
}
