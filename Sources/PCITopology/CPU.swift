// SPDX-License-Identifier: Apache-2.0

public import PeerMRCore

/// The CPU, as far as the kernel's rule asks.
public struct CPU: Hashable, Sendable {
    /// `vendor_id` of /proc/cpuinfo, such as `AuthenticAMD`; nil on other architectures than x86.
    public let vendor: String?
    /// `cpu family` of /proc/cpuinfo.
    public let family: Int?

    /// A CPU given by what the kernel's rule asks.
    public init(vendor: String?, family: Int?) {
        self.vendor = vendor
        self.family = family
    }

    /// Reads the first processor of /proc/cpuinfo; nil where there is none, or its family is missing.
    public init?(root: SystemRoot) {
        guard let bytes = root.contents("proc/cpuinfo", limit: 8192) else { return nil }
        let values = Self.firstProcessor(bytes)
        vendor = values["vendor_id"].map(String.init)
        family = values["cpu family"].flatMap { Int($0) }
        // On x86 both are always there. Another architecture is known by a key of its own.
        if vendor == "AuthenticAMD" && family == nil { return nil }
        if vendor == nil, Self.otherArchitectures.allSatisfy({ values[$0] == nil }) { return nil }
    }

    /// Keys of /proc/cpuinfo that x86 does not have: arm64, riscv, POWER, loongarch.
    private static let otherArchitectures: [Substring] = [
        "CPU implementer", "isa", "mvendorid", "cpu", "CPU Family",
    ]

    private static func firstProcessor(_ bytes: [UInt8]) -> [Substring: Substring] {
        var values: [Substring: Substring] = [:]
        let text = String(decoding: bytes, as: UTF8.self)
        // What stands behind the last newline was cut off: half a number is another number.
        for line in text.split(separator: "\n", omittingEmptySubsequences: false).dropLast() {
            // POWER and loongarch begin with a paragraph about the machine, or an empty line.
            if line.isEmpty && values["processor"] != nil { break }
            let parts = line.split(separator: ":", maxSplits: 1)
            guard parts.count == 2 else { continue }
            values[parts[0].trimmed] = parts[1].trimmed
        }
        return values
    }

    /// What a capture keeps of /proc/cpuinfo: the lines that the rule asks for, those of other architectures without
    /// their values.
    static func reduced(_ bytes: [UInt8]) -> String {
        let values = firstProcessor(bytes)
        var text = ""
        for key in ["vendor_id", "cpu family"] as [Substring] {
            if let value = values[key] { text += "\(key)\t: \(value)\n" }
        }
        for key in otherArchitectures where values[key] != nil { text += "\(key)\t: -\n" }
        return text
    }

    /// Whether the kernel allows peer-to-peer through any host bridge of this CPU: AMD from family 17h (Zen) on.
    ///
    /// The same test is made in every version that was read; Hygon does not count.
    public var allowsAnyHostBridge: Bool {
        vendor == "AuthenticAMD" && (family ?? 0) >= 0x17
    }
}

extension Substring {
    /// Without spaces and tabs around it.
    var trimmed: Substring {
        var text = self
        while let first = text.first, first == " " || first == "\t" { text.removeFirst() }
        while let last = text.last, last == " " || last == "\t" { text.removeLast() }
        return text
    }
}
