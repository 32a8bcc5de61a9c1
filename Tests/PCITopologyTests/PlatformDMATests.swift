// SPDX-License-Identifier: Apache-2.0

import PeerMRCore
import TestSupport
import Testing

@testable import PCITopology

/// What stands against DMA from device to device besides the route: encryption, bounce buffers, other DMA calls.
@Suite struct PlatformDMATests {
    /// An AMD machine: two functions of a device, an NVMe drive and a NIC, and a NIC below another root port.
    private func machine(
        vendor: String = "AuthenticAMD", flags: String? = "fpu sse2", group: String? = nil,
        commandLine: String? = "ro quiet\n", seqnum: String? = "100", _ files: [String: String] = [:]
    ) -> TestMachine {
        let cpu = "processor\t: 0\nvendor_id\t: \(vendor)\ncpu family\t: 25\n"
        var machine = TestMachine(cpu: cpu + (flags.map { "flags\t\t: \($0)\n" } ?? "") + "\n", commandLine: commandLine, seqnum: seqnum)
        machine.function("0000:00:00.0", vendor: 0x1022, device: 0x1480, classCode: 0x060000, driver: nil)
        for (port, bus) in [("01", "01"), ("02", "02")] {
            let way = ["0000:00:\(port).0"]
            machine.bridge(way[0], port: 4)
            machine.function("0000:\(bus):00.0", below: way, classCode: 0x020000, driver: "mlx5_core", group: group)
            machine.function("0000:\(bus):00.1", below: way, group: group)
        }
        for (path, text) in files { machine.file(path, text) }
        return machine
    }

