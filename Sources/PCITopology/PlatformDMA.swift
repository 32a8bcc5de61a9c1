// SPDX-License-Identifier: Apache-2.0

public import PeerMRCore

/// What besides the route decides whether a device's DMA reaches another one's memory: memory encryption, bounce
/// buffers, and platforms whose DMA calls are their own.
///
/// Sources: kernel/dma/direct.h (`dma_direct_map_phys` refuses peers where all DMA bounces), include/linux/pci-p2pdma.h
/// and kernel/dma/mapping.c (`dma_pci_p2pdma_supported`: no calls of a platform's own).
public struct PlatformDMA: Hashable, Sendable {
    /// Whether all of the machine's memory is encrypted against its host: a confidential guest. Nil where it may be.
    public var isConfidentialGuest: Bool?
    /// What tells so, or lets it be possible.
    public var confidentialSign: String
    /// Whether all DMA that no IOMMU translates goes through bounce buffers (`swiotlb=force`); nil where that cannot be
    /// read.
    public var bouncesAll: Bool?
    /// Whether the host encrypts its own memory (`mem_encrypt=on` on AMD).
    public var encryptsMemory: Bool
    /// The kind of guest that a Xen hypervisor has here, such as `PV`, or an empty text; nil without Xen.
    public var xenGuest: String?
    /// Whether devices are in IOMMU groups: then one without a group is one whose group was not read.
    public var hasGroups: Bool
    /// Whether it is a POWER machine, whose PCI devices have DMA calls of the platform's own.
    public var isPower: Bool
    /// What runs this machine as a guest.
    public var hypervisor: Hypervisor

    /// What runs a guest, as far as a rule of a kernel asks.
    public enum Hypervisor: Hashable, Sendable {
        /// It is no guest.
        case none
        /// VMware or Hyper-V, for whose guests a rule is queued, or one that is not known.
        case vmware, hyperV, unknown
        /// Any other.
        case other
    }

    /// A machine without any of these.
    public init() {
        (isConfidentialGuest, confidentialSign, bouncesAll, encryptsMemory) = (false, "", false, false)
        (xenGuest, isPower, hypervisor, hasGroups) = (nil, false, .none, false)
    }

    /// Reads a machine's.
    public init(root: SystemRoot, cpu: CPU?) {
        let parameters = Self.parameters(root)
        (isConfidentialGuest, confidentialSign) = Self.confidential(root, cpu)
        bouncesAll = parameters.map { Self.bouncesAll($0) } ?? Self.withoutParameters(root)
        encryptsMemory =
            cpu?.vendor == "AuthenticAMD" && parameters?.last { $0.hasPrefix("mem_encrypt=") } == "mem_encrypt=on"
        xenGuest = Self.xenGuest(root)
        hasGroups = root.entries("sys/kernel/iommu_groups")?.isEmpty == false
        isPower = cpu?.isPower ?? false
        hypervisor = Self.hypervisor(root, cpu)
    }
}

// MARK: - The command line

extension PlatformDMA {
    static let commandLine = "proc/cmdline"
    private static let wanted = ["swiotlb=", "mem_encrypt="]

    /// The parameters of the kernel's command line; nil where it cannot be read, or is cut off. Those of the first
    /// program stand behind two dashes.
    private static func parameters(_ root: SystemRoot) -> [Substring]? {
        // tar fills a file up with zeros that is shorter than it claimed.
        guard let bytes = root.contents(commandLine, limit: 65_536), bytes.last(where: { $0 != 0 }) == 0x0a
        else { return nil }
        return String(decoding: bytes, as: UTF8.self).split { [" ", "\n", "\0"].contains($0) }.prefix { $0 != "--" }
            .map { $0 }
    }

    /// What a whole copy of the kernel's files has besides its devices, and one of some files alone has not.
    private static let ofWholeCopies = [
        commandLine, "sys/kernel/uevent_seqnum", "proc/kallsyms", "sys/kernel/btf/vmlinux", vendorFile,
    ]

    /// Where there is no command line: the kernel always has one, and so has a whole copy of its files, whatever else
    /// is missing from it. One of some files alone, of which this is none, says nothing.
    private static func withoutParameters(_ root: SystemRoot) -> Bool? {
        root.isKernel || ofWholeCopies.contains { root.exists($0) } ? nil : false
    }

