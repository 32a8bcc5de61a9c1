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
                writeAll(1, MatrixText(matrix).text(.standardOutput))
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
