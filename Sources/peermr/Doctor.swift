// SPDX-License-Identifier: Apache-2.0

import ArgumentParser
import CommandSupport
import PCITopology
import PeerMR
import PeerMRCore

struct Doctor: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "doctor",
        abstract: "Tells why NICs cannot use peer memory here, worst first, and how to fix it.",
        discussion: """
            Exit status: 0 where nothing was found, 1 where something was, 2 for a usage or input \
            error. Limits of this process, libraries and abilities of NICs are checked on the running machine only.
            """)

    @OptionGroup var common: CommonOptions

    func run() throws {
        try common.run { () throws(PeerMRError) -> Int32 in
            let machine = Machine(try common.system())
            var diagnoses = Diagnosis.ofTheKernel(machine) + Diagnosis.ofTheDevices(machine)
            diagnoses += Diagnosis.ofTheRoutes(machine)
            if machine.root.isLive { diagnoses += Diagnosis.ofTheProcess(machine) }
            // Sorting by severity keeps the order among those of one severity.
            let sorted = Diagnosis.Severity.allCases.flatMap { severity in diagnoses.filter { $0.severity == severity }
            }
            if common.json {
                printJSON(.object([("ailments", .list(sorted.map(\.json)))]))
            } else {
                writeAll(1, Self.text(sorted))
            }
            return sorted.contains { $0.severity != .note } ? 1 : 0
        }
    }

    private static func text(_ diagnoses: [Diagnosis]) -> String {
        if diagnoses.isEmpty { return "Nothing was found that keeps NICs from using peer memory.\n" }
        var rows: [[String]] = []
        for diagnosis in diagnoses {
            rows.append([diagnosis.severity.rawValue, diagnosis.detail])
            if let remedy = diagnosis.remedy { rows.append(["", "→ \(remedy)"]) }
        }
        return Table.plain(rows, indent: 0)
    }
}

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

    init(_ severity: Severity, _ code: String, _ device: String? = nil, _ detail: String, remedy: String? = nil) {
        self.severity = severity
        self.code = code
        self.device = device
        self.detail = detail
        self.remedy = remedy
    }

    var json: JSONValue {
        .object([
            ("weight", .text(severity.rawValue)), ("code", .text(code)), ("device", .optional(device)),
            ("detail", .text(detail)), ("remedy", .optional(remedy)),
        ])
    }
}
