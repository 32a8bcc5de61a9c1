// SPDX-License-Identifier: Apache-2.0

import PCITopology
import PeerMRCore

/// The part of the tree that leads to clients and providers, with the routes between them.
struct TreePart {
    let matrix: Matrix
    /// Functions that are client, provider or above one, in the order of a walk from the root.
    let functions: [PCIFunction]
    /// Routes between different functions, each pair once where both ways have the same verdict.
    let routes: [(client: PCIAddress, provider: PCIAddress, verdict: Verdict)]

    init(_ matrix: Matrix) {
        self.matrix = matrix
        let topology = matrix.machine.topology
        let ends = Set(matrix.clients + matrix.providers).compactMap { topology.function(at: $0) }
        let shown = Set(ends.flatMap(\.chain)).compactMap { topology.function(at: $0) }
        // From the root bus down, so that what is below something follows it.
        functions = shown.sorted { a, b in
            (a.rootBus, TreePart.way(a)) < (b.rootBus, TreePart.way(b))
        }
        var seen: Set<[PCIAddress]> = []
        var routes: [(client: PCIAddress, provider: PCIAddress, verdict: Verdict)] = []
        for (client, row) in zip(matrix.clients, matrix.verdicts) {
            for (provider, verdict) in zip(matrix.providers, row) where client != provider {
                if seen.insert([min(client, provider), max(client, provider)]).inserted {
                    routes.append((client, provider, verdict))
                }
            }
        }
        self.routes = routes
    }

    /// A text that sorts a function after the bridges above it.
    private static func way(_ function: PCIFunction) -> String {
        function.chain.reversed().map { "\($0)" }.joined(separator: "/")
    }

    /// What stands in the box of a function.
    func lines(_ function: PCIFunction) -> [String] {
        var lines = ["\(function.address)"]
        let names = matrix.machine.names(of: function.address)
        if !names.isEmpty { lines.append(names.joined(separator: ", ")) }
        if names.isEmpty, !function.isBridge { lines.append(function.driver ?? function.kind) }
        if function.isBridge { lines.append(Self.port(function)) }
        switch function.accessControl.redirects {
        case true?: lines.append("ACS redirects")
        case nil: lines.append("ACS not known")
        case false?: break
        }
        if let bytes = function.poolBytes { lines.append("p2pmem \(ByteCount.describe(bytes))") }
        return lines
    }

    private static func port(_ function: PCIFunction) -> String {
        switch function.portType {
        case PortType.rootPort?: "root port"
        case PortType.upstream?: "switch, upstream"
        case PortType.downstream?: "switch, downstream"
        default: "bridge"
        }
    }
}

extension Verdict {
    /// The colour and the words of a route.
    var style: (colour: String, words: String) {
        switch mapType {
        case .busAddress: ("#1a7f37", "by bus address")
        case .throughHostBridge: ("#0969da", "through the host bridge")
        case .notSupported: ("#cf222e", "refused")
        case .unknown: isSupported == true ? ("#1a7f37", "allowed, either way") : ("#9a6700", "not known")
        }
    }
}

/// The picture for Graphviz.
struct DotPicture {
    let part: TreePart

    init(matrix: Matrix) { part = TreePart(matrix) }

    var text: String {
        var text = "digraph peermr {\n  rankdir=LR;\n  node [shape=box, fontname=\"sans-serif\", fontsize=10];\n"
        for bus in Set(part.functions.map(\.rootBus)).sorted() {
            text += "  \"\(bus)\" [label=\"host bridge \(bus)\", style=filled, fillcolor=\"#eaeef2\"];\n"
        }
        for function in part.functions {
            let label = part.lines(function).map(Self.quote).joined(separator: "\\n")
            let fill = function.accessControl.redirects == true ? ", style=filled, fillcolor=\"#ffebe9\"" : ""
            text += "  \"\(function.address)\" [label=\"\(label)\"\(fill)];\n"
            let above = function.chain.dropFirst().first.map { "\($0)" } ?? "\(function.rootBus)"
            text += "  \"\(above)\" -> \"\(function.address)\" [arrowhead=none];\n"
        }
        for route in part.routes {
            let (colour, words) = route.verdict.style
            let line = route.verdict.isSupported == true ? "solid" : "dashed"
            text +=
                "  \"\(route.client)\" -> \"\(route.provider)\" [constraint=false, color=\"\(colour)\", "
                + "fontcolor=\"\(colour)\", fontsize=9, style=\(line), label=\"\(words)\"];\n"
        }
        return text + "}\n"
    }

    private static func quote(_ text: String) -> String {
        String(text.flatMap { $0 == "\"" || $0 == "\\" ? ["\\", $0] : [$0] })
    }
}
