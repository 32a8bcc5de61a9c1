// SPDX-License-Identifier: Apache-2.0

import CommandSupport
import PCITopology
import PeerMRCore

/// What `peermr doctor` found.
struct DoctorReport {
    let machine: Machine
    let diagnoses: [Diagnosis]
    let routes: RouteProblems

    /// Sorting by severity keeps the order among those of one severity.
    private func sorted<T>(_ all: [T], by severity: (T) -> Diagnosis.Severity) -> [T] {
        Diagnosis.Severity.allCases.flatMap { wanted in all.filter { severity($0) == wanted } }
    }

    private var all: [Diagnosis] {
        sorted(diagnoses + routes.diagnoses + Diagnosis.translation(machine)) { $0.severity }
    }

    /// The exit status.
    var status: Int32 { all.contains { $0.severity != .note } ? 1 : 0 }

    var json: JSONValue { .object([("ailments", .list(all.map(\.json)))]) }

    // MARK: Text

    func text(_ style: TextStyle) -> String {
        let system = diagnoses + Diagnosis.translation(machine) + routes.unexaminedDiagnosis
        var entries = Entry.folded(system) + routes.groups.map { Entry($0, machine, routes, style) }
        if !routes.detours.pairs.isEmpty { entries.append(Entry(detoursOf: routes, machine, style)) }
        if entries.isEmpty { return "Nothing was found that keeps NICs from using peer memory.\n" }
        entries = sorted(entries) { $0.severity }
        let rows: [[Table.Cell]] = entries.flatMap { [[Table.Cell("")]] + $0.rows }
        return style.paragraph(headline(entries), color: .strong) + Table.fitted(rows, style)
    }

    private func headline(_ entries: [Entry]) -> String {
        func count(_ severity: Diagnosis.Severity) -> Int { entries.count { $0.severity == severity } }
        let parts: [(Diagnosis.Severity, String, String)] = [
            (.blocks, "blocks everything", "block everything"), (.limits, "limits what works", "limit what works"),
            (.unknown, "cannot be known", "cannot be known"), (.note, "is worth knowing", "are worth knowing"),
        ]
        let counts = parts.filter { count($0.0) > 0 }.map { severity, one, many in
            "\(count(severity)) \(count(severity) == 1 ? one : many)"
        }
        let state =
            if count(.blocks) > 0 {
                "NICs cannot use peer memory here"
            } else if count(.limits) > 0 {
                "NICs can use peer memory here in part"
            } else if count(.unknown) > 0 {
                "Whether NICs can use peer memory here is not known for certain"
            } else {
                "Nothing was found that keeps NICs from using peer memory"
            }
        return "\(state): \(counts.joined(separator: ", "))."
    }
}

/// One thing that was found, as people read it.
struct Entry {
    let severity: Diagnosis.Severity
    let lines: [String]
    let remedies: [String]

    var rows: [[Table.Cell]] {
        let first = Table.Cell(severity.rawValue, severity.color)
        let texts = lines.map { Table.Cell($0) } + remedies.map { Table.Cell("→ \($0)", .good) }
        return texts.enumerated().map { index, cell in [index == 0 ? first : "", cell] }
    }
}

extension Diagnosis.Severity {
    var color: TextStyle.Color {
        switch self {
        case .blocks: .bad
        case .limits: .partial
        case .unknown: .unsure
        case .note: .other
        }
    }
}

// MARK: - Diagnoses that are alike

extension Entry {
    /// What is said of several devices in the same words is said once.
    static func folded(_ diagnoses: [Diagnosis]) -> [Entry] {
        var keys: [[String]] = []
        var alike: [[String]: [Diagnosis]] = [:]
        for diagnosis in diagnoses {
            let key = [
                diagnosis.severity.rawValue, diagnosis.code, diagnosis.withoutDevice(diagnosis.detail),
                diagnosis.withoutDevice(diagnosis.remedy ?? ""),
            ]
            if alike[key] == nil { keys.append(key) }
            alike[key, default: []].append(diagnosis)
        }
        return keys.compactMap { key in
            guard let all = alike[key], let first = all.first else { return nil }
            let others = NameList.text(all.dropFirst().compactMap(\.device))
            return Entry(
                severity: first.severity,
                lines: [others.isEmpty ? first.detail : "\(first.detail); the same holds for \(others)"],
                remedies: first.remedy.map { [$0] } ?? [])
        }
    }
}

