// SPDX-License-Identifier: Apache-2.0

import PCITopology
import PeerMR
import PeerMRCore

/// The routes from NICs to providers that do not work, or not for certain, by what they have in common.
struct RouteProblems {
    struct Pair: Hashable {
        let client: PCIAddress
        let provider: PCIAddress
    }

    /// Routes for which the same kinds of findings decide.
    struct Group {
        let severity: Diagnosis.Severity
        let codes: [Finding.Code]
        /// Each once, in the order in which they were found.
        var findings: [Finding] = []
        var pairs: [Pair] = []
    }

    private let topology: Topology
    /// How many routes were looked at.
    private(set) var total = 0
    /// How many there are besides these: more than ``MachineLimits/examinedRoutes``.
    private(set) var unexamined = 0
    /// Those that are refused or not known.
    private(set) var groups: [Group] = []
    /// Those that are allowed and go up to the host bridge, although their ends meet below it: something redirects.
    private(set) var detours = Group(severity: .note, codes: [.acsRedirect])
    /// Each finding once, with the pairs that it is about.
    private var firsts: [(severity: Diagnosis.Severity, finding: Finding, pairs: [Pair])] = []
    private var places: [Finding: Int] = [:]

    /// - Parameter limit: the most routes that are looked at.
    init(_ machine: Machine, limit: Int = MachineLimits.examinedRoutes) {
        topology = machine.topology
        let pools = topology.functions.filter { $0.poolBytes != nil }.map(\.address)
        let providers = pools.isEmpty ? machine.providers : pools
        for nic in Set(machine.rdma.flatMap(\.attachment.functions)).sorted() {
            for provider in providers where provider != nic {
                guard total < limit else {
                    unexamined += 1
                    continue
                }
                total += 1
                let route = topology.route(from: nic, to: provider)
                    .forBuffers(of: pools.isEmpty ? topology.function(at: provider) : nil)
                add(route, Pair(client: nic, provider: provider))
            }
        }
    }

    /// What is told of the whole machine is not told of each route.
    private static let ofTheMachine: [Finding.Code] = [
        .noPeerToPeer, .peerToPeerUnknown, .confidentialGuest, .bounceBuffers, .memoryEncryption, .xen, .platformDMA,
    ]

    private mutating func add(_ route: Route, _ pair: Pair) {
        guard let severity = Self.severity(of: route) else {
            let redirects = route.findings.filter { $0.code == .acsRedirect }
            let meets = route.findings.contains { $0.code == .commonUpstream }
            if route.verdict.mapType == .throughHostBridge, meets, !redirects.isEmpty {
                detours.add(redirects, pair)
            }
            return
        }
        let deciding = route.findings.filter { finding in
            if Self.ofTheMachine.contains(finding.code) { return false }
            if severity == .unknown { return finding.isInconclusive || finding.remedy != nil }
            // A host bridge has no remedy of its own.
            return route.isReason(finding) && (finding.remedy != nil || finding.code == .hostBridgeNotListed)
        }
        if deciding.isEmpty { return }
        for finding in deciding {
            let known = finding.with(remedy: nil)
            if let place = places[known] {
                firsts[place].pairs.append(pair)
            } else {
                places[known] = firsts.count
                firsts.append((severity, finding, [pair]))
            }
        }
        let codes = deciding.reduce(into: [Finding.Code]()) { codes, finding in
            if !codes.contains(finding.code) { codes.append(finding.code) }
        }
        let index = groups.firstIndex { $0.severity == severity && $0.codes == codes }
        if index == nil { groups.append(Group(severity: severity, codes: codes)) }
        groups[index ?? groups.count - 1].add(deciding, pair)
    }

    private static func severity(of route: Route) -> Diagnosis.Severity? {
        switch route.verdict.isSupported {
        case true?: nil
        case false?: .limits
        case nil: .unknown
        }
    }
}

extension RouteProblems.Group {
    fileprivate mutating func add(_ found: [Finding], _ pair: RouteProblems.Pair) {
        pairs.append(pair)
        for finding in found.map({ $0.with(remedy: $0.code == .acsRedirect ? nil : $0.remedy) })
        where !findings.contains(finding) { findings.append(finding) }
    }
}

// MARK: - The boot parameter

extension RouteProblems {
    /// The parameter for all functions that redirect on routes that it would mend.
    var parameter: ACSParameter {
        parameter(firsts.filter { $0.finding.code == .acsRedirect && $0.finding.remedy != nil }.map(\.finding))
    }

    /// The parameter for the functions that make routes longer than they need to be.
    var detourParameter: ACSParameter { parameter(detours.findings) }

    /// The routes that redirection keeps from working, or from being known to work.
    var redirected: [Pair] {
        groups.filter { group in group.codes.contains(.acsRedirect) }.flatMap(\.pairs)
    }

    private func parameter(_ findings: [Finding]) -> ACSParameter {
        let addresses = Set(findings.compactMap { $0.device.flatMap { PCIAddress($0) } }).sorted()
        return ACSParameter(addresses.compactMap { topology.function(at: $0) })
    }
}

// MARK: - One diagnosis for each finding

extension RouteProblems {
    /// For programs: each finding with the first route that it is about, and all of them.
    var diagnoses: [Diagnosis] {
        let parameter = parameter
        return firsts.compactMap { severity, finding, pairs in
            guard let first = pairs.first else { return nil }
            let isRedirect = finding.code == .acsRedirect && finding.remedy != nil
            return Diagnosis(
                severity, finding.code.rawValue, finding.device,
                "\(first.client) to \(first.provider): \(finding.detail)",
                remedy: isRedirect ? Finding.withoutRedirection(parameter) : finding.remedy, routes: pairs)
        } + detourDiagnosis + unexaminedDiagnosis
    }

    /// That not all routes were looked at.
    var unexaminedDiagnosis: [Diagnosis] {
        if unexamined == 0 { return [] }
        return [
            Diagnosis(
                .unknown, "routesNotExamined", nil,
                "\(unexamined) of \(total + unexamined) routes were not looked at, because the machine is so large",
                remedy: "see peermr topology for all of them")
        ]
    }

    private var detourDiagnosis: [Diagnosis] {
        if detours.pairs.isEmpty { return [] }
        let devices = detours.findings.compactMap(\.device)
        return [
            Diagnosis(
                .note, "acsDetour", devices.joined(separator: ", "),
                "the ends of \(detours.pairs.count) routes meet below the root complex, and requests go up to it "
                    + "because \(devices.count) functions redirect them (ACS)",
                remedy: Finding.withoutRedirection(detourParameter), routes: detours.pairs)
        ]
    }
}
