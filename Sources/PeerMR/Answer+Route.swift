// SPDX-License-Identifier: Apache-2.0

public import PCITopology

extension Answer {
    /// What a route comes to: the reasons that decide it, and the first remedy among them.
    public init(_ path: Route) {
        switch path.verdict.isSupported {
        case true?:
            let how =
                switch path.verdict.mapType {
                case .busAddress: "the kernel maps it by bus address: requests stay below the root complex"
                case .throughHostBridge: "the kernel maps it through the host bridge"
                case .notSupported, .unknown:
                    "the kernel allows it, by bus address or through the host bridge: which one could not be read"
                }
            self.init(.yes, how)
        case false?: self.init(.no, path.findings, deciding: path.isReason)
        case nil: self.init(.unknown, path.findings, deciding: \.isInconclusive)
        }
    }

    private init(_ outcome: Outcome, _ findings: [Finding], deciding: (Finding) -> Bool) {
        let reasons = findings.filter(deciding)
        let reason = Self.reason(reasons.isEmpty ? findings : reasons)
        self.init(outcome, reason, remedy: reasons.compactMap(\.remedy).first)
    }

    /// All reasons in a sentence, where functions that redirect are one: the findings have each by itself.
    private static func reason(_ findings: [Finding]) -> String {
        let redirecting = findings.filter { $0.code == .acsRedirect }.compactMap(\.device)
        guard redirecting.count > 1, let last = redirecting.last else {
            return findings.map(\.detail).joined(separator: "; ")
        }
        var details = findings.filter { $0.code != .acsRedirect }.map(\.detail)
        let others = redirecting.dropLast().joined(separator: ", ")
        let place = findings.prefix { $0.code != .acsRedirect }.count
        details.insert("\(others) and \(last) send peer-to-peer requests up to the root complex", at: place)
        return details.joined(separator: "; ")
    }
}
