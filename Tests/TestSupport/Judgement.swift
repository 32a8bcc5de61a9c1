// SPDX-License-Identifier: Apache-2.0

package import PCITopology
package import PeerMRCore

extension Topology {
    /// What is said of a machine, line by line: two that agree in it are judged alike.
    package static func judgement(of root: SystemRoot) -> [String] {
        let topology = Topology(root: root)
        let addresses = topology.functions.map(\.address)
        var lines = addresses.flatMap { provider in
            addresses.map { "\(provider) \($0) \(topology.route(from: $0, to: provider))" }
        }
        lines += topology.rdmaDevices.map { "\($0) \($1)" }.sorted()
        lines += topology.blockDevices.map { "\($0) \($1)" }.sorted()
        return lines + ["\(String(describing: topology.cpu)) \(String(describing: topology.hasPeerToPeer))"]
    }
}
