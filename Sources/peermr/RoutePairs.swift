// SPDX-License-Identifier: Apache-2.0

import CommandSupport
import PCITopology
import PeerMR
import PeerMRCore

/// The routes of all pairs of a machine's functions that are no bridges, with what led to each.
struct RoutePairs {
    let machine: Machine

    var json: JSONValue {
        let ends = machine.endpoints
        return .object([
            ("pairs", .list(ends.flatMap { provider in ends.map { pair(client: $0, provider: provider) } }))
        ])
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
