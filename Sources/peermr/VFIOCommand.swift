// SPDX-License-Identifier: Apache-2.0

import ArgumentParser
import CommandSupport
import PCITopology
import PeerMR
import PeerMRCore

struct VFIOCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "vfio",
        abstract: "Binds a PCI function to vfio-pci, so that its BARs can be exported, and unbinds it.",
        discussion: """
            While a function is bound to vfio-pci, its own driver is not: a drive's disk or a NIC's interface is gone. \
            No other command of this tool binds drivers. Exit status: 0 done, 2 refused or failed.
            """,
        subcommands: [Bind.self, Unbind.self, StatusOf.self])

    struct Bind: ParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Binds a function to vfio-pci, unless it is in use.")
        @OptionGroup var target: Target

        func run() throws {
            try target.run { (binding) throws(PeerMRError) in
                let before = try binding.bind()
                let had = before.map { "\($0) had it before" } ?? "no driver had it before"
                return (before == "vfio-pci" ? "vfio-pci has it already" : "vfio-pci has it; \(had)", before)
            }
        }
    }

    struct Unbind: ParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Unbinds a function from vfio-pci and binds it to its own driver.")
        @OptionGroup var target: Target
        @Option(help: "The driver to bind; by default the kernel's choice.")
        var driver: String?

        func run() throws {
            try target.run { (binding) throws(PeerMRError) in
                let before = try binding.state().driver
                let now = try binding.unbind(to: driver)
                let has = now.map { "\($0) has it again" } ?? "no driver has it now; load one that knows it (modprobe)"
                return (has, before)
            }
        }
    }

    struct StatusOf: ParsableCommand {
        static let configuration = CommandConfiguration(
            commandName: "status",
            abstract: "Shows which driver a function is bound to, and what else is in its IOMMU group.")
        @OptionGroup var target: Target

        func run() throws { try target.run { (_) throws(PeerMRError) in ("", nil) } }
    }
}

/// The function that is meant, and how the outcome is printed.
struct Target: ParsableArguments {
    @Argument(help: "The PCI address of the function, such as 0000:03:00.0.", completion: Completions.functions)
    var address: String
    @Flag(help: "Print JSON, on one line.") var json = false

    /// Does something to the function and says how it stands; `body` gives a sentence, and the driver before.
    func run(
        _ body: (VFIOBinding) throws(PeerMRError) -> (sentence: String, before: String?)
    ) throws {
        try program.run { () throws(PeerMRError) -> Int32 in
            let binding = try VFIOBinding(try DeviceArgument.provider(address, .live))
            let (sentence, before) = try body(binding)
            let state = try binding.state()
            if json {
                printJSON(state.json(before: before, binding.uses()))
            } else {
                let text = "\(binding.address): \(sentence.printable)\n"
                writeAll(1, sentence.isEmpty ? state.text(binding.uses()) : text)
            }
            return Status.supported
        }
    }
}

extension VFIOBinding.State {
    fileprivate func json(before: String?, _ uses: [VFIOBinding.Use]) -> JSONValue {
        .object([
            ("function", .text("\(address)")), ("driver", .optional(driver)), ("driverBefore", .optional(before)),
            ("driverOverride", .optional(driverOverride)), ("group", group.map { .count($0) } ?? .null),
            (
                "neighbours",
                .list(
                    neighbors.map {
                        .object([("function", .text("\($0.address)")), ("driver", .optional($0.driver))])
                    })
            ),
            (
                "uses",
                .list(uses.map { .object([("device", .text($0.device)), ("how", .text($0.how))]) })
            ),
        ])
    }

    fileprivate func text(_ uses: [VFIOBinding.Use]) -> String {
        var rows = [["driver", driver ?? "none"]]
        if let driverOverride { rows.append(["only for", driverOverride]) }
        rows.append(["IOMMU group", group.map { "\($0)" } ?? "none: no IOMMU, so vfio-pci cannot have it"])
        for other in neighbors {
            let blocks = obstacles.contains(other) ? ", which keeps the group from being opened" : ""
            rows.append(["with it", "\(other.address): \(other.driver ?? "no driver")\(blocks)"])
        }
        for use in uses { rows.append(["in use", "\(use.device) \(use.how)"]) }
        return "\(address)\n" + Table.plain(rows)
    }
}
