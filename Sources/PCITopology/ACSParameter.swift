// SPDX-License-Identifier: Apache-2.0

internal import PeerMRCore

/// The boot parameter that keeps functions from sending peer-to-peer requests up to the root complex.
///
/// The kernel keeps one string for each of the two options (drivers/pci/pci.c, `disable_acs_redir_param` and
/// `config_acs_param`): of several parameters on a command line the last one counts, so that one has to name all
/// functions. Both are for any function with access control services, endpoints included (`pci_enable_acs`).
package struct ACSParameter: Sendable {
    /// The functions that it is for, in the order in which the parameter names them.
    package let functions: [PCIFunction]

    /// - Parameter functions: those that redirect; the others are left out, because nothing has to change for them.
    package init(_ functions: [PCIFunction]) {
        self.functions = functions.filter { $0.accessControl.redirects == true }
    }

    /// Request redirect, completion redirect and egress control off, since Linux 4.19. The other bits become what the
    /// firmware had set.
    package var redirection: String {
        "pci=disable_acs_redir=" + functions.map { "\($0.address)" }.joined(separator: ";")
    }

    /// The same with every other bit that is on kept on, since Linux 6.11: for each function the bits from direct
    /// translated down to source validation (1 on, 0 off, x as the firmware had it).
    package var bits: String {
        let parts = functions.map { "\(Self.bits($0.accessControl))@\($0.address)" }
        return "pci=config_acs=" + parts.joined(separator: ";")
    }

    private static func bits(_ accessControl: AccessControl) -> String {
        guard case .control(let control) = accessControl else { return "x" }
        return String(
            stride(from: 6, through: 0, by: -1).map { bit -> Character in
                let flag = ACSControl(rawValue: 1 << bit)
                if ACSControl.redirecting.contains(flag) { return "0" }
                return control.contains(flag) ? "1" : "x"
            })
    }
}

extension ACSParameter {
    /// The two options, without the `pci=` before them.
    package static let options: Set<Substring> = ["disable_acs_redir", "config_acs"]

    /// What a command line gives the two options, in order. The last one of each counts.
    package static func options(in commandLine: String) -> [(name: Substring, value: String)] {
        commandLine.split(whereSeparator: { $0 == " " || $0 == "\n" }).flatMap { word -> [(Substring, String)] in
            // The kernel takes quotes around a whole parameter.
            let plain = word.drop { $0 == "\"" }
            guard plain.hasPrefix("pci=") else { return [] }
            return plain.dropFirst(4).split(separator: ",").compactMap { option in
                let parts = option.split(separator: "=", maxSplits: 1)
                guard parts.count == 2, options.contains(parts[0]) else { return nil }
                return (parts[0], parts[1].filter { $0 != "\"" })
            }
        }
    }

    /// What a capture keeps of a command line.
    static func reduced(_ commandLine: String) -> String {
        options(in: commandLine).map { "pci=\($0.name)=\($0.value)" }.joined(separator: " ")
    }
}
