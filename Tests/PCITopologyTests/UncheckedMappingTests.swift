// SPDX-License-Identifier: Apache-2.0

import PeerMRCore
import TestSupport
import Testing

@testable import PCITopology

/// Where a kernel that does not ask p2pdma maps peer memory rightly, each condition by itself.
@Suite struct UncheckedMappingTests {
    private static let bus = Verdict(mapType: .busAddress, isSupported: true, distance: 2)
    private static let bridge = Verdict(mapType: .throughHostBridge, isSupported: true, distance: 4)
    private static let either = Verdict(mapType: .unknown, isSupported: true, distance: 4)
    private static let refused = Verdict(mapType: .notSupported, isSupported: false, distance: 4)
    private static let passthrough = IOMMUMode.domain(type: "identity", group: "7")
    private static let translated = IOMMUMode.domain(type: "DMA", group: "7")
    private static let lazily = IOMMUMode.domain(type: "DMA-FQ", group: "7")

    private func mapping(
        _ verdict: Verdict = bus, allowsHostBridge: Bool? = false, _ iommu: IOMMUMode = .none, busOffset: Int64? = 0,
        encryptsMemory: Bool? = false, isX86: Bool = true
    ) -> UncheckedMapping {
        UncheckedMapping(
            client: PCIAddress("0000:01:00.0"), verdict: verdict, allowsHostBridge: allowsHostBridge, iommu: iommu,
            busOffset: busOffset, encryptsMemory: encryptsMemory, isX86: isX86)
    }

    @Test(arguments: [IOMMUMode.none, passthrough])
    func withoutTranslationTheCPUsAddressIsRight(_ iommu: IOMMUMode) {
        for verdict in [Self.bus, Self.bridge, Self.either] {
            for isX86 in [true, false] { #expect(mapping(verdict, iommu, isX86: isX86).failure == nil) }
        }
    }

    @Test func aRouteMustBeCertain() {
        for iommu in [IOMMUMode.none, Self.passthrough, Self.translated] {
            #expect(mapping(Self.refused, allowsHostBridge: true, iommu).failure == .refusedRoute)
            #expect(mapping(.unknown, allowsHostBridge: true, iommu).failure == .unknownRoute)
        }
    }

    @Test func theClientMustBeAFunction() {
        var mapping = mapping()
        mapping.client = nil
        #expect(mapping.failure == .noFunction)
    }

    @Test func addressesMustBeThoseOnTheBus() {
        #expect(mapping(busOffset: 0x1000).failure == .busOffset(0x1000))
        #expect(mapping(busOffset: nil).failure == .busOffset(nil))
        #expect(mapping(Self.passthrough, busOffset: nil).failure == .busOffset(nil))
    }

    @Test func addressesMustNotBeMarkedAsEncrypted() {
        #expect(mapping(encryptsMemory: true).failure == .memoryEncryption(true))
        #expect(mapping(encryptsMemory: nil).failure == .memoryEncryption(nil))
    }

    /// The IOMMU's own addresses go up to the root complex, also where a newer kernel takes those on the bus.
    @Test(arguments: [translated, lazily])
    func withTranslationTheHostBridgeMustBeAllowed(_ iommu: IOMMUMode) {
        for verdict in [Self.bus, Self.bridge, Self.either] {
            #expect(mapping(verdict, allowsHostBridge: true, iommu).failure == nil)
            #expect(mapping(verdict, allowsHostBridge: false, iommu).failure == .translated(group: "7"))
            #expect(mapping(verdict, allowsHostBridge: nil, iommu).failure == .translated(group: "7"))
            #expect(mapping(verdict, allowsHostBridge: true, iommu, isX86: false).failure == .architecture)
        }
        #expect(mapping(allowsHostBridge: true, iommu, busOffset: nil, encryptsMemory: nil).failure == nil)
    }

    @Test(arguments: ["blocked", "unmanaged", "unknown", "DMA-SVA", ""])
    func otherDomainsAreNotKnownToBeRight(_ type: String) {
        let found = mapping(allowsHostBridge: true, .domain(type: type, group: "7")).failure
        #expect(found == .domain(type: type.isEmpty ? nil : type, group: "7"))
    }
}

extension UncheckedMappingTests {
    private func mapping(_ iommu: IOMMUMode, busOffset: Int64?) -> UncheckedMapping {
        mapping(Self.bus, allowsHostBridge: false, iommu, busOffset: busOffset)
    }

    private func mapping(
        allowsHostBridge: Bool?, _ iommu: IOMMUMode, busOffset: Int64? = 0, encryptsMemory: Bool? = false
    ) -> UncheckedMapping {
        mapping(
            Self.bus, allowsHostBridge: allowsHostBridge, iommu, busOffset: busOffset, encryptsMemory: encryptsMemory)
    }

    // MARK: - The bus offset

    /// Base address registers from 0x10 on.
    private func space(_ registers: [UInt32]) -> [UInt8] {
        var bytes = [UInt8](repeating: 0, count: 64)
        for (index, register) in registers.enumerated() {
            for byte in 0..<4 { bytes[0x10 + 4 * index + byte] = UInt8(truncatingIfNeeded: register >> (8 * byte)) }
        }
        return bytes
    }

    private func resources(_ lines: [(UInt64, UInt64)]) -> String {
        let hexadecimal = { (number: UInt64) in
            "0x" + String(repeating: "0", count: 16 - String(number, radix: 16).count) + String(number, radix: 16)
        }
        return (0..<13).map { index in
            let (start, flags) = index < lines.count ? lines[index] : (0, 0)
            let end = start == 0 ? 0 : start + 0x3fff
            return [start, end, flags].map(hexadecimal).joined(separator: " ")
        }.joined(separator: "\n") + "\n"
    }

