// SPDX-License-Identifier: Apache-2.0

import ArgumentParser
import CommandSupport
import PCITopology
import PeerMR
import PeerMRCore

struct TopologyCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "topology",
        abstract: "Shows how each client reaches each provider: a matrix, or a picture of the PCI tree.",
        discussion: """
            Clients are the functions behind RDMA devices and NVMe drives; providers are functions that publish \
            p2pmem, NVMe drives, and display and processing devices. --all uses every function that is no \
            bridge as both.
            """)

    @Flag(help: "Use every function that is no bridge as client and provider.") var all = false
    @Flag(help: "Draw the tree and a map of all routes for Graphviz, on standard output.") var dot = false
    @Flag(help: "Draw it as SVG, on standard output; needs Graphviz.") var svg = false
    @Option(
        help: ArgumentHelp(
            "Draw the routes of this client into the tree; may be repeated. Without it: those of all clients, where "
                + "there are at most two.", valueName: "client"),
        completion: Completions.clients)
    var client: [String] = []
    @Flag(help: "Print the routes between all functions that are no bridges with their findings, as JSON.")
    var pairs = false
    @OptionGroup var common: CommonOptions

    func validate() throws {
        guard [dot, svg, pairs, common.json].count(where: { $0 }) <= 1 else {
            throw ValidationError("Only one of --dot, --svg, --pairs and --json can be given.")
        }
        guard client.isEmpty || dot || svg else { throw ValidationError("--client is for --dot and --svg.") }
    }

    func run() throws {
        try common.run { () throws(PeerMRError) -> Int32 in
            let machine = Machine(try common.system())
            if pairs {
                printJSON(RoutePairs(machine: machine).json)
                return 0
            }
            let matrix = Matrix(machine, all: all)
            if dot {
                writeAll(1, try picture(of: matrix))
            } else if svg {
                let graphviz = try ExternalProgram("dot -Tsvg", package: "graphviz")
                writeAll(1, try graphviz.run(try picture(of: matrix)))
            } else if common.json {
                printJSON(matrix.json)
            } else {
                writeAll(1, matrix.text)
            }
            return 0
        }
    }
}

extension TopologyCommand {
    private func picture(of matrix: Matrix) throws(PeerMRError) -> String {
        var drawn: [PCIAddress] = []
        for name in client {
            let device = try DeviceArgument.client(name, matrix.machine.root)
            let functions = (device.attachment(root: matrix.machine.root)?.functions ?? [])
                .filter(matrix.clients.contains)
            guard !functions.isEmpty else {
                throw PeerMRError(
                    .invalidArgument, reason: "\(name.quoted) is on no PCI function that is a client",
                    remedy: "name one of peermr topology's first column, or add --all")
            }
            drawn += functions
        }
        if client.isEmpty, matrix.clients.count <= 2 { drawn = matrix.clients }
        return DotPicture(matrix, routesOf: drawn).text
    }
}

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
        verdicts = machine.topology.verdicts(from: clients, to: providers)
        others = machine.rdma.filter { $0.function == nil }
    }

    /// A device with its names, for a row or a column.
    func label(_ address: PCIAddress) -> String {
        let names = machine.names(of: address)
        return names.isEmpty ? "\(address)" : "\(address) (\(names.joined(separator: ",")))"
    }

    var text: String {
        if providers.isEmpty {
            return "No device of this machine has memory for others; peermr doctor tells what is missing, --all "
                + "takes every function.\n"
        }
        if clients.isEmpty && others.isEmpty {
            return "There is no RDMA device and no NVMe drive; --all takes every function.\n"
        }
        var rows = zip(clients, verdicts).map { client, row in [label(client)] + row.map(\.cell) }
        rows += others.map { device in
            let cell = device.attachment == .unreadable ? "?" : "no"
            return [device.name] + providers.map { _ in cell }
        }
        let names = Set(rows.joined().map { $0.split(separator: ":")[0] })
        let pools = providers.filter { machine.topology.function(at: $0)?.poolBytes != nil }
        return Table.titled(["client \\ provider"] + providers.map { "\($0)" }, rows)
            + "\n" + Table.plain(Self.legend.filter { names.contains(Substring($0[0])) }, indent: 2)
            + "  The number is the distance, in steps as the kernel counts them.\n"
            + (pools.isEmpty
                ? "  None of these providers publishes p2pmem: a route alone gives nobody its memory.\n" : "")
    }

    private static let legend = [
        ["BUS", "by bus address: requests stay below the root complex"],
        ["HOST", "through the host bridge, which the kernel allows here"],
        ["YES", "allowed, either way: which one could not be read"],
        ["no", "the kernel refuses, or the device does no DMA"],
        ["?", "not known: peermr check tells what could not be read"],
    ]

    var json: JSONValue {
        .object([
            ("clients", .list(clients.map { .text("\($0)") })),
            ("providers", .list(providers.map { .text("\($0)") })),
            ("mapTypes", .list(verdicts.map { .list($0.map { .text($0.mapType.rawValue) }) })),
            ("supported", .list(verdicts.map { .list($0.map { $0.isSupported.map { .flag($0) } ?? .null }) })),
            ("distances", .list(verdicts.map { .list($0.map { $0.distance < 0 ? .null : .count($0.distance) }) })),
            ("names", .object(named.map { ("\($0)", .list($1.map { .text($0) })) })),
            ("withoutFunction", .list(others.map { .text($0.name) })),
        ])
    }

    private var named: [(PCIAddress, [String])] {
        Set(clients + providers).sorted().map { ($0, machine.names(of: $0)) }.filter { !$1.isEmpty }
    }
}

extension Verdict {
    /// A word for a cell of the matrix.
    var cell: String {
        switch mapType {
        case .busAddress: "BUS:\(distance)"
        case .throughHostBridge: "HOST:\(distance)"
        case .notSupported: "no"
        case .unknown: isSupported == true ? "YES:\(distance)" : "?"
        }
    }
}
