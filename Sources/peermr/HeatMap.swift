// SPDX-License-Identifier: Apache-2.0

import CommandSupport
import PCITopology
import PeerMRCore

/// All verdicts as a table for a Graphviz label: a row for each client, a column for each provider; of a large machine
/// for each kind of place (see ``Places``).
struct HeatMap {
    private let matrix: Matrix

    init(_ matrix: Matrix) { self.matrix = matrix }

    var html: String {
        let text = "<table border=\"0\" cellborder=\"0\" cellspacing=\"1\" cellpadding=\"4\">\n"
        return text + (matrix.isLarge ? byPlaces : whole) + legend + "</table>"
    }

    private var whole: String {
        var text = "<tr><td align=\"left\">client \\ provider</td>"
        for provider in matrix.providers { text += "<td>\(label(provider, separator: "<br/>"))</td>" }
        text += "</tr>\n"
        for (row, client) in matrix.clients.enumerated() {
            let verdicts = matrix.verdicts[row]
            text += "<tr><td align=\"left\">\(label(client, separator: " "))</td>"
            for (provider, verdict) in zip(matrix.providers, verdicts) {
                text +=
                    provider == client
                    ? "<td></td>" : "<td bgcolor=\"\(verdict.style.fill)\">\(verdict.cell)</td>"
            }
            text += "</tr>\n"
        }
        return text
    }

    private var byPlaces: String {
        let clients = Set(matrix.clients)
        let providers = Set(matrix.providers)
        let places = matrix.places
        func members(_ kind: Places.Kind, _ ends: Set<PCIAddress>) -> [PCIAddress] {
            kind.places.flatMap(\.members).filter(ends.contains).sorted()
        }
        let from = places.kinds.filter { !members($0, clients).isEmpty }
        let to = places.kinds.filter { !members($0, providers).isEmpty }
        guard from.count * to.count <= MachineLimits.cells else {
            return "<tr><td>a map of \(from.count) by \(to.count) places is too large to be drawn: see peermr topology"
                + "</td></tr>\n"
        }
        func label(_ addresses: [PCIAddress]) -> String {
            Wrapping.lines(NameList.text(addresses.map(matrix.machine.name)), columns: 40).map(HeatMap.quoted)
                .joined(separator: "<br/>")
        }
        var text = "<tr><td align=\"left\">client \\ provider</td>"
        for kind in to { text += "<td>\(label(members(kind, providers)))</td>" }
        text += "</tr>\n"
        for client in from {
            text += "<tr><td align=\"left\">\(label(members(client, clients)))</td>"
            for provider in to { text += cell(from: client, to: provider, places) }
            text += "</tr>\n"
        }
        return text
    }

    /// One verdict, or within one place and between two of them.
    private func cell(from client: Places.Kind, to provider: Places.Kind, _ places: Places) -> String {
        func filled(_ verdict: Verdict, _ words: String) -> String {
            "<td bgcolor=\"\(verdict.style.fill)\">\(verdict.cell)\(words)</td>"
        }
        guard client.places[0].number == provider.places[0].number else {
            return filled(places.verdict(from: client, to: provider), "")
        }
        let found = [
            client.places[0].within.map { filled($0, client.between == nil ? "" : " within one place") },
            client.between.map { filled($0, " between two") },
        ].compactMap(\.self)
        if found.isEmpty { return "<td></td>" }
        return found.count == 1
            ? found[0]
            : "<td><table border=\"0\" cellborder=\"0\">" + found.map { "<tr>\($0)</tr>" }.joined() + "</table></td>"
    }

    private var legend: String {
        let verdicts = matrix.isLarge ? Array(matrix.routes.keys) : matrix.verdicts.distinct()
        // Of several with the same words any will do, as long as it is always the same.
        let sorted = verdicts.sorted { $0.cell > $1.cell }
        let shown = Dictionary(sorted.map { ($0.style.words, $0) }) { first, _ in first }
        return shown.sorted { $0.key < $1.key }.map { words, verdict in
            "<tr><td bgcolor=\"\(verdict.style.fill)\">\(verdict.cell.prefix { $0 != ":" })</td>"
                + "<td align=\"left\" colspan=\"\(max(matrix.providers.count, 1))\">\(words)</td></tr>\n"
        }.joined()
    }

    /// An address, without the domain where all have the same, and the names of the devices on it.
    private func label(_ address: PCIAddress, separator: String) -> String {
        let text = "\(address)"
        let short = text.hasPrefix("0000:") ? String(text.dropFirst(5)) : text
        return ([short] + matrix.machine.names(of: address)).map(HeatMap.quoted).joined(separator: separator)
    }

    private static func quoted(_ text: String) -> String {
        text.printable.map { character in
            switch character {
            case "&": "&amp;"
            case "<": "&lt;"
            case ">": "&gt;"
            case "\"": "&quot;"
            default: String(character)
            }
        }.joined()
    }
}