    @Test func theRegistersAreHeldAgainstTheResources() {
        // 64 bits at 0, 32 bits at 2, a port at 3, 64 bits at 4.
        let registers: [UInt32] = [0x0000_0004, 0x0000_0008, 0xfebf_0000, 0x0000_c001, 0xfe00_000c, 0x0000_00ff]
        let same: [(UInt64, UInt64)] = [
            (0x8_0000_0000, 0x14_0204), (0, 0), (0xfebf_0000, 0x4_0200), (0xc000, 0x4_0101),
            (0xff_fe00_0000, 0x14_220c),
            (0, 0),
        ]
        #expect(BusOffset.offset(registers: space(registers), resources: resources(same)) == 0)
        var moved = same
        moved[4].0 += 0x10_0000
        #expect(BusOffset.offset(registers: space(registers), resources: resources(moved)) == -0x10_0000)
    }

    /// The registers of a virtual function are zero, those of a device that has gone all ones.
    @Test func registersThatTellNothingAreUnknown() {
        let start: [(UInt64, UInt64)] = [(0xfebf_0000, 0x4_0200)]
        #expect(BusOffset.offset(registers: space([0]), resources: resources(start)) == nil)
        #expect(BusOffset.offset(registers: space([0, 0, 0, 0, 0, 0]), resources: resources([])) == nil)
        #expect(BusOffset.offset(registers: space([0xfebf_0000]), resources: "") == nil)
        #expect(BusOffset.offset(registers: space([0xfebf_0000]), resources: "? ? ?\n") == nil)
        let gone = [UInt8](repeating: 0xff, count: 64)
        #expect(BusOffset.offset(registers: gone, resources: resources(start)) == nil)
    }

    // MARK: - Memory encryption

    private static func machine(
        _ vendor: String, _ flags: String, commandLine: String? = "quiet", configuration: String? = nil
    ) -> TemporaryFolder {
        let folder = TemporaryFolder()
        folder.file("proc/cpuinfo", "processor\t: 0\nvendor_id\t: \(vendor)\ncpu family\t: 25\nflags\t\t: \(flags)\n\n")
        folder.file("proc/sys/kernel/osrelease", "6.8.0-31-generic\n")
        if let commandLine { folder.file("proc/cmdline", commandLine + "\n") }
        if let configuration { folder.file("boot/config-6.8.0-31-generic", configuration) }
        return folder
    }

    @Test func memoryEncryptionIsRead() {
        let isActive = { (folder: TemporaryFolder) in MemoryEncryption.isActive(root: folder.root) }
        #expect(isActive(Self.machine("GenuineIntel", "fpu tme")) == false)
        #expect(isActive(Self.machine("GenuineIntel", "fpu hypervisor tdx_guest")) == true)
        #expect(isActive(Self.machine("AuthenticAMD", "fpu sse")) == false, "a processor that cannot")
        #expect(isActive(Self.machine("AuthenticAMD", "fpu sme", commandLine: "mem_encrypt=on quiet")) == true)
        #expect(
            isActive(Self.machine("AuthenticAMD", "fpu sme", commandLine: "mem_encrypt=on mem_encrypt=off")) == false)
        #expect(isActive(Self.machine("AuthenticAMD", "fpu sme")) == nil, "its default cannot be read")
        #expect(isActive(Self.machine("AuthenticAMD", "fpu sme", commandLine: nil)) == nil)
        #expect(isActive(Self.machine("AuthenticAMD", "fpu hypervisor sev_snp")) == true)
        let byDefault = "CONFIG_AMD_MEM_ENCRYPT=y\nCONFIG_AMD_MEM_ENCRYPT_ACTIVE_BY_DEFAULT=y\n"
        #expect(isActive(Self.machine("AuthenticAMD", "sme", configuration: byDefault)) == true)
        let onRequest = "CONFIG_AMD_MEM_ENCRYPT=y\n# CONFIG_AMD_MEM_ENCRYPT_ACTIVE_BY_DEFAULT is not set\n"
        #expect(isActive(Self.machine("AuthenticAMD", "sme", configuration: onRequest)) == false)
        #expect(isActive(TemporaryFolder()) == nil)
        let arm = TemporaryFolder()
        arm.file("proc/cpuinfo", "processor\t: 0\nCPU implementer\t: 0x41\n\n")
        #expect(isActive(arm) == false)
    }

    // MARK: - Red Hat's kernels

    @Test(
        arguments: [
            ("5.14.0-362.8.1.el9_3.x86_64", "RHEL 9.3", true, false),
            ("5.14.0-427.13.1.el9_4.x86_64", "RHEL 9.4", true, false),
            ("5.14.0-503.11.1.el9_5.x86_64", "RHEL 9.5", false, true),
            ("5.14.0-570.12.1.el9_6.x86_64", "RHEL 9.6", false, false),
            ("6.12.0-55.9.1.el10_0.x86_64", "RHEL 10.0", false, false),
            ("5.14.0-480.el9.x86_64", "RHEL 9.4", true, false),
            ("5.14.0-284.11.1.el9_2.x86_64", "RHEL 9.2", false, false),
        ])
    func redHatsKernelsAreKnownByTheirRelease(_ release: String, _ name: String, _ pins: Bool, _ refuses: Bool) {
        let kernel = RedHatKernel(release: release)
        #expect(kernel?.description == name)
        #expect(kernel?.pinsPeerMemory == pins)
        #expect(kernel?.refusesDirectIO == refuses)
    }

    @Test(arguments: [
        "6.12.0-55.el10.x86_64", "5.14.0", "7.3.4+deb13-amd64", "6.8.0-31-generic", "5.14.0-1.el", "el9_", "",
    ])
    func othersAreNone(_ release: String) {
        #expect(RedHatKernel(release: release) == nil)
    }
}
