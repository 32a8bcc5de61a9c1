// SPDX-License-Identifier: Apache-2.0

public import PeerMRCore

/// The CPU, as far as the kernel's rule asks.
public struct CPU: Hashable, Sendable {
    /// `vendor_id` of /proc/cpuinfo, such as `AuthenticAMD`; nil on other architectures than x86.
    public let vendor: String?
    /// `cpu family` of /proc/cpuinfo.
    public let family: Int?
    /// Of `flags` of /proc/cpuinfo those that matter for DMA; nil where the line may be cut off.
    public let flags: Set<String>?
    /// Whether it is a POWER processor.
    public let isPower: Bool

    /// A CPU given by what the kernel's rule asks.
    public init(vendor: String?, family: Int?, flags: Set<String>? = [], isPower: Bool = false) {
        self.vendor = vendor
        self.family = family
        self.flags = flags
        self.isPower = isPower
    }

    /// The flags of a guest, and of those whose memory is encrypted.
    private static let wantedFlags = ["hypervisor", "sev", "sev_es", "sev_snp", "tdx_guest"]
    /// The flags of a processor, and some lines more.
    static let limit = 32_768

    /// Reads the first processor of /proc/cpuinfo; nil where there is none, or its family is missing.
    public init?(root: SystemRoot) {
        guard let bytes = root.contents("proc/cpuinfo", limit: Self.limit) else { return nil }
        let (values, isWhole) = Self.firstProcessor(bytes)
        let flags = Set((values["flags"] ?? "").split(separator: " ").map(String.init))
        // Only x86 has them.
        self.flags =
            values["vendor_id"] == nil || isWhole || values["flags"] != nil
            ? flags.intersection(Self.wantedFlags) : nil
        isPower = values["cpu"]?.hasPrefix("POWER") ?? false
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

    /// - Returns: the lines, and whether the empty one behind them was seen.
    private static func firstProcessor(_ bytes: [UInt8]) -> (values: [Substring: Substring], isWhole: Bool) {
        var values: [Substring: Substring] = [:]
        var isWhole = false
        let text = String(decoding: bytes, as: UTF8.self)
        // What stands behind the last newline was cut off: half a number is another number.
        for line in text.split(separator: "\n", omittingEmptySubsequences: false).dropLast() {
            // POWER and loongarch begin with a paragraph about the machine, or an empty line.
            if line.isEmpty && values["processor"] != nil {
                isWhole = true
                break
            }
            let parts = line.split(separator: ":", maxSplits: 1)
            guard parts.count == 2 else { continue }
            values[parts[0].trimmed] = parts[1].trimmed
        }
        return (values, isWhole)
    }

    /// What a capture keeps of /proc/cpuinfo: the lines that the rules ask for, those of other architectures without
    /// their values.
    static func reduced(_ bytes: [UInt8]) -> String {
        let (values, isWhole) = firstProcessor(bytes)
        var text = values["processor"] == nil ? "" : "processor\t: 0\n"
        for key in ["vendor_id", "cpu family"] as [Substring] {
            if let value = values[key] { text += "\(key)\t: \(value)\n" }
        }
        for key in otherArchitectures where values[key] != nil {
            text += "\(key)\t: \(values[key]?.hasPrefix("POWER") ?? false ? "POWER" : "-")\n"
        }
        if let flags = values["flags"]?.split(separator: " ") {
            let kept = wantedFlags.filter { flags.contains(Substring($0)) }
            text += "flags\t: \(kept.joined(separator: " "))\n"
        }
        return text + (isWhole ? "\n" : "")
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
