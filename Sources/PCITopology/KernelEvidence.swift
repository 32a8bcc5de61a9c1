// SPDX-License-Identifier: Apache-2.0

internal import PeerMRCore

/// What the running kernel itself tells of its peer-to-peer code, whatever its version says: distributions carry newer
/// code under older numbers.
package struct KernelEvidence: Hashable, Sendable {
    /// What a capture keeps of the kernel's type information, which is megabytes: lines of a name and what was found.
    static let captured = "peermr/kernel-types"

    /// What a capture says of a name; nil where this is no capture, or it says nothing.
    static func captured(_ name: String, _ root: SystemRoot) -> String? {
        guard let text = root.attribute(captured) else { return nil }
        let prefix = name + " "
        return text.split(separator: "\n").first { $0.hasPrefix(prefix) }.map { String($0.dropFirst(prefix.count)) }
    }
}
