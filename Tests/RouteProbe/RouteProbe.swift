// SPDX-License-Identifier: Apache-2.0

// Judges every pair of PCI functions of this machine that are no bridges, in one start: the oracle's view of
// PCITopology.
//
//     route-probe ADDRESS ...     the pairs of these functions; of all functions where none is named
//     route-probe --root DIR ...  a captured tree
//
// One JSON object on one line: "PROVIDER CLIENT" to [map type, supported (true, false or null), distance, findings].

import PCITopology
import SystemPackage
import PeerMRCore

@main
struct RouteProbe {
    static func main() {
        var names = Array(CommandLine.arguments.dropFirst())
        var root = SystemRoot.live
        if names.first == "--root", names.count >= 2 {
            root = SystemRoot(FilePath(names[1]))
            names.removeFirst(2)
        }
        let topology = Topology(root: root)
        var addresses = names.compactMap { PCIAddress($0) }
        if names.isEmpty {
            addresses = topology.functions.filter { !$0.isBridge }.map(\.address)
        }
        var pairs: [String] = []
        for provider in addresses {
            for client in addresses {
                let route = topology.route(from: client, to: provider)
                let supported = route.verdict.isSupported.map { "\($0)" } ?? "null"
                let findings = route.findings.map { "\"\($0.code.rawValue) \($0.device ?? "")\"" }
                pairs.append(
                    "\"\(provider) \(client)\":[\"\(route.verdict.mapType.rawValue)\",\(supported),"
                        + "\(route.verdict.distance),[\(findings.joined(separator: ","))]]")
            }
        }
        print("{\(pairs.joined(separator: ","))}")
    }
}
