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
            p2pmem, NVMe drives, display and processing devices, and co-processors. --all uses every function that is \
            no bridge as both. A large matrix is shown by places: groups of functions that reach all others alike.
            """)

    @Flag(help: "Use every function that is no bridge as client and provider.") var all = false
    @Flag(help: "Draw the tree and a map of all routes for Graphviz, on standard output.") var dot = false
    @Flag(help: "Draw it as SVG, on standard output; needs Graphviz.") var svg = false
    @Option(
        help: ArgumentHelp(
            "Draw the routes of this client into the tree, or print its routes alone (--pairs, --json); may be "
                + "repeated. Without it, all routes are printed, and drawn for at most two clients.",
            valueName: "client"),
        completion: Completions.clients)
    var client: [String] = []
    @Flag(help: "Print the routes between all functions that are no bridges with their findings, as JSON.")
    var pairs = false
    @OptionGroup var common: CommonOptions

    func validate() throws {
        guard [dot, svg, pairs, common.json].count(where: { $0 }) <= 1 else {
            throw ValidationError("Only one of --dot, --svg, --pairs and --json can be given.")
        }
        guard client.isEmpty || dot || svg || pairs || common.json else {
            throw ValidationError("--client is for --dot, --svg, --pairs and --json.")
        }
    }

    func run() throws {
        try common.run { () throws(PeerMRError) -> Int32 in
            let machine = Machine(try common.system())
            if pairs || common.json { return try printData(machine) }
            let (clients, providers) = Matrix.ends(machine, all: all)
            try MachineLimits.validate(clients: clients.count, providers: providers.count, isByPlaces: true)
            let matrix = Matrix(machine, all: all)
            if dot {
                writeAll(1, try picture(of: matrix).text)
            } else if svg {
                let graphviz = try ExternalProgram("dot -Tsvg", package: "graphviz")
                let picture = try picture(of: matrix)
                guard picture.boxCount <= MachineLimits.boxes else {
                    throw MachineLimits.exceeded(
                        "boxes to draw", picture.boxCount, MachineLimits.boxes,
                        "leave --all out, or lay out what --dot prints by another of Graphviz's programs (sfdp)")
                }
                writeAll(1, try graphviz.run(picture.text))
            } else {
                writeAll(1, MatrixText(matrix).text(.standardOutput))
            }
            return 0
        }
    }

    /// JSON, of the clients that were named.
    private func printData(_ machine: Machine) throws(PeerMRError) -> Int32 {
        let chosen = client.isEmpty ? nil : try functions(machine, pairs ? machine.endpoints : nil)
        if pairs {
            let routes = try RoutePairs(machine, clients: chosen)
            printJSON { routes.write(to: &$0) }
            return 0
        }
        let (clients, providers) = Matrix.ends(machine, all: all, chosen)
        try MachineLimits.validate(clients: clients.count, providers: providers.count, isByPlaces: false)
        let matrix = Matrix(machine, all: all, clients: chosen)
        printJSON { matrix.write(to: &$0) }
        return 0
    }
}

extension TopologyCommand {
    private func picture(of matrix: Matrix) throws(PeerMRError) -> DotPicture {
        let drawn = client.isEmpty && matrix.clients.count <= 2 ? matrix.clients : try functions(matrix.machine, nil)
        return DotPicture(matrix, routesOf: drawn)
    }

    /// The functions of the clients that were named, each once.
    ///
    /// - Parameter known: those that are clients; nil for those of the matrix.
    private func functions(_ machine: Machine, _ known: [PCIAddress]?) throws(PeerMRError) -> [PCIAddress] {
        let known = Set(known ?? (all ? machine.endpoints : machine.clients))
        var found: [PCIAddress] = []
        for name in client {
            let device = try DeviceArgument.client(name, machine.root)
            let functions = (device.attachment(root: machine.root)?.functions ?? []).filter(known.contains)
            guard !functions.isEmpty else {
                throw PeerMRError(
                    .invalidArgument, reason: "\(name.quoted) is on no PCI function that is a client",
                    remedy: "name one of peermr topology's first column, or add --all")
            }
            for function in functions where !found.contains(function) { found.append(function) }
        }
        return found
    }
}
