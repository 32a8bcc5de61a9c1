// SPDX-License-Identifier: Apache-2.0

import PCITopology
import PeerMRCore

/// A box of the picture: a host bridge, a port, a switch with all its ports, or functions below one of these that are
/// alike.
struct DotBox {
    /// Functions in the box that are client or provider.
    private(set) var members: Set<PCIAddress> = []
    /// What Graphviz knows the box by.
    let name: String
    /// The box that it is drawn below; nil for a host bridge.
    let above: String?
    private(set) var lines: [String]
    let color: String

    /// The boxes that lead to a machine's clients and providers, from the roots down.
    ///
    /// - Parameter apart: functions that get a box of their own.
    static func all(of matrix: Matrix, apart: Set<PCIAddress>) -> [DotBox] {
        let topology = matrix.machine.topology
        let ends = Set(matrix.clients + matrix.providers).compactMap { topology.function(at: $0) }
        let chains = Set(ends.flatMap(\.chain)).compactMap { topology.function(at: $0) }
        // From the root bus down.
        let functions = chains.sorted {
            ($0.rootBus, $0.chain.count, $0.address) < ($1.rootBus, $1.chain.count, $1.address)
        }
        let ports = Dictionary(grouping: functions.filter(\.isDownstreamPort)) { $0.chain.dropFirst().first }
        var boxes = Set(functions.map(\.rootBus)).sorted().map { bus in
            DotBox(name: "\(bus)", above: nil, lines: ["host bridge \(bus)"], color: "#eaeef2")
        }
        var places: [String: Int] = [:]
        for function in functions where !function.isDownstreamPort {
            let above = function.chain.dropFirst().first { topology.function(at: $0)?.isDownstreamPort != true }
            let isEnd = matrix.clients.contains(function.address) || matrix.providers.contains(function.address)
            let port = function.chain.dropFirst().first.flatMap { topology.function(at: $0) }
            let key = [
                above.map { "\($0)" } ?? "\(function.rootBus)", function.kind, function.driver ?? "",
                acs(function), port.map { $0.isDownstreamPort ? acs($0) : "" } ?? "",
                isEnd && !apart.contains(function.address) ? "" : "\(function.address)",
            ].joined(separator: " ")
            if isEnd, let place = places[key] {
                boxes[place].add(function, matrix)
                continue
            }
            places[key] = boxes.count
            var box = DotBox(
                name: "\(function.address)", above: above.map { "\($0)" } ?? "\(function.rootBus)",
                lines: heading(function, port, ports[function.address] ?? []), color: color(function, port))
            if isEnd { box.add(function, matrix) } else { box.lines.insert("\(function.address)", at: 0) }
            boxes.append(box)
        }
        return boxes
    }

    private init(name: String, above: String?, lines: [String], color: String) {
        self.name = name
        self.above = above
        self.lines = lines
        self.color = color
    }

    private mutating func add(_ function: PCIFunction, _ matrix: Matrix) {
        members.insert(function.address)
        let pool = function.poolBytes.map { ["p2pmem \(ByteCount.describe($0))"] } ?? []
        lines.append(
            (["\(function.address)"] + matrix.machine.names(of: function.address) + pool).joined(separator: " "))
    }

    /// What all functions in the box have in common.
    private static func heading(_ function: PCIFunction, _ port: PCIFunction?, _ ports: [PCIFunction]) -> [String] {
        guard function.isBridge else {
            let ways = [acs(function), port.map { $0.isDownstreamPort ? acs($0) : "" } ?? ""].filter { !$0.isEmpty }
            return [function.driver.map { "\(function.kind), \($0)" } ?? function.kind] + ways.prefix(1)
        }
        let kind =
            switch function.portType {
            case PortType.rootPort?: "root port"
            case PortType.upstream?: "switch, \(ports.count) port\(ports.count == 1 ? "" : "s") in use"
            default: "bridge"
            }
        return [kind] + (acs(function).isEmpty ? [] : [acs(function)])
    }

    private static func acs(_ function: PCIFunction) -> String {
        switch function.accessControl.redirects {
        case true?: "ACS redirects"
        case nil: "ACS not known"
        case false?: ""
        }
    }

    private static func color(_ function: PCIFunction, _ port: PCIFunction?) -> String {
        if function.accessControl.redirects == true
            || (port?.isDownstreamPort == true && port?.accessControl.redirects == true)
        {
            return "#ffebe9"
        }
        return function.poolBytes != nil ? "#dafbe1" : "#ffffff"
    }
}

extension PCIFunction {
    fileprivate var isDownstreamPort: Bool { portType == PortType.downstream }
}
