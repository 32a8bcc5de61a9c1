// SPDX-License-Identifier: Apache-2.0

/// How a client reaches a provider, with the findings that led there.
public struct Route: Hashable, Sendable {
    /// The kernel's answer.
    public let verdict: Verdict
    /// What led to it, in the order in which the kernel looks.
    public let findings: [Finding]

    /// A route given by its parts.
    public init(verdict: Verdict, findings: [Finding]) {
        self.verdict = verdict
        self.findings = findings
    }

    /// A route that cannot be told, for a reason.
    static func unknown(_ finding: Finding) -> Route {
        Route(
            verdict: Verdict(mapType: .unknown, isSupported: nil, distance: -1), findings: [finding])
    }

    /// A route that does not exist, for a reason.
    static func none(_ finding: Finding) -> Route {
        Route(
            verdict: Verdict(mapType: .notSupported, isSupported: false, distance: -1),
            findings: [finding])
    }
}