    /// `swiotlb=[slabs][,areas][,force|noforce]`.
    private static func bouncesAll(_ parameters: [Substring]) -> Bool {
        var isForced = false
        for parameter in parameters where parameter.hasPrefix("swiotlb=") {
            let words = parameter.dropFirst("swiotlb=".count).split(separator: ",")
            if words.contains("force") { isForced = true }
            if words.contains("noforce") { isForced = false }
        }
        return isForced
    }

    /// What a capture keeps of the command line; nil where it cannot be read.
    static func reducedCommandLine(_ root: SystemRoot) -> String? {
        guard let parameters = parameters(root) else { return withoutParameters(root) == nil ? "" : nil }
        let kept = parameters.filter { word in wanted.contains { word.hasPrefix($0) } }.map(String.init)
        let redirection = ACSParameter.reduced(root.attribute(commandLine) ?? "")
        return (kept + (redirection.isEmpty ? [] : [redirection])).joined(separator: " ") + "\n"
    }
}

// MARK: - Guests

extension PlatformDMA {
    /// The guest's own side of attestation, which only a confidential guest has.
    static let attestation = ["sys/class/misc/sev-guest", "sys/class/misc/tdx_guest"]
    /// Of a realm on Arm.
    static let realm = "sys/devices/platform/arm-cca-dev"
    /// Of a protected guest on s390: 1.
    static let protectedGuest = "sys/firmware/uv/prot_virt_guest"
    static let vendorFile = "sys/class/dmi/id/sys_vendor"
    static let xenFolder = "sys/hypervisor"

    private static func confidential(_ root: SystemRoot, _ cpu: CPU?) -> (Bool?, String) {
        if let file = attestation.first(where: { root.exists($0) }) { return (true, "/\(file) exists") }
        if root.attribute(protectedGuest) == "1" { return (true, "/\(protectedGuest) is 1") }
        if root.exists(realm) { return (nil, "/\(realm) exists") }
        guard let cpu else { return (nil, "the processor cannot be read from /proc/cpuinfo") }
        guard let flags = cpu.flags else { return (nil, "the flags of the processor are cut off in /proc/cpuinfo") }
        // A host has the flags of SEV, too, but not that of a guest.
        guard flags.contains("hypervisor") else { return (false, "") }
        if let flag = ["sev_snp", "tdx_guest"].first(where: flags.contains) {
            return (true, "the processor has \(flag)")
        }
        if let flag = ["sev_es", "sev"].first(where: flags.contains) { return (nil, "the processor has \(flag)") }
        return (false, "")
    }

    private static func xenGuest(_ root: SystemRoot) -> String? {
        if let type = root.attribute("\(xenFolder)/type"), !"xen".hasPrefix(type) || type == "xen" {
            return type == "xen" ? root.attribute("\(xenFolder)/guest_type") ?? "" : nil
        }
        return isXenOfSomeKind(root) ? "" : nil
    }

    /// Whether Xen runs it, and it is not told as what kind of guest: `/proc/xen` is there under Xen alone.
    static func isXenOfSomeKind(_ root: SystemRoot) -> Bool {
        root.entries(xenFolder)?.isEmpty == false || root.exists("proc/xen")
    }

    private static func hypervisor(_ root: SystemRoot, _ cpu: CPU?) -> Hypervisor {
        guard let flags = cpu?.flags else { return .unknown }
        guard flags.contains("hypervisor") else { return .none }
        switch root.attribute(vendorFile) {
        case "VMware, Inc."?: return .vmware
        case "Microsoft Corporation"?: return .hyperV
        case let vendor?: return vendor.isEmpty ? .unknown : .other
        case nil: return .unknown
        }
    }

    /// What a capture keeps of the name of the machine's maker; nil where it cannot be read.
    static func reducedVendor(_ root: SystemRoot) -> String? {
        guard let vendor = root.attribute(vendorFile) else { return nil }
        return ["VMware, Inc.", "Microsoft Corporation", ""].contains(vendor) ? vendor : "other"
    }
}
