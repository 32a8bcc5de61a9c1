// SPDX-License-Identifier: Apache-2.0

import ArgumentParser
import CommandSupport
import PCITopology
import PeerMR
import PeerMRCore

struct Doctor: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "doctor",
        abstract: "Tells what stands between this machine's NICs and peer memory, worst first, with the command "
            + "that mends it.",
        discussion: """
            Exit status: 0 where nothing stands in the way, 1 where something does, 2 for a usage or input \
            error. Limits of this process, libraries and what a NIC can do are looked at on the running machine only.
            """)

    @OptionGroup var common: CommonOptions

    func run() throws {
        try common.run { () throws(PeerMRError) -> Int32 in
            let machine = Machine(try common.system())
            var ailments = Ailment.ofTheKernel(machine) + Ailment.ofTheDevices(machine)
            ailments += Ailment.ofTheRoutes(machine)
            if machine.root.isLive { ailments += Ailment.ofTheProcess(machine) }
            // Sorting by weight keeps the order among those of one weight.
            let sorted = Ailment.Weight.allCases.flatMap { weight in ailments.filter { $0.weight == weight } }
            if common.json {
                printJSON(.object([("ailments", .list(sorted.map(\.json)))]))
            } else {
                writeAll(1, Self.text(sorted))
            }
            return sorted.contains { $0.weight != .note } ? 1 : 0
        }
    }

    private static func text(_ ailments: [Ailment]) -> String {
        if ailments.isEmpty { return "Nothing stands in the way.\n" }
        var rows: [[String]] = []
        for ailment in ailments {
            rows.append([ailment.weight.rawValue, ailment.detail])
            if let remedy = ailment.remedy { rows.append(["", "→ \(remedy)"]) }
        }
        return Table.plain(rows, indent: 0)
    }
}

/// Something that stands in the way.
struct Ailment {
    /// How bad it is, worst first.
    enum Weight: String, CaseIterable {
        /// Nothing can work before it is mended.
        case blocks
        /// Some devices or routes cannot work.
        case limits
        /// It cannot be known whether something is in the way.
        case unknown
        /// Worth knowing, and not in the way.
        case note
    }

    let weight: Weight
    let code: String
    let device: String?
    let detail: String
    let remedy: String?

    init(_ weight: Weight, _ code: String, _ device: String? = nil, _ detail: String, remedy: String? = nil) {
        self.weight = weight
        self.code = code
        self.device = device
        self.detail = detail
        self.remedy = remedy
    }

    var json: JSONValue {
        .object([
            ("weight", .text(weight.rawValue)), ("code", .text(code)), ("device", .optional(device)),
            ("detail", .text(detail)), ("remedy", .optional(remedy)),
        ])
    }
}
