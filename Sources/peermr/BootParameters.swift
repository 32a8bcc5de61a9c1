// SPDX-License-Identifier: Apache-2.0

import CommandSupport
import PCITopology
import PeerMRCore

/// What `peermr doctor --boot-parameters` prints: one line for the kernel's command line, and what it costs.
struct BootParameters {
    private let machine: Machine
    private let problems: RouteProblems
    private let functions: ACSParameter
    private let release: Release?
    /// Nil where it cannot be read: what it says of ACS would be lost by another parameter of the same name.
    private let known: CommandLine?
    /// Whether the line mends routes that are refused; otherwise it shortens some that work.
    private let mends: Bool

    init(_ machine: Machine, _ problems: RouteProblems) {
        self.machine = machine
        self.problems = problems
        mends = !problems.parameter.functions.isEmpty
        functions = mends ? problems.parameter : problems.detourParameter
        release = machine.root.attribute("proc/sys/kernel/osrelease").flatMap { Release($0) }
        known = machine.root.attribute("proc/cmdline").map { CommandLine($0) }
    }

    private var current: CommandLine { known ?? CommandLine("") }

    /// Routes that cannot be told because a configuration space cannot be read: more may have to be named.
    private var unreadable: Int {
        problems.groups.filter { $0.codes.contains(.configUnreadable) }.flatMap(\.pairs).count
    }

    /// The line; nil where no parameter helps.
    var parameter: String? {
        if functions.functions.isEmpty { return nil }
        return hasBits ? current.joined(functions.bits) : current.joined(functions.redirection)
    }

    /// Whether the kernel has the form that leaves the other bits alone, and reads it right.
    private var hasBits: Bool { release?.readsBits ?? false }

    /// The exit status.
    var status: Int32 {
        if unreadable > 0 { return Status.unknown }
        return parameter == nil ? Status.notSupported : Status.supported
    }

    /// As a file that GRUB's configuration is made from needs it: the quotes have to reach grub.cfg, where `;` ends a
    /// command.
    private static func grub(_ parameter: String) -> String {
        let parts = parameter.split(separator: "=", maxSplits: 2)
        guard parts.count == 3 else { return parameter }
        return "GRUB_CMDLINE_LINUX=\"$GRUB_CMDLINE_LINUX \(parts[0])=\(parts[1])=\\\"\(parts[2])\\\"\""
    }

    var json: JSONValue {
        .object([
            ("parameter", .optional(parameter)), ("grub", .optional(parameter.map(Self.grub))),
            ("redirection", .optional(parameter.map { _ in current.joined(functions.redirection) })),
            ("bits", .optional(parameter.map { _ in current.joined(functions.bits) })),
            ("functions", .list(functions.functions.map { .text("\($0.address)") })),
            ("routes", .list(pairs.map(\.json))), ("mends", .flag(mends && parameter != nil)),
            ("unreadableRoutes", .count(unreadable)), ("commandLineRead", .flag(known != nil)),
            ("notes", .list(notes.map { .text($0) })),
        ])
    }

    private var pairs: [RouteProblems.Pair] {
        if parameter == nil { return [] }
        return mends ? problems.redirected : problems.detours.pairs
    }

    // MARK: Text

    func text(_ style: TextStyle) -> String {
        guard let parameter else {
            let reason =
                unreadable > 0
                ? "Whether boot parameters help cannot be told: see peermr doctor."
                : "No boot parameter helps here: see peermr doctor for what does."
            return style.paragraph(reason) + notes.map { "\n" + style.paragraph($0) }.joined()
        }
        var text = style.colored(parameter, .good) + "\n"
        for note in notes { text += "\n" + style.paragraph(note) }
        text += "\n"
        text += style.paragraph(
            "For GRUB, as the last line of /etc/default/grub; then update-grub (Debian, Ubuntu) or grub2-mkconfig:")
        text += "  \(Self.grub(parameter))\n"
        return text
            + style.paragraph(
                "GRUB needs these quotes, because ; ends a command there. Elsewhere (systemd-boot, extlinux, kexec, "
                    + "qemu -append) use the first line as it is: the kernel does not take quotes inside it.")
    }

    private var notes: [String] {
        var notes: [String] = []
        if parameter != nil { notes += [benefit, cost] + kernelNotes }
        if unreadable > 0 {
            notes.append(
                "Of \(NumberFormat.count(unreadable, "route")) it is not known what redirects: "
                    + "run this as root, or on a capture that was made as root.")
        }
        if !Diagnosis.translation(machine).isEmpty {
            notes.append(
                "Not in the line: \(machine.topology.passthroughParameter) ends the IOMMU's translation, where devices "
                    + "need no protection from each other; it leaves ACS as it is.")
        }
        return notes
    }

