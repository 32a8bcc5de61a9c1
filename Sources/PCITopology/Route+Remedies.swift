// SPDX-License-Identifier: Apache-2.0

internal import PeerMRCore

extension Route {
    /// The route with those remedies alone that it needs: none where the kernel allows it.
    ///
    /// - Parameter function: the function at an address.
    func withNeededRemedies(_ function: (PCIAddress) -> PCIFunction?) -> Route {
        let needed = findings.map { isNeeded($0) ? $0 : $0.with(remedy: nil) }
        return Route(verdict: verdict, findings: needed).withOneParameter(function)
    }

    /// Where several functions redirect, the remedy is one boot parameter that names them all: of several the kernel
    /// takes the last.
    func withOneParameter(_ function: (PCIAddress) -> PCIFunction?) -> Route {
        func redirects(_ finding: Finding) -> Bool { finding.code == .acsRedirect && finding.remedy != nil }
        let addresses = findings.filter(redirects).compactMap { $0.device.flatMap { PCIAddress($0) } }
        let parameter = ACSParameter(addresses.compactMap(function))
        if parameter.functions.isEmpty { return self }
        return Route(
            verdict: verdict,
            findings: findings.map {
                redirects($0) ? $0.with(remedy: Finding.withoutRedirection(parameter)) : $0
            })
    }

    /// Whether what a finding says keeps the route from working, or from being known to work.
    private func isNeeded(_ finding: Finding) -> Bool {
        if verdict.isSupported == true { return false }
        // Where nothing can be mapped at all, no other way helps.
        if refusesEveryWay, ![.confidentialGuest, .xen, .platformDMA].contains(finding.code) { return false }
        switch finding.code {
        case .acsRedirect: return !isHostBridgeAllowed
        // Where the bridges decide and are not known, they have it.
        case .noCommonUpstream: return !isHostBridgeAllowed && verdict.isSupported == false
        case .configUnreadable, .deadDevice:
            // One that redirects decides, whatever the others do.
            return !isHostBridgeAllowed && verdict.isSupported == nil
        // Where they meet below it, what sends the requests up to it has the remedy.
        case .hostBridgeUnknown: return !meetsBelow
        default: return true
        }
    }

    /// Whether a finding is a reason for the kernel to refuse. What sends requests up to a host bridge that is allowed
    /// is none.
    package func isReason(_ finding: Finding) -> Bool {
        finding.isBlocking && !([.noCommonUpstream, .acsRedirect].contains(finding.code) && isHostBridgeAllowed)
    }

    private var refusesEveryWay: Bool {
        verdict.isSupported == false && findings.contains { $0.code == .confidentialGuest && $0.isBlocking }
    }

    private var meetsBelow: Bool {
        findings.contains { $0.code == .commonUpstream || $0.code == .sameFunction }
    }

    private var isHostBridgeAllowed: Bool {
        let codes = findings.map(\.code)
        if codes.contains(.cpuAllows) { return true }
        return codes.contains(.hostBridgeListed)
            && !codes.contains { [.hostBridgeNotListed, .hostBridgeUnknown, .cpuUnknown].contains($0) }
    }
}

extension Finding {
    /// What keeps functions from sending requests up.
    package static func withoutRedirection(_ parameter: ACSParameter) -> String {
        let quoting = parameter.functions.count > 1 ? " (in quotes in GRUB's files, where ; ends a command)" : ""
        return "boot with \(parameter.redirection)\(quoting), or switch ACS redirection off in the firmware"
    }
}
