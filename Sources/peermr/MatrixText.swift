// SPDX-License-Identifier: Apache-2.0

import CommandSupport
import PCITopology
import PeerMR
import PeerMRCore

/// The matrix as people read it: whole where it is small, by places that are alike where it is not.
struct MatrixText {
    private let matrix: Matrix
    private var machine: Machine { matrix.machine }

    init(_ matrix: Matrix) { self.matrix = matrix }

    func text(_ style: TextStyle) -> String {
        if let text = machine.notShownText(style) { return text }
        if matrix.providers.isEmpty {
            return style.paragraph(
                "No device of this machine has memory for others; peermr doctor tells what is missing, --all takes "
                    + "every function.") + machine.unlocatedText(style)
        }
        if matrix.clients.isEmpty && matrix.others.isEmpty {
            return style.paragraph("There is no RDMA device and no NVMe drive; --all takes every function.")
                + machine.unlocatedText(style)
        }
        let isWhole = !matrix.isLarge && fits(style)
        let table = isWhole ? Table.fitted(rows, style) : byPlaces(style)
        return headline(style) + "\n" + table + "\n" + legend(isWhole: isWhole, style) + machine.unlocatedText(style)
    }

    private func headline(_ style: TextStyle) -> String {
        let routes = matrix.routes
        func count(_ answer: Bool?) -> Int {
            routes.reduce(0) { $0 + ($1.key.isSupported == answer ? $1.value : 0) }
        }
        let counts = [(count(true), "allowed"), (count(false), "refused"), (count(nil), "not known")]
        let total = routes.values.reduce(0, +)
        let present = counts.filter { $0.0 > 0 }
        let state =
            present.count == 1
            ? "all \(present[0].1)" : present.map { "\($0.0) \($0.1)" }.joined(separator: ", ")
        let ends =
            "\(NumberFormat.count(matrix.clients.count, "client")), "
            + NumberFormat.count(matrix.providers.count, "provider")
        if total == 0 { return style.paragraph(ends, color: .strong) }
        return style.paragraph("\(ends): \(NumberFormat.count(total, "route")), \(state)", color: .strong)
    }

    // MARK: Whole

    private func fits(_ style: TextStyle) -> Bool {
        let text = Table.fitted(rows, TextStyle(columns: .max, hasColor: false))
        return text.split(separator: "\n").allSatisfy { $0.count <= style.columns }
    }

    private var rows: [[Table.Cell]] {
        var rows = [[Table.Cell("client \\ provider", .strong)] + matrix.providers.map { .init("\($0)", .strong) }]
        rows.append([""] + matrix.providers.map { .init(words($0), .faint) })
        for (row, client) in matrix.clients.enumerated() {
            let verdicts = matrix.verdicts[row]
            let names = machine.names(of: client)
            let label = names.isEmpty ? "\(client)" : "\(client) (\(names.joined(separator: ",")))"
            rows.append([.init(label)] + verdicts.map { .init($0.cell, $0.color) })
        }
        for device in matrix.others {
            let cell: Table.Cell = device.attachment == .unreadable ? .init("?", .unsure) : .init("no", .bad)
            rows.append([.init(device.name)] + matrix.providers.map { _ in cell })
        }
        return rows
    }

    /// Names, or else what it is.
    private func words(_ address: PCIAddress) -> String {
        let names = machine.names(of: address)
        return names.isEmpty ? machine.topology.function(at: address)?.kind ?? "" : names.joined(separator: ",")
    }

    private func legend(isWhole: Bool, _ style: TextStyle) -> String {
        let shown = Set(
            (isWhole ? matrix.verdicts.distinct() : Array(matrix.routes.keys)).map { $0.cell.split(separator: ":")[0] }
                + (isWhole ? matrix.others.map { $0.attachment == .unreadable ? "?" : "no" } : []))
        let rows = Self.legend.filter { shown.contains(Substring($0[0])) }.map { $0.map { Table.Cell($0) } }
        let pools = matrix.providers.contains { machine.topology.function(at: $0)?.poolBytes != nil }
        return Table.fitted(rows, style, indent: 2)
            + style.paragraph("The number is the distance, in steps as the kernel counts them.", indent: 2)
            + (pools
                ? ""
                : style.paragraph(
                    "None of these providers publishes p2pmem: a route alone gives nobody its memory.", indent: 2))
    }

    private static let legend = [
        ["BUS", "by bus address: requests stay below the root complex"],
        ["HOST", "through the host bridge, which the kernel allows here"],
        ["YES", "allowed, either way: which one could not be read"],
        ["no", "the kernel refuses, or the device does no DMA"],
        ["?", "not known: peermr check tells why"],
    ]
}

// MARK: - By places

