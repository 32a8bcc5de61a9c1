// SPDX-License-Identifier: Apache-2.0

import CommandSupport
import PCITopology
import PeerMRCore

/// A machine for Graphviz: the tree with one box for functions that are alike, the routes of some clients, and a heat
/// map of all verdicts.
struct DotPicture {
    private let matrix: Matrix
    private let clients: [PCIAddress]
    private let boxes: [DotBox]

    /// - Parameter clients: those whose routes are drawn.
    init(_ matrix: Matrix, routesOf clients: [PCIAddress]) {
        self.matrix = matrix
        self.clients = clients
        boxes = DotBox.all(of: matrix, apart: Set(clients))
    }

    /// How many boxes there are.
    var boxCount: Int { boxes.count }

    var text: String {
        var text = """
            digraph peermr {
              rankdir=LR;
              node [shape=box, fontname="sans-serif", fontsize=10];
              edge [fontname="sans-serif", fontsize=9];

            """
        for box in boxes {
            let label = box.lines.map { DotPicture.quoted($0) }.joined(separator: "\\n")
            text += "  \"\(box.name)\" [label=\"\(label)\", style=filled, fillcolor=\"\(box.color)\"];\n"
            if let above = box.above { text += "  \"\(above)\" -> \"\(box.name)\" [arrowhead=none];\n" }
        }
        text += clients.map(routes).joined()
        return text + "  map [shape=plain, label=<\(HeatMap(matrix).html)>];\n}\n"
    }

    /// One line from a client to each switch where it has one verdict on all below it, else to each box there.
    private func routes(of client: PCIAddress) -> String {
        guard let row = matrix.clients.firstIndex(of: client),
            let from = boxes.first(where: { $0.members.contains(client) })
        else { return "" }
        let verdicts = Dictionary(uniqueKeysWithValues: zip(matrix.providers, matrix.verdicts[row]))
        var text = ""
        for above in boxes where boxes.contains(where: { $0.above == above.name && !$0.members.isEmpty }) {
            let below = boxes.filter { $0.above == above.name }
            let all = Self.counted(below.flatMap(\.members).filter { $0 != client }.compactMap { verdicts[$0] })
            if all.count == 1 {
                text += line(from, above, all[0])
            } else {
                for box in below {
                    let found = box.members.filter { $0 != client }.compactMap { verdicts[$0] }
                    for group in Self.counted(found) { text += line(from, box, group) }
                }
            }
        }
        return text
    }

    private typealias Group = (verdict: Verdict, count: Int)

    /// How often each verdict comes, by its words.
    private static func counted(_ verdicts: [Verdict]) -> [Group] {
        Dictionary(grouping: verdicts, by: \.style.words).sorted { $0.key < $1.key }.map {
            ($0.value[0], $0.value.count)
        }
    }

    private func line(_ from: DotBox, _ to: DotBox, _ group: Group) -> String {
        let (words, color, _) = group.verdict.style
        let label = group.count == 1 ? words : "\(words) (\(group.count))"
        let line = group.verdict.isSupported == true ? "solid" : "dashed"
        return "  \"\(from.name)\" -> \"\(to.name)\" [constraint=false, color=\"\(color)\", fontcolor=\"\(color)\", "
            + "style=\(line), label=\"\(label)\"];\n"
    }

    /// Graphviz knows escapes in labels, and entities of HTML.
    private static func quoted(_ text: String) -> String {
        text.printable.map { character in
            switch character {
            case "\"", "\\": "\\\(character)"
            case "&": "&amp;"
            default: String(character)
            }
        }.joined()
    }
}

extension Verdict {
    /// The words for a route, the color of its line, and that of its cell.
    var style: (words: String, color: String, fill: String) {
        if isSupported == nil, mapType != .notSupported { return ("not known", "#9a6700", "#f7e3a1") }
        return switch mapType {
        case .busAddress: ("by bus address", "#1a7f37", "#a6e9b8")
        case .throughHostBridge: ("through the host bridge", "#0969da", "#b6dcff")
        case .notSupported: ("refused", "#cf222e", "#ffc1bc")
        case .unknown: ("allowed, either way", "#1a7f37", "#d6f5de")
        }
    }
}
