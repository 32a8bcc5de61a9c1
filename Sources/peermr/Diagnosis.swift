// SPDX-License-Identifier: Apache-2.0

import CommandSupport

/// A reason why peer memory does not work here, or only in part.
struct Diagnosis {
    /// How bad it is, worst first.
    enum Severity: String, CaseIterable {
        /// Nothing can work before it is fixed.
        case blocks
        /// Some devices or routes cannot work.
        case limits
        /// It cannot be known whether something blocks.
        case unknown
        /// Worth knowing; nothing is blocked.
        case note
    }

    let severity: Severity
    let code: String
    let device: String?
    let detail: String
    let remedy: String?
    /// The routes that it is about; nil where it is about none.
    let routes: [RouteProblems.Pair]?

    init(
        _ severity: Severity, _ code: String, _ device: String? = nil, _ detail: String, remedy: String? = nil,
        routes: [RouteProblems.Pair]? = nil
    ) {
        self.severity = severity
        self.code = code
        self.device = device
        self.detail = detail
        self.remedy = remedy
        self.routes = routes
    }

    var json: JSONValue {
        .object(
            [
                ("weight", .text(severity.rawValue)), ("code", .text(code)), ("device", .optional(device)),
                ("detail", .text(detail)), ("remedy", .optional(remedy)),
            ] + (routes.map { [("routes", .list($0.map(\.json)))] } ?? []))
    }
}

extension RouteProblems.Pair {
    var json: JSONValue {
        .object([("client", .text("\(client)")), ("provider", .text("\(provider)"))])
    }
}