extension MatrixText {
    private func byPlaces(_ style: TextStyle) -> String {
        let clients = Set(matrix.clients)
        let providers = Set(matrix.providers)
        let places = matrix.places
        var text = style.paragraph("Functions of one place reach all others alike:")
        text += Table.fitted([Self.heading] + places.places.map { row($0, clients, providers) }, style, indent: 2)
        text += "\n" + routes(places, clients, providers, style)
        if !matrix.unasked.isEmpty {
            text +=
                "\n"
                + style.paragraph(
                    "Not refused to NICs for certain: \(NameList.text(matrix.unasked.map(machine.name), limit: 5)). The "
                        + "driver exports this memory without asking the kernel, and only a proof tells.")
        }
        if !matrix.others.isEmpty {
            let names = NameList.text(matrix.others.map(\.name), limit: 12)
            text += "\n" + style.paragraph("No DMA of their own, hence no route: \(names)")
        }
        return text
    }

    private static let heading: [Table.Cell] = ["PLACE", "WHERE", "CLIENTS", "PROVIDERS"].map { .init($0, .strong) }

    private func row(_ place: Places.Place, _ clients: Set<PCIAddress>, _ providers: Set<PCIAddress>) -> [Table.Cell] {
        func names(_ addresses: [PCIAddress], _ name: (PCIAddress) -> String) -> Table.Cell {
            .init(addresses.isEmpty ? "-" : NameList.text(addresses.map(name), limit: 8))
        }
        return [
            .init("\(place.number)"), .init(whereabouts(place.members)),
            names(place.members.filter(clients.contains), machine.name),
            names(place.members.filter(providers.contains)) { address in
                let kind = machine.topology.function(at: address)?.kind ?? ""
                return machine.names(of: address).isEmpty ? "\(kind) \(address)" : machine.name(of: address)
            },
        ]
    }

    /// The bridge that functions have in common, or the host bridge.
    private func whereabouts(_ members: [PCIAddress]) -> String {
        let functions = members.compactMap { machine.topology.function(at: $0) }
        guard let first = functions.first else { return "-" }
        let above = functions.map { Set($0.chain.dropFirst()) }
        if let bridge = first.chain.dropFirst().first(where: { bridge in above.allSatisfy { $0.contains(bridge) } }) {
            return "below \(bridge)"
        }
        let buses = Set(functions.map(\.rootBus)).sorted().map { "\($0)" }
        return "on \(NameList.text(buses, limit: 3))"
    }

    // MARK: Routes between places

    private func routes(
        _ places: Places, _ clients: Set<PCIAddress>, _ providers: Set<PCIAddress>, _ style: TextStyle
    ) -> String {
        func has(_ kind: Places.Kind, _ ends: Set<PCIAddress>) -> Bool {
            kind.places.contains { $0.members.contains(where: ends.contains) }
        }
        let from = places.kinds.filter { has($0, clients) }
        let to = places.kinds.filter { has($0, providers) }
        var rows: [[Table.Cell]] = [["FROM", "TO", "ROUTE"].map { .init($0, .strong) }]
        for client in from {
            rows += self.rows(from: client, to: to, places)
        }
        return Table.fitted(rows, style, indent: 2)
    }

    /// The routes from one kind of place: one row for each verdict.
    private func rows(from client: Places.Kind, to providers: [Places.Kind], _ places: Places) -> [[Table.Cell]] {
        var order: [String] = []
        var found: [String: (verdict: Verdict, to: [Int], words: [String])] = [:]
        func add(_ verdict: Verdict, _ numbers: [Int], _ words: String? = nil) {
            if found[verdict.cell] == nil { order.append(verdict.cell) }
            found[verdict.cell, default: (verdict, [], [])].to += numbers
            if let words { found[verdict.cell, default: (verdict, [], [])].words.append(words) }
        }
        for provider in providers {
            let numbers = provider.places.map(\.number)
            guard numbers == client.places.map(\.number) else {
                add(places.verdict(from: client, to: provider), numbers)
                continue
            }
            if let within = client.places[0].within { add(within, [], "its own place") }
            if let between = client.between { add(between, [], "another of \(Self.numbers(numbers))") }
        }
        let name = Self.numbers(client.places.map(\.number))
        return order.enumerated().compactMap { index, cell in
            guard let entry = found[cell] else { return nil }
            let to = entry.words + (entry.to.isEmpty ? [] : [Self.numbers(entry.to.sorted())])
            return [.init(index == 0 ? name : ""), .init(to.joined(separator: ", ")), .init(cell, entry.verdict.color)]
        }
    }

    private static func numbers(_ numbers: [Int]) -> String { NameList.text(numbers.map { "\($0)" }, limit: 12) }
}
