// SPDX-License-Identifier: Apache-2.0

internal import PeerMRCore

/// Whether the kernel encrypts the machine's memory, and so sets a bit in every address that it gives to devices
/// (`phys_to_dma` in include/linux/dma-direct.h), which no other device's memory is reached by.
enum MemoryEncryption {
    private static let parameter = "mem_encrypt="

    /// Nil where that cannot be told.
    ///
    /// AMD's processors do it (SME), on request (`mem_encrypt=on`) or, up to Linux 6.8, where the kernel was so
    /// configured; and the kernel of a confidential guest always does.
    static func isActive(root: SystemRoot) -> Bool? {
        guard let bytes = root.contents("proc/cpuinfo", limit: 1 << 14) else { return nil }
        let values = values(String(decoding: bytes, as: UTF8.self))
        guard let vendor = values["vendor_id"] else {
            // Another architecture than x86 has a key of its own: see ``CPU``.
            return CPU(root: root) == nil ? nil : false
        }
        guard let line = values["flags"] else { return nil }
        let flags = Set(line.split(separator: " "))
        if !flags.isDisjoint(with: ["tdx_guest", "sev_guest"]) { return true }
        guard vendor == "AuthenticAMD" || vendor == "HygonGenuine" else { return false }
        if flags.contains("hypervisor"), !flags.isDisjoint(with: ["sev", "sev_es", "sev_snp"]) { return true }
        return flags.contains("sme") ? isRequested(root) : false
    }

    /// Of a processor that can.
    private static func isRequested(_ root: SystemRoot) -> Bool? {
        guard let line = root.attribute("proc/cmdline") else { return nil }
        let wanted = line.split(separator: " ").last { $0.hasPrefix(parameter) }?.dropFirst(parameter.count)
        switch wanted {
        case "on"?: return true
        case "off"?: return false
        default: return isDefault(root)
        }
    }

    private static func isDefault(_ root: SystemRoot) -> Bool? {
        guard let release = root.attribute("proc/sys/kernel/osrelease"), !release.utf8.contains(0x2f) else {
            return nil
        }
        for file in [KernelBuild.configuration(of: release), "boot/config-\(release)"] {
            guard let bytes = root.contents(file, limit: 1 << 20) else { continue }
            let text = String(decoding: bytes, as: UTF8.self)
            if text.contains("\nCONFIG_AMD_MEM_ENCRYPT_ACTIVE_BY_DEFAULT=y\n") { return true }
            // A capture keeps one line only.
            if text.contains("CONFIG_AMD_MEM_ENCRYPT") { return false }
        }
        return nil
    }

    /// Of the first processor.
    private static func values(_ text: String) -> [Substring: Substring] {
        var values: [Substring: Substring] = [:]
        for line in text.split(separator: "\n", omittingEmptySubsequences: false).dropLast() {
            if line.isEmpty && values["processor"] != nil { break }
            let parts = line.split(separator: ":", maxSplits: 1)
            if parts.count == 2 { values[parts[0].trimmed] = parts[1].trimmed }
        }
        return values
    }
}
