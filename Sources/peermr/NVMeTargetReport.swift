// SPDX-License-Identifier: Apache-2.0

import CommandSupport
import PCITopology
import PeerMR
import PeerMRCore

/// What `peermr nvmet check` found.
struct NVMeTargetReport {
    let target: NVMeTarget
    let answers: [NVMeTarget.Answer]
    let root: SystemRoot

    /// The exit status: that of the worst answer; without a namespace nothing uses p2pmem.
    var status: Int32 {
        if answers.isEmpty || answers.contains(where: { $0.usesPeerMemory == false }) { return Status.notSupported }
        return answers.contains { $0.usesPeerMemory == nil } ? Status.unknown : Status.supported
    }

    var json: JSONValue {
        .object([
            ("answers", .list(answers.map(\.json))),
            ("portsWithoutSubsystems", .list(idlePorts.map { .text($0.number) })),
            ("subsystemsWithoutNamespaces", .list(emptySubsystems.map { .text($0.name) })),
            ("passthroughSubsystems", .list(passthrough.map { .text($0.name) })),
            ("isCut", .flag(target.isCut)),
        ])
    }

    private var idlePorts: [NVMeTarget.Port] { target.ports.filter(\.subsystems.isEmpty) }
    private var emptySubsystems: [NVMeTarget.Subsystem] {
        target.subsystems.filter { $0.namespaces.isEmpty && !$0.isPassthrough }
    }

    /// Those that hand a controller through have no namespaces of their own.
    private var passthrough: [NVMeTarget.Subsystem] { target.subsystems.filter(\.isPassthrough) }

    func text(_ style: TextStyle) -> String {
        var text = style.paragraph(headline, color: .strong)
        var last = ""
        var rows: [[Table.Cell]] = []
        func flush() {
            if !rows.isEmpty { text += Table.fitted(rows, style, indent: 2) }
            rows = []
        }
        for answer in answers {
            let title = "\(answer.subsystem), namespace \(answer.namespace.number)\(drive(answer.namespace))"
            if title != last {
                flush()
                text += "\n" + style.paragraph(title)
                last = title
            }
            let (word, color): (String, TextStyle.Color) =
                switch answer.usesPeerMemory {
                case true?: ("yes", .good)
                case false?: ("no", answer.isSilentBounce ? .bad : .other)
                case nil: ("unknown", .unsure)
                }
            rows.append([.init(place(answer)), .init(word, color), .init(answer.reason)])
            if let remedy = answer.remedy { rows.append(["", "", .init("→ \(remedy)", .good)]) }
        }
        flush()
        return text + notes(style)
    }

    private var headline: String {
        let bounces = answers.count(where: \.isSilentBounce)
        let used = answers.count { $0.usesPeerMemory == true }
        let count = NumberFormat.count(answers.count, "way")
        if answers.isEmpty { return "The target has no namespace." }
        if bounces > 0 {
            return "The target goes through host memory on \(bounces) of \(count) to a namespace although p2pmem is "
                + "on, and does not say so."
        }
        return "The target uses p2pmem on \(used) of \(count) to a namespace."
    }

    private func drive(_ namespace: NVMeTarget.Namespace) -> String {
        guard let path = namespace.path else { return "" }
        guard case .block(let name, let attachment) = namespace.backing else { return " (\(path))" }
        let place = attachment.function.map { ", \($0)" } ?? ""
        return path == "/dev/\(name)" ? " (\(path)\(place))" : " (\(path): \(name)\(place))"
    }

    private func place(_ answer: NVMeTarget.Answer) -> String {
        guard let port = answer.port else { return "no port" }
        let service = port.service.map { ":\($0)" } ?? ""
        let address = port.address.map { " (\($0)\(service))" } ?? ""
        return "port \(port.number)\(address)" + (answer.device.map { " by \($0)" } ?? "")
    }

    private func notes(_ style: TextStyle) -> String {
        var notes: [String] = []
        if !idlePorts.isEmpty {
            notes.append("No subsystem is on \(NameList.text(idlePorts.map { "port \($0.number)" })).")
        }
        if !emptySubsystems.isEmpty {
            notes.append("No namespace is in \(NameList.text(emptySubsystems.map(\.name))).")
        }
        if !passthrough.isEmpty {
            notes.append(
                "A controller is handed through by \(NameList.text(passthrough.map(\.name))), and that takes no p2pmem."
            )
        }
        if target.isCut {
            notes.append("At most \(NVMeTarget.limit) ports, subsystems and namespaces of each are looked at.")
        }
        return notes.map { "\n" + style.paragraph($0) }.joined()
    }
}

extension NVMeTarget.Answer {
    var json: JSONValue {
        var block: String?
        var functions: [PCIAddress] = []
        if case .block(let name, let attachment) = namespace.backing {
            (block, functions) = (name, attachment.functions)
        }
        return .object([
            ("subsystem", .text(subsystem)), ("namespace", .text(namespace.number)),
            ("path", .optional(namespace.path)), ("blockDevice", .optional(block)),
            ("driveFunctions", .list(functions.map { .text("\($0)") })),
            ("enabled", namespace.isEnabled.map { .flag($0) } ?? .null), ("p2pmem", .text(namespace.peerMemory.word)),
            ("port", .optional(port?.number)), ("transport", .optional(port?.transport)),
            ("address", .optional(port?.address)), ("rdmaDevice", .optional(device)),
            ("usesPeerMemory", usesPeerMemory.map { .flag($0) } ?? .null),
            ("silent", .flag(isSilentBounce)), ("providers", .list(providers.map { .text("\($0)") })),
            ("code", .text(code.rawValue)), ("reason", .text(reason)), ("remedy", .optional(remedy)),
        ])
    }
}

extension NVMeTarget.Switch {
    /// For JSON: what the switch shows.
    var word: String {
        switch self {
        case .off: "off"
        case .automatic: "on"
        case .provider(let address): "\(address)"
        case .missing: "missing"
        case .unreadable: "unreadable"
        }
    }
}