extension Diagnosis {
    fileprivate func withoutDevice(_ text: String) -> String {
        guard let device, !device.isEmpty else { return text }
        return text.split(separator: device, omittingEmptySubsequences: false).joined(separator: "\u{0}")
    }
}

// MARK: - Routes

extension Entry {
    init(_ group: RouteProblems.Group, _ machine: Machine, _ routes: RouteProblems, _ style: TextStyle) {
        let count = NumberFormat.count(group.pairs.count, "route")
        let reasons = group.codes.map { code in Self.reason(code, group.findings.filter { $0.code == code }) }
        var remedies: [String] = []
        for finding in group.findings {
            if let remedy = finding.remedy, !remedies.contains(remedy) { remedies.append(remedy) }
        }
        let parameter = routes.parameter
        if group.codes.contains(.acsRedirect), !parameter.functions.isEmpty {
            remedies.insert(Self.remedy(parameter, style), at: 0)
        }
        self.init(
            severity: group.severity,
            lines: ["\(count) of \(routes.total): " + reasons.joined(separator: "; ")]
                + Self.ends(group.pairs, machine),
            remedies: remedies)
    }

    init(detoursOf routes: RouteProblems, _ machine: Machine, _ style: TextStyle) {
        let group = routes.detours
        let count = NumberFormat.count(group.pairs.count, "route")
        self.init(
            severity: .note,
            lines: [
                "\(count) of \(routes.total): the ends meet below the root complex, and requests go up to the host "
                    + "bridge all the same: " + Self.reason(.acsRedirect, group.findings)
            ] + Self.ends(group.pairs, machine),
            remedies: [
                routes.parameter.functions.isEmpty
                    ? Self.remedy(routes.detourParameter, style)
                    : "boot with a parameter for these too, where devices need no protection from each other"
            ])
    }

    /// The parameter, or where it is when it is too long for a line that can be copied.
    private static func remedy(_ parameter: ACSParameter, _ style: TextStyle) -> String {
        let margin = 12
        let shown =
            parameter.redirection.count + margin <= style.columns
            ? "boot with \(parameter.redirection)"
            : "boot with one parameter for all \(parameter.functions.count)"
        return "\(shown): peermr doctor --boot-parameters prints it as the boot loader needs it"
    }

    private static func reason(_ code: Finding.Code, _ findings: [Finding]) -> String {
        guard let first = findings.first else { return code.rawValue }
        let devices = Set(findings.compactMap(\.device)).sorted()
        if code == .noCommonUpstream { return "NIC and provider meet nowhere below the root complex" }
        if devices.count <= 1 { return first.detail }
        if code == .acsRedirect {
            return "\(devices.count) functions send peer-to-peer requests up to the root complex (ACS): "
                + NameList.text(devices)
        }
        return "\(first.detail); the same holds for \(NameList.text(devices.filter { $0 != first.device }))"
    }

    /// Which routes: clients that have the same providers in common.
    private static func ends(_ pairs: [RouteProblems.Pair], _ machine: Machine) -> [String] {
        var clients: [PCIAddress] = []
        var providers: [PCIAddress: [PCIAddress]] = [:]
        for pair in pairs {
            if providers[pair.client] == nil { clients.append(pair.client) }
            providers[pair.client, default: []].append(pair.provider)
        }
        var sets: [(clients: [PCIAddress], providers: [PCIAddress])] = []
        for client in clients {
            let wanted = providers[client] ?? []
            if let index = sets.firstIndex(where: { $0.providers == wanted }) {
                sets[index].clients.append(client)
            } else {
                sets.append(([client], wanted))
            }
        }
        let limit = 3
        let shown = sets.prefix(sets.count == limit + 1 ? limit + 1 : limit).map { set in
            func names(_ addresses: [PCIAddress]) -> String { NameList.text(addresses.map(machine.name), limit: 5) }
            return "\(names(set.clients)) to \(names(set.providers))"
        }
        let rest = sets.dropFirst(shown.count).flatMap(\.clients)
        return shown + (rest.isEmpty ? [] : ["and from \(NameList.text(rest.map(machine.name), limit: 5)) likewise"])
    }
}
