// SPDX-License-Identifier: Apache-2.0

import ArgumentParser
import CommandSupport
import PCITopology
import PeerMR
import PeerMRCore

struct Check: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "check",
        abstract: "Tells whether a client can reach a provider's memory: four answers, and what led to them.",
        discussion: """
            The exit status is the route's: 0 supported, 1 not supported, 3 unknown; 2 for a usage or input \
            error. A route is unknown where the kernel's decision depends on an input that cannot be read, such as \
            configuration space without root or how the kernel was built, and where the driver that exports the \
            memory does not ask the kernel. The other three answers do not change the status; the first line says \
            where the API or the exporter is missing.
            """)

    @Argument(
        help: "The PCI address of the device whose memory is used, such as 0000:03:00.0.",
        completion: Completions.providers)
    var provider: String
    @Argument(
        help: ArgumentHelp(
            "The device that reads or writes it: an RDMA device (mlx5_0), a block device (nvme1n1, /dev/nvme1n1p1), an "
                + "NVMe controller (nvme1) or a PCI address."),
        completion: Completions.clients)
    var client: String
    @OptionGroup var common: CommonOptions

    func run() throws {
        try common.run { () throws(PeerMRError) -> Int32 in
            let root = try common.system()
            let address = try DeviceArgument.provider(provider, root)
            let device = try DeviceArgument.client(client, root)
            let assessment = Assessment(of: address, for: device, root: root)
            let attachment = device.attachment(root: root)
            let functions = assessment.dataDirectFunction.map { [$0] } ?? attachment?.functions ?? []
            let report = CheckReport(
                provider: address, client: device, functions: functions, assessment: assessment)
            if common.json { printJSON(report.json) } else { writeAll(1, report.text(.standardOutput)) }
            return report.status
        }
    }
}

/// What `peermr check` found.
struct CheckReport {
    let provider: PCIAddress
    let client: Client
    let functions: [PCIAddress]
    let assessment: Assessment

    var verdict: Verdict { assessment.path?.verdict ?? .unknown }

    /// The exit status: that of the route.
    var status: Int32 {
        switch verdict.isSupported {
        case true?: Status.supported
        case false?: Status.notSupported
        case nil: Status.unknown
        }
    }

    private var answers: [(String, Answer)] {
        [
            ("api", assessment.api), ("exporter", assessment.exporter), ("route", assessment.route),
            ("data", assessment.data),
        ]
    }

    var json: JSONValue {
        .object([
            ("provider", .text("\(provider)")), ("client", .text("\(client)")),
            ("clientFunction", .optional(functions.first.map { "\($0)" })),
            ("mapType", .text(verdict.mapType.rawValue)),
            ("supported", verdict.isSupported.map { .flag($0) } ?? .null),
            ("distance", verdict.distance < 0 ? .null : .count(verdict.distance)),
            ("answers", .object(answers.map { ($0, $1.json) })),
            ("findings", .list((assessment.path?.findings ?? []).map(\.json))),
        ])
    }

    /// What the route comes to, which the exit status says too; without a word of support where something else is
    /// missing.
    private var outcome: String {
        let missing = [("API", assessment.api), ("exporter", assessment.exporter)].filter { $1.outcome == .no }
            .map(\.0).joined(separator: " and ")
        switch verdict.isSupported {
        case false?: return "not supported"
        case true? where missing.isEmpty: return "supported"
        case true?: return "not usable: the route would be allowed, the \(missing) is not there"
        case nil: return missing.isEmpty ? "unknown" : "not usable: the route is unknown, the \(missing) is not there"
        }
    }

    func text(_ style: TextStyle) -> String {
        let distance = verdict.distance < 0 ? "" : ", distance \(verdict.distance)"
        let names = functions.map { "\($0)" }.joined(separator: ", ")
        let place = names.isEmpty || "\(client)" == names ? "" : " (\(names))"
        var text = style.paragraph(
            "\(client)\(place) to the memory of \(provider): \(outcome) "
                + "(\(verdict.mapType.rawValue)\(distance))", color: .strong)
        var rows: [[Table.Cell]] = []
        for (name, answer) in answers {
            rows.append([.init(name), .init(answer.outcome.rawValue, answer.outcome.color), .init(answer.reason)])
            if let remedy = answer.remedy { rows.append(["", "", .init("→ \(remedy)", .good)]) }
        }
        text += "\n" + Table.fitted(rows, style, indent: 2)
        return text + "\nFindings:\n" + Table.fitted(findingRows, style, indent: 2)
    }

    /// What led to the route; a remedy that several have, or an answer, stands once.
    private var findingRows: [[Table.Cell]] {
        let findings = assessment.path?.findings ?? []
        var told = Set(answers.compactMap(\.1.remedy))
        var rows: [[Table.Cell]] = []
        for (index, finding) in findings.enumerated() {
            rows.append([.init(finding.code.rawValue), .init(finding.detail)])
            guard let remedy = finding.remedy, !findings[(index + 1)...].contains(where: { $0.remedy == remedy }),
                told.insert(remedy).inserted
            else { continue }
            rows.append(["", .init("→ \(remedy)", .good)])
        }
        return rows
    }
}

extension Answer.Outcome {
    var color: TextStyle.Color {
        switch self {
        case .yes: .good
        case .no: .bad
        case .unknown: .unsure
        }
    }
}

extension Answer {
    var json: JSONValue {
        .object([
            ("answer", .text(outcome.rawValue)), ("reason", .text(reason)),
            ("remedy", .optional(remedy)),
        ])
    }
}

extension Finding {
    var json: JSONValue {
        .object([
            ("code", .text(code.rawValue)), ("device", .optional(device)), ("detail", .text(detail)),
            ("remedy", .optional(remedy)),
        ])
    }
}