    private func route(_ machine: TestMachine, _ client: String, _ provider: String) throws -> Route {
        let (a, b) = (try #require(PCIAddress(client)), try #require(PCIAddress(provider)))
        let route = Topology(root: machine.root).route(from: a, to: b)
        let captured = SystemRoot(Snapshot.capture(machine.root))
        #expect(Topology(root: captured).route(from: a, to: b) == route, "a capture is judged alike")
        return route
    }

    /// From a NIC to a drive beside it, and to one below another root port; from a drive to the NIC beside it.
    private func answers(_ machine: TestMachine) throws -> [Bool?] {
        try [
            route(machine, "0000:01:00.0", "0000:01:00.1").verdict.isSupported,
            route(machine, "0000:01:00.0", "0000:02:00.1").verdict.isSupported,
            route(machine, "0000:01:00.1", "0000:01:00.0").verdict.isSupported,
        ]
    }

    @Test func nothingStandsAgainstIt() throws {
        #expect(try answers(machine()) == [true, true, true])
        #expect(try answers(machine(flags: nil)) == [true, true, true])
        // The host of confidential guests has the flags, too.
        #expect(try answers(machine(flags: "fpu sme sev sev_es sev_snp tdx_host_platform")) == [true, true, true])
        #expect(try answers(machine(flags: "fpu hypervisor")) == [true, true, true])
    }

    @Test(arguments: ["sev sev_es sev_snp", "tdx_guest"])
    func confidentialGuests(_ flags: String) throws {
        let machine = machine(flags: "fpu hypervisor \(flags) debug_swap")
        #expect(try answers(machine) == [false, false, false])
        let found = try route(machine, "0000:01:00.0", "0000:02:00.1")
        #expect(found.verdict.mapType == .notSupported)
        #expect(found.findings.filter(\.isBlocking).map(\.code) == [.noCommonUpstream, .confidentialGuest])
    }

    /// Where the route is refused besides, another place for the cards would not help.
    @Test func confidentialGuestsHaveOneRemedy() throws {
        let machine = machine(vendor: "GenuineIntel", flags: "fpu hypervisor tdx_guest")
        let found = try route(machine, "0000:01:00.0", "0000:02:00.1")
        #expect(found.verdict.isSupported == false)
        #expect(found.findings.contains { $0.code == .hostBridgeNotListed })
        #expect(found.findings.filter { $0.remedy != nil }.map(\.code) == [.confidentialGuest])
        let ordinary = self.machine(vendor: "GenuineIntel", flags: "fpu hypervisor")
        let refused = try route(ordinary, "0000:01:00.0", "0000:02:00.1")
        #expect(refused.findings.filter { $0.remedy != nil }.map(\.code) == [.noCommonUpstream])
    }

    @Test func whatMayBeAConfidentialGuest() throws {
        #expect(try answers(machine(flags: "hypervisor sev sev_es")) == [nil, nil, nil])
        #expect(try answers(machine(flags: "fpu", ["sys/devices/platform/arm-cca-dev/x": ""])) == [nil, nil, nil])
        #expect(try answers(machine(["sys/firmware/uv/prot_virt_guest": "0"])) == [true, true, true])
        #expect(try answers(machine(["sys/firmware/uv/prot_virt_guest": "1"])) == [false, false, false])
        #expect(try answers(machine(["sys/class/misc/sev-guest/dev": ""])) == [false, false, false])
        // Half a processor: its flags may have told.
        let cut = TestMachine(cpu: "processor\t: 0\nvendor_id\t: AuthenticAMD\ncpu family\t: 25\nmodel\t\t: 1\n")
        #expect(CPU(root: cut.root)?.flags == nil && CPU(root: cut.root)?.family == 25)
        #expect(PlatformDMA(root: cut.root, cpu: CPU(root: cut.root)).isConfidentialGuest == nil)
    }

    @Test(arguments: [
        ("ro swiotlb=force quiet", true), ("swiotlb=65536,force", true), ("swiotlb=65536,4,force", true),
        ("swiotlb=noforce", false), ("swiotlb=65536", false), ("ro quiet -- swiotlb=force", false),
        ("swiotlb=force swiotlb=noforce", false), ("xswiotlb=force", false), ("swiotlb=forced", false),
    ])
    func forcedBounceBuffers(_ parameters: String, _ isForced: Bool) throws {
        let machine = machine(commandLine: parameters + "\n")
        #expect(try answers(machine) == (isForced ? [nil, false, nil] : [true, true, true]))
        guard isForced else { return }
        let found = try route(machine, "0000:01:00.0", "0000:02:00.1")
        #expect(found.findings.filter(\.isBlocking).map(\.code) == [.noCommonUpstream, .bounceBuffers])
        let translated = self.machine(group: "7", commandLine: parameters + "\n")
        #expect(try answers(translated) == [nil, nil, nil], "what an IOMMU translates is not bounced, as it seems")
    }

    /// A cut line may have had more.
    @Test func aCommandLineThatCannotBeRead() throws {
        #expect(try answers(machine(commandLine: "ro swiotlb=for")) == [nil, nil, nil])
        #expect(try answers(machine(commandLine: "")) == [nil, nil, nil])
    }

    /// A whole copy of a kernel's files has one, whatever else was lost; a few files alone say nothing of it.
    @Test(arguments: [nil, "proc/kallsyms", "sys/kernel/btf/vmlinux", "sys/class/dmi/id/sys_vendor"])
    func aCommandLineThatIsMissing(_ sign: String?) throws {
        let files = sign.map { [$0: "0 T pci_p2pdma_distance_many"] } ?? [:]
        for machine in [machine(commandLine: nil, files), machine(commandLine: nil, seqnum: nil, files)] {
            let isWhole = sign != nil || machine.root.exists("sys/kernel/uevent_seqnum")
            #expect(try answers(machine) == (isWhole ? [nil, nil, nil] : [true, true, true]), "\(sign ?? "none")")
        }
    }

    @Test func memoryEncryption() throws {
        #expect(try answers(machine(commandLine: "mem_encrypt=on\n")) == [true, nil, true])
        #expect(try answers(machine(commandLine: "mem_encrypt=off\n")) == [true, true, true])
        #expect(try answers(machine(commandLine: "mem_encrypt=on mem_encrypt=off\n")) == [true, true, true])
    }

    @Test func xen() throws {
        let pv = ["sys/hypervisor/type": "xen", "sys/hypervisor/guest_type": "PV"]
        #expect(try answers(machine(pv)) == [nil, false, false])
        #expect(try answers(machine(["sys/hypervisor/type": "xen", "sys/hypervisor/guest_type": "HVM"])) == [nil, nil, nil])
        #expect(try answers(machine(["sys/hypervisor/type": "xen"])) == [nil, nil, nil])
        #expect(try answers(machine(["sys/hypervisor/uuid": "-"])) == [nil, nil, nil])
        #expect(try answers(machine(["sys/hypervisor/type": "other"])) == [true, true, true])
        // A copy without /sys/hypervisor: what the kernel makes under Xen alone.
        #expect(try answers(machine(["proc/xen/capabilities": "control_d"])) == [nil, nil, nil])
    }

    @Test func power() throws {
        var machine = TestMachine(cpu: "processor\t: 0\ncpu\t\t: POWER10\n\ntimebase\t: 1\n")
        machine.bridge("0000:00:01.0", port: 4)
        machine.function("0000:01:00.0", below: ["0000:00:01.0"], classCode: 0x020000, driver: "mlx5_core")
        machine.function("0000:01:00.1", below: ["0000:00:01.0"])
        #expect(try route(machine, "0000:01:00.0", "0000:01:00.1").verdict.isSupported == nil)
        #expect(try route(machine, "0000:01:00.1", "0000:01:00.0").verdict.isSupported == false)
    }

    @Test func whatRunsAGuest() {
        func hypervisor(_ flags: String, _ vendor: String?) -> PlatformDMA.Hypervisor {
            let machine = machine(flags: flags, vendor.map { ["sys/class/dmi/id/sys_vendor": $0] } ?? [:])
            return PlatformDMA(root: machine.root, cpu: CPU(root: machine.root)).hypervisor
        }
        #expect(hypervisor("fpu", "Microsoft Corporation") == .none)
        #expect(hypervisor("hypervisor", "Microsoft Corporation") == .hyperV)
        #expect(hypervisor("hypervisor", "VMware, Inc.") == .vmware)
        #expect(hypervisor("hypervisor", "QEMU") == .other)
        #expect(hypervisor("hypervisor", nil) == .unknown)
    }
}