    private var benefit: String {
        let count = NumberFormat.count(pairs.count, "route")
        return mends
            ? "It switches ACS redirection off in \(NumberFormat.count(functions.functions.count, "function")). That "
                + "allows \(count) from NICs, by bus address, below the root complex."
            : "Nothing is refused for ACS. It keeps \(count) from NICs below the root complex, instead of through the "
                + "host bridge."
    }

    private var cost: String {
        "It costs isolation: devices behind these functions reach each other's memory past the IOMMU, and come into "
            + "one IOMMU group, which goes to a virtual machine as a whole."
            + (hasBits ? "" : " The other ACS bits of these functions become what the firmware had set.")
    }

    private var kernelNotes: [String] {
        var notes: [String] = []
        if known == nil {
            notes.append(
                "What the running kernel was booted with cannot be read from /proc/cmdline. Where that has such an option "
                    + "already, add its functions to the line, and put it in its place: the kernel takes the last one "
                    + "alone.")
        }
        if current.hasOption {
            notes.append(
                "The running kernel's command line has such an option already. Put the line in its place: the kernel "
                    + "takes the last one alone, so that the line names what that one did too.")
        }
        if current.strangeCount > 0 {
            notes.append(
                "Not taken over from it: \(NumberFormat.count(current.strangeCount, "part")) that cannot be the name of "
                    + "a function.")
        }
        if release?.isFaulty == true {
            notes.append(
                "Linux 6.11 to 6.14 (before 6.12.23, 6.13.11 and 6.14.2) leave on what the firmware has switched on: "
                    + "look with peermr doctor after booting, or use another kernel.")
        }
        if let parameter, parameter.utf8.count + current.byteCount > CommandLine.limit {
            notes.append(
                "The command line would be longer than the \(CommandLine.limit) bytes that x86 and Arm kernels take: "
                    + "leave out functions of routes that you do not need.")
        }
        notes.append("Addresses change with the cards that are plugged in: print the line anew then.")
        return notes
    }
}

/// A kernel's release with its patch level, for a fault that was mended in stable releases.
struct Release {
    private let numbers: (Int, Int, Int)

    init?(_ text: String) {
        let parts = text.split(separator: ".", maxSplits: 2).map { Int($0.prefix { $0.isASCII && $0.isNumber }) }
        guard parts.count >= 2, let major = parts[0], let minor = parts[1] else { return nil }
        numbers = (major, minor, parts.count > 2 ? parts[2] ?? 0 : 0)
    }

    /// `pci=config_acs=` came with 6.11 and was mended by commit 9cf8a952d57b in 6.15, 6.14.2, 6.13.11 and 6.12.23: it
    /// took one function only, and both options kept what the firmware had switched on.
    var readsBits: Bool { numbers >= (6, 11, 0) && !isFaulty }

    var isFaulty: Bool {
        switch (numbers.0, numbers.1) {
        case (6, 11): true
        case (6, 12): numbers.2 < 23
        case (6, 13): numbers.2 < 11
        case (6, 14): numbers.2 < 2
        default: false
        }
    }
}

/// The running kernel's command line, as far as the parameters have to go along with it.
struct CommandLine {
    /// COMMAND_LINE_SIZE of x86 and arm64.
    static let limit = 2048

    let byteCount: Int
    /// How many entries cannot name a function, and are not taken over.
    private(set) var strangeCount = 0
    private var values: [Substring: [Substring]] = [:]

    init(_ text: String) {
        byteCount = text.utf8.count
        for (name, value) in ACSParameter.options(in: text) {
            let entries = value.split(separator: ";")
            // The line is pasted into a file that root's shell reads, and a capture may hold anything.
            values[name] = entries.filter { $0.utf8.allSatisfy(Self.isUsual) }
            strangeCount += entries.count - (values[name]?.count ?? 0)
        }
    }

    /// Whether a byte is of those that bits, addresses, paths and device numbers are written with.
    private static func isUsual(_ byte: UInt8) -> Bool {
        switch byte {
        case UInt8(ascii: "0")...UInt8(ascii: ":"), UInt8(ascii: "a")...UInt8(ascii: "z"),
            UInt8(ascii: "A")...UInt8(ascii: "Z"), UInt8(ascii: "."), UInt8(ascii: "/"), UInt8(ascii: "@"):
            true
        default: false
        }
    }

    /// Whether it has one of the options for ACS.
    var hasOption: Bool { !values.isEmpty }

    /// A parameter with what the command line's own of the same name says of other functions.
    func joined(_ parameter: String) -> String {
        let parts = parameter.split(separator: "=", maxSplits: 2)
        guard parts.count == 3, let before = values[parts[1]] else { return parameter }
        let new = parts[2].split(separator: ";")
        func device(_ entry: Substring) -> Substring { entry.split(separator: "@").last ?? entry }
        let named = Set(new.map(device))
        let kept = before.filter { !named.contains(device($0)) }
        return "\(parts[0])=\(parts[1])=" + (kept + new).joined(separator: ";")
    }
}
