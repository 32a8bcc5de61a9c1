// SPDX-License-Identifier: Apache-2.0

internal import PCITopology
package import PeerMRCore
internal import Verbs

extension PeerMRError {
    package static let mappingErrors = ErrorSection(
        "Registering p2pmem on kernels that map it without a check",
        [
            uncheckedMapping, softwareMapping, refusedMapping, unknownMapping, translatedMapping, otherDomainMapping,
            offsetMapping, unknownOffsetMapping, encryptedMapping, unknownEncryptionMapping, foreignMapping,
        ])

    private static func unchecked(
        _ kernel: some CustomStringConvertible, _ device: some CustomStringConvertible,
        _ provider: some CustomStringConvertible
    ) -> String {
        "\(kernel) maps peer memory for \(device) without checking that it can reach \(provider), and "
    }

    private static let newerKernel = "use Linux \(MethodChoice.firstCheckingKernel) or newer, or host memory"

    /// No provider is named, so that nothing can stand in for the kernel's check.
    static let uncheckedMapping = ErrorTable(facts: "kernel", "device", "first kernel") { kernel, device, first in
        ErrorRow(
            .unsafeConfiguration,
            "\(kernel) maps peer memory for \(device) without checking that the two devices can reach each other, so "
                + "data may go astray and be reported as arrived",
            "use Linux \(first) or newer, or host memory")
    }

    static let softwareMapping = ErrorTable(facts: "kernel", "device", "provider") { kernel, device, provider in
        ErrorRow(
            .unsafeConfiguration,
            unchecked(kernel, device, provider) + "no PCI function is known to do the DMA of \(device)", newerKernel)
    }

    static let refusedMapping = ErrorTable(
        facts: "kernel", "device", "provider", "reason", .optional("", "remedy")
    ) { kernel, device, provider, reason, remedy in
        ErrorRow(
            .unsafeConfiguration, unchecked(kernel, device, provider) + "a newer one would refuse it: \(reason)",
            "\(remedy)")
    }

    static let unknownMapping = ErrorTable(
        facts: "kernel", "device", "provider", "reason", .optional("", "remedy")
    ) { kernel, device, provider, reason, remedy in
        ErrorRow(
            .unsafeConfiguration,
            unchecked(kernel, device, provider) + "whether a newer one would refuse it is not known: \(reason)",
            "\(remedy)")
    }

    static let translatedMapping = ErrorTable(
        facts: "kernel", "device", "provider", "group"
    ) { kernel, device, provider, group in
        ErrorRow(
            .unsafeConfiguration,
            unchecked(kernel, device, provider)
                + "sends requests that an IOMMU translates (group \(group)) through the "
                + "host bridge, which is not known to pass them on between these two",
            "boot with iommu=pt, or \(newerKernel)")
    }

    static let otherDomainMapping = ErrorTable(
        facts: "kernel", "device", "provider", "group", "type"
    ) { kernel, device, provider, group, type in
        ErrorRow(
            .unsafeConfiguration,
            unchecked(kernel, device, provider) + "what its IOMMU does is not known: the type of group \(group) is "
                + "\(type)",
            "see /sys/kernel/iommu_groups/\(group)/type, or \(newerKernel)")
    }

    static let offsetMapping = ErrorTable(
        facts: "kernel", "device", "provider", "offset"
    ) { kernel, device, provider, offset in
        ErrorRow(
            .unsafeConfiguration,
            unchecked(kernel, device, provider) + "takes the CPU's addresses, while those on the bus of \(provider) "
                + "differ by \(offset)",
            newerKernel)
    }

    static let unknownOffsetMapping = ErrorTable(facts: "kernel", "device", "provider") { kernel, device, provider in
        ErrorRow(
            .unsafeConfiguration,
            unchecked(kernel, device, provider) + "takes the CPU's addresses; whether they are those on the bus cannot "
                + "be read from the base address registers of \(provider)",
            newerKernel)
    }

    static let encryptedMapping = ErrorTable(facts: "kernel", "device", "provider") { kernel, device, provider in
        ErrorRow(
            .unsafeConfiguration,
            unchecked(kernel, device, provider) + "marks the addresses as encrypted, because the machine's memory is",
            "boot with mem_encrypt=off, or \(newerKernel)")
    }

    static let unknownEncryptionMapping = ErrorTable(
        facts: "kernel", "device", "provider"
    ) { kernel, device, provider in
        ErrorRow(
            .unsafeConfiguration,
            unchecked(kernel, device, provider) + "whether it marks the addresses as encrypted is not known",
            "boot with mem_encrypt=off, or \(newerKernel)")
    }

    static let foreignMapping = ErrorTable(facts: "kernel", "device", "provider") { kernel, device, provider in
        ErrorRow(
            .unsafeConfiguration,
            unchecked(kernel, device, provider) + "its IOMMU is that of a processor where this was not looked at",
            newerKernel)
    }

    /// Which condition does not hold, in words.
    static func unsafeMapping(
        _ failure: UncheckedMapping.Failure, _ kernel: String, _ device: Device, _ provider: PCIAddress,
        _ route: Answer?
    ) -> PeerMRError {
        let reason = route?.reason ?? "there is no route"
        return switch failure {
        case .noFunction: softwareMapping(kernel, device, provider)
        case .refusedRoute: refusedMapping(kernel, device, provider, reason, route?.remedy)
        case .unknownRoute: unknownMapping(kernel, device, provider, reason, route?.remedy)
        case .translated(let group): translatedMapping(kernel, device, provider, group)
        case .domain(let type, let group): otherDomainMapping(kernel, device, provider, group, type ?? "unknown")
        case .busOffset(let offset?): offsetMapping(kernel, device, provider, hexadecimal(offset))
        case .busOffset(nil): unknownOffsetMapping(kernel, device, provider)
        case .memoryEncryption(true?): encryptedMapping(kernel, device, provider)
        case .memoryEncryption: unknownEncryptionMapping(kernel, device, provider)
        case .architecture: foreignMapping(kernel, device, provider)
        }
    }

    private static func hexadecimal(_ offset: Int64) -> String {
        (offset < 0 ? "-0x" : "0x") + String(offset.magnitude, radix: 16)
    }
}
