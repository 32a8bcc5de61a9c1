// SPDX-License-Identifier: Apache-2.0

import CommandSupport
import PCITopology
import PeerMR
import PeerMRCore

/// The routes of pairs of a machine's functions that are no bridges, with what led to each.
struct RoutePairs {
    private let machine: Machine
    private let clients: [PCIAddress]
    private let providers: [PCIAddress]

    /// - Parameter chosen: the clients that are wanted; nil for all of them.
    /// - Throws: `resourceLimit` for more pairs than are printed.
    init(_ machine: Machine, clients chosen: [PCIAddress]?) throws(PeerMRError) {
        self.machine = machine
        providers = machine.endpoints
        clients = chosen ?? providers
        let (count, isMore) = clients.count.multipliedReportingOverflow(by: providers.count)
        guard !isMore, count <= MachineLimits.printedPairs else {
            throw MachineLimits.exceeded(
                "pairs of functions", count, MachineLimits.printedPairs, "name the clients that you need with --client")
        }
    }

    /// Writes them as JSON.
    func write(to stream: inout JSONStream) {
        stream.list("pairs", count: clients.count * providers.count) { number in
            let (provider, client) = number.quotientAndRemainder(dividingBy: clients.count)
            return pair(client: clients[client], provider: providers[provider])
        }
    }

    private func pair(client: PCIAddress, provider: PCIAddress) -> JSONValue {
        let route = machine.topology.route(from: client, to: provider)
        let verdict = route.verdict
        return .object([
            ("provider", .text("\(provider)")), ("client", .text("\(client)")),
            ("mapType", .text(verdict.mapType.rawValue)),
            ("supported", verdict.isSupported.map { .flag($0) } ?? .null),
            ("distance", verdict.distance < 0 ? .null : .count(verdict.distance)),
            (
                "findings",
                .list(
                    route.findings.map {
                        .object([("code", .text($0.code.rawValue)), ("device", .optional($0.device))])
                    })
            ),
        ])
    }
}
