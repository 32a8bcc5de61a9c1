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
    let verdicts: VerdictMatrix
    /// RDMA devices that have no PCI function.
    let others: [NamedDevice]

    /// - Parameter chosen: the clients that are wanted; nil for all of them.
    init(_ machine: Machine, all: Bool, clients chosen: [PCIAddress]? = nil) {
        self.machine = machine
        (clients, providers) = Self.ends(machine, all: all, chosen)
        // What an exporter does not ask about the kernel does not refuse to a NIC; drives import no buffers.
        let functions = providers.map { machine.topology.function(at: $0) }
        let nics = Set(machine.rdma.flatMap(\.attachment.functions))
        let areNICs = clients.map(nics.contains)
        verdicts = machine.topology.verdictMatrix(from: clients, to: providers) { verdict, client, provider in
            areNICs[client] ? verdict.forBuffers(of: functions[provider]) : verdict
        }
        others = machine.rdma.filter { $0.function == nil }
    }

    /// Who reads and writes, and whose memory.
    static func ends(
        _ machine: Machine, all: Bool, _ chosen: [PCIAddress]? = nil
    ) -> (clients: [PCIAddress], providers: [PCIAddress]) {
        (chosen ?? (all ? machine.endpoints : machine.clients), all ? machine.endpoints : machine.providers)
    }

    /// Clients and providers, sorted into places that are alike to the kernel.
    var places: Places {
        let ends = Set(clients + providers).sorted()
        return Places(ends, machine.topology.verdictMatrix(from: ends, to: ends))
    }

    /// Providers whose drivers do not ask the kernel, where it would refuse a NIC.
    var unasked: [PCIAddress] {
        providers.indices.filter { column in
            clients.indices.contains { row in
                let verdict = verdicts[row, column]
                return verdict.mapType == .notSupported && verdict.isSupported == nil
            }
        }.map { providers[$0] }
    }

    /// Whether it is too large to be shown whole.
    var isLarge: Bool { providers.count > 6 || clients.count + others.count > 12 }

    /// How often there is each verdict between two functions.
    var routes: [Verdict: Int] {
        let places = Dictionary(providers.enumerated().map { ($1, $0) }, uniquingKeysWith: { first, _ in first })
        let own = clients.map { places[$0] ?? -1 }
        return verdicts.counts { row, column in own[row] == column }
    }

    /// Writes it as JSON.
    func write(to stream: inout JSONStream) {
        func rows(_ name: String, _ value: (Verdict) -> JSONValue) {
            stream.list(name, count: verdicts.rows) { .list(verdicts[$0].map(value)) }
        }
        stream.field("clients", .list(clients.map { .text("\($0)") }))
        stream.field("providers", .list(providers.map { .text("\($0)") }))
        rows("mapTypes") { .text($0.mapType.rawValue) }
        rows("supported") { $0.isSupported.map { .flag($0) } ?? .null }
        rows("distances") { $0.distance < 0 ? .null : .count($0.distance) }
        stream.field("names", .object(named.map { ("\($0)", .list($1.map { .text($0) })) }))
        stream.field("withoutFunction", .list(others.map { .text($0.name) }))
        stream.field("withoutPlace", .list(machine.topology.unlocated.sorted().map { .text("\($0)") }))
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
