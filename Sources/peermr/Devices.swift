// SPDX-License-Identifier: Apache-2.0

import ArgumentParser
import CommandSupport
import PCITopology
import PeerMR
import PeerMRCore

struct Devices: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "devices",
        abstract: "Lists RDMA devices, disks and devices with memory for others, and what matters for peer-to-peer.",
        discussion: """
            Columns: NIC is "device" where the hardware does the DMA and "software" where the CPU copies; IOMMU \
            is the type of the group's domain (DMA translates, identity does not, none: there is none); P2PMEM \
            is what the device publishes.
            """)

    @OptionGroup var common: CommonOptions

    func run() throws {
        try common.run { () throws(PeerMRError) -> Int32 in
            let machine = Machine(try common.system())
            let report = DevicesReport(machine: machine)
            if common.json { printJSON(report.json) } else { writeAll(1, report.text(.standardOutput)) }
            return 0
        }
    }
}

private struct DevicesReport {
    let machine: Machine

    private func function(_ device: NamedDevice) -> PCIFunction? {
        device.function.flatMap { machine.topology.function(at: $0) }
    }

    private func pool(_ address: PCIAddress?) -> P2PPool? {
        address.flatMap { P2PPool(of: $0, root: machine.root) }
    }

    private var providers: [PCIFunction] {
        machine.providers.compactMap { machine.topology.function(at: $0) }
    }

    var json: JSONValue {
        .object([
            ("kernel", .optional(machine.topology.kernel.map { "\($0)" })),
            ("rdma", .list(machine.rdma.map { json($0, extra: ("nic", .text($0.nic))) })),
            ("disks", .list(machine.disks.map { json($0, extra: ("attachment", .text($0.nic))) })),
            (
                "providers",
                .list(
                    providers.map { function in
                        .object(
                            fields(function) + [
                                ("names", .list(machine.names(of: function.address).map { .text($0) }))
                            ])
                    })
            ),
            ("withoutPlace", .list(machine.topology.unlocated.sorted().map { .text("\($0)") })),
        ])
    }

    private func json(_ device: NamedDevice, extra: (String, JSONValue)) -> JSONValue {
        var all: [(String, JSONValue)] = [("name", .text(device.name)), extra]
        if let function = function(device) {
            all += fields(function)
        } else {
            all.append(("address", .optional(device.function.map { "\($0)" })))
        }
        return .object(all)
    }

    private func fields(_ function: PCIFunction) -> [(String, JSONValue)] {
        let pool = pool(function.address)
        return [
            ("address", .text("\(function.address)")), ("kind", .text(function.kind)),
            ("driver", .optional(function.driver)), ("iommu", .text(function.iommu.word)),
            ("poolBytes", pool.map { .count($0.byteCount) } ?? .null),
            ("availableBytes", pool.map { .count($0.availableBytes) } ?? .null),
        ]
    }

    func text(_ style: TextStyle) -> String {
        if let text = machine.notShownText(style) { return text }
        func section(_ title: String, _ heading: [String], _ rows: [[String]], none: String) -> String {
            let table = ([heading] + rows).enumerated().map { index, row in
                row.map { Table.Cell($0, index == 0 ? .strong : nil) }
            }
            return style.paragraph(title, color: .strong)
                + (rows.isEmpty ? "\(none)\n" : Table.fitted(table, style))
        }
        var text = section(
            "RDMA devices", ["NAME", "ADDRESS", "NIC", "DRIVER", "IOMMU"],
            machine.rdma.map { device in
                let function = function(device)
                return [
                    device.name, device.function.map { "\($0)" } ?? "-", device.nic,
                    function?.driver ?? "-", function?.iommu.word ?? "-",
                ]
            },
            none: "none; see peermr doctor")
        text += "\n"
        text += section(
            "Disks", ["NAME", "ADDRESS", "DRIVER", "IOMMU", "P2PMEM"],
            machine.disks.map { device in
                let function = function(device)
                return [
                    device.name, device.place, function?.driver ?? "-", function?.iommu.word ?? "-",
                    describe(device.function),
                ]
            }, none: "none on PCI")
        text += "\n"
        text += section(
            "Devices that may have memory for others",
            ["ADDRESS", "KIND", "NAMES", "DRIVER", "IOMMU", "P2PMEM"],
            providers.map { function in
                [
                    "\(function.address)", function.kind,
                    machine.names(of: function.address).joined(separator: ","),
                    function.driver ?? "-", function.iommu.word, describe(function.address),
                ]
            }, none: "none")
        return text + machine.unlocatedText(style)
    }

    private func describe(_ address: PCIAddress?) -> String {
        guard let pool = pool(address) else { return "-" }
        return "\(ByteCount.describe(pool.byteCount)), \(ByteCount.describe(pool.availableBytes)) free"
    }
}

extension NamedDevice {
    /// What moves the bytes of an RDMA device; the kind of a disk.
    fileprivate var nic: String {
        switch attachment {
        case .function, .paths, .array: "device"
        case .software: "software"
        case .notPCI: "notPCI"
        case .stacked: "composed"
        case .unreadable: "unknown"
        }
    }

    fileprivate var place: String {
        switch attachment {
        case .function, .paths, .array: attachment.functions.map { "\($0)" }.joined(separator: ",")
        case .stacked(let parts): "of " + parts.joined(separator: ",")
        case .software, .notPCI: "-"
        case .unreadable: "?"
        }
    }
}
