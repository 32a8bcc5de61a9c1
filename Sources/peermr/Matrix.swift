// SPDX-License-Identifier: Apache-2.0

import CommandSupport
import PCITopology
import PeerMR
import PeerMRCore

/// The verdicts of a machine's clients and providers.
struct Matrix {
    let machine: Machine
    let clients: [PCIAddress]
    let providers: [PCIAddress]
    /// A row for each client.
    let verdicts: [[Verdict]]
    /// RDMA devices that have no PCI function.
    let others: [NamedDevice]

    init(_ machine: Machine, all: Bool) {
        self.machine = machine
        clients = all ? machine.endpoints : machine.clients
        providers = all ? machine.endpoints : machine.providers
        // What an exporter does not ask about the kernel does not refuse to a NIC; drives import no buffers.
        let functions = providers.map { machine.topology.function(at: $0) }
        let nics = Set(machine.rdma.flatMap(\.attachment.functions))
        verdicts = zip(clients, machine.topology.verdicts(from: clients, to: providers)).map { client, row in
            nics.contains(client) ? zip(row, functions).map { $0.forBuffers(of: $1) } : row
        }
        others = machine.rdma.filter { $0.function == nil }
    }

    /// Clients and providers, sorted into places that are alike to the kernel.
    var places: Places {
        let ends = Set(clients + providers).sorted()
        return Places(ends, machine.topology.verdicts(from: ends, to: ends))
    }

    /// Providers whose drivers do not ask the kernel, where it would refuse a NIC.
    var unasked: [PCIAddress] {
        providers.indices.filter { column in
            verdicts.contains { $0[column].mapType == .notSupported && $0[column].isSupported == nil }
        }.map { providers[$0] }
    }

    /// Whether it is too large to be shown whole.
    var isLarge: Bool { providers.count > 6 || clients.count + others.count > 12 }

    /// The verdicts between two functions.
    var routes: [Verdict] {
        zip(clients, verdicts).flatMap { client, row in zip(providers, row).filter { $0.0 != client }.map(\.1) }
    }

    var json: JSONValue {
        .object([
            ("clients", .list(clients.map { .text("\($0)") })),
            ("providers", .list(providers.map { .text("\($0)") })),
            ("mapTypes", .list(verdicts.map { .list($0.map { .text($0.mapType.rawValue) }) })),
            ("supported", .list(verdicts.map { .list($0.map { $0.isSupported.map { .flag($0) } ?? .null }) })),
            ("distances", .list(verdicts.map { .list($0.map { $0.distance < 0 ? .null : .count($0.distance) }) })),
            ("names", .object(named.map { ("\($0)", .list($1.map { .text($0) })) })),
            ("withoutFunction", .list(others.map { .text($0.name) })),
            ("withoutPlace", .list(machine.topology.unlocated.sorted().map { .text("\($0)") })),
        ])
    }

    private var named: [(PCIAddress, [String])] {
        Set(clients + providers).sorted().map { ($0, machine.names(of: $0)) }.filter { !$1.isEmpty }
    }
}

extension Verdict {
    /// A word for a cell of the matrix.
    var cell: String {
        if isSupported == nil { return "?" }
        return switch mapType {
        case .busAddress: "BUS:\(distance)"
        case .throughHostBridge: "HOST:\(distance)"
        case .notSupported: "no"
        case .unknown: "YES:\(distance)"
        }
    }
}

extension Verdict {
    /// The color of that word.
    var color: TextStyle.Color {
        if isSupported == nil { return .unsure }
        return switch mapType {
        case .busAddress: .good
        case .throughHostBridge: .other
        case .notSupported: .bad
        case .unknown: .good
        }
    }
}
