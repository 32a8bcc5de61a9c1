// SPDX-License-Identifier: Apache-2.0

import PCITopology
import PeerMRCore
import TestSupport
import Testing

/// A remedy stands where something has to change, and one parameter names all that redirect.
@Suite struct RemedyTests {
    /// Two devices below switches in a row, under one root port; the second drive is under another one.
    private func machine(
        vendor: String = "GenuineIntel", family: Int = 6, acs: UInt16? = 0x1d, endpoint: UInt16? = nil,
        isReadable: Bool = true, bridge: UInt16 = 0x29c0
    ) -> TestMachine {
        var machine = TestMachine(vendor: vendor, family: family)
        machine.function("0000:00:00.0", vendor: 0x8086, device: bridge, classCode: 0x060000, driver: nil)
        machine.bridge("0000:00:01.0", port: 4, acs: acs, isReadable: isReadable)
        let way = ["0000:00:01.0", "0000:01:00.0"]
        machine.bridge("0000:01:00.0", below: [way[0]], port: 5, isReadable: isReadable)
        for index in 0..<2 {
            machine.bridge("0000:02:0\(index).0", below: way, port: 6, acs: acs, isReadable: isReadable)
            machine.function(
                "0000:0\(index + 3):00.0", below: way + ["0000:02:0\(index).0"], acs: index == 0 ? endpoint : nil)
        }
        machine.bridge("0000:00:02.0", port: 4, acs: acs, isReadable: isReadable)
        machine.function("0000:06:00.0", below: ["0000:00:02.0"])
        return machine
    }

    private func route(_ machine: TestMachine, _ client: String, _ provider: String) throws -> Route {
        let (client, provider) = (try #require(PCIAddress(client)), try #require(PCIAddress(provider)))
        return Topology(root: machine.root).route(from: client, to: provider)
    }

    @Test func oneParameterNamesAllThatRedirect() throws {
        let found = try route(machine(endpoint: 0x0c), "0000:04:00.0", "0000:03:00.0")
        let redirects = found.findings.filter { $0.code == .acsRedirect }
        // The provider itself counts, and comes first as in the kernel's own advice.
        #expect(redirects.compactMap(\.device) == ["0000:03:00.0", "0000:02:00.0", "0000:02:01.0"])
        let remedies = Set(redirects.map(\.remedy))
        #expect(remedies.count == 1)
        let parameter = "boot with pci=disable_acs_redir=0000:03:00.0;0000:02:00.0;0000:02:01.0 "
        #expect(remedies.first??.hasPrefix(parameter) == true)
        // They are below one switch already.
        let bridge = found.findings.first { $0.code == .hostBridgeNotListed }
        #expect(bridge != nil && bridge?.remedy == nil)
    }

    @Test func severalPathsHaveOneParameter() throws {
        var machine = machine()
        let subsystem = "sys/devices/virtual/nvme-subsystem/nvme-subsys0"
        machine.file("\(subsystem)/nvme0n1/size", "8")
        machine.link("\(subsystem)/nvme0n1/device", "..")
        machine.link("sys/class/block/nvme0n1", "../../devices/virtual/nvme-subsystem/nvme-subsys0/nvme0n1")
        machine.bridge("0000:02:02.0", below: ["0000:00:01.0", "0000:01:00.0"], port: 6, acs: 0x1d)
        let way = "pci0000:00/0000:00:01.0/0000:01:00.0"
        machine.function("0000:05:00.0", below: ["0000:00:01.0", "0000:01:00.0", "0000:02:02.0"])
        for (number, place) in ["\(way)/0000:02:01.0/0000:04:00.0", "\(way)/0000:02:02.0/0000:05:00.0"].enumerated() {
            machine.file("sys/devices/\(place)/nvme/nvme\(number)/cntlid", "\(number)")
            machine.link("\(subsystem)/nvme\(number)", "../../../\(place)/nvme/nvme\(number)")
        }
        let found = Topology(root: machine.root)
            .route(fromBlockDevice: "nvme0n1", to: try #require(PCIAddress("0000:03:00.0")))
        let remedies = Set(found.findings.filter { $0.code == .acsRedirect }.map(\.remedy))
        #expect(remedies.count == 1)
        for address in ["0000:02:00.0", "0000:02:01.0", "0000:02:02.0"] {
            #expect(remedies.first??.contains(address) == true)
        }
    }

    @Test func aRouteThatWorksHasNoRemedy() throws {
        // By an AMD processor, by the list, by bus address; with ACS redirection and without a switch too.
        let machines = [
            machine(vendor: "AuthenticAMD", family: 25), machine(bridge: 0x2020), machine(acs: 0),
            machine(vendor: "AuthenticAMD", family: 25, isReadable: false),
        ]
        for (index, machine) in machines.enumerated() {
            let far = index == 2 ? "0000:04:00.0" : "0000:06:00.0"
            for client in ["0000:04:00.0", far] {
                let found = try route(machine, client, "0000:03:00.0")
                #expect(found.verdict.isSupported == true)
                #expect(found.findings.allSatisfy { $0.remedy == nil }, "\(index) \(client)")
            }
        }
    }

    @Test func whatCannotBeReadHasTheRemedyThatReadsIt() throws {
        let found = try route(machine(isReadable: false), "0000:04:00.0", "0000:03:00.0")
        #expect(found.verdict.isSupported == nil)
        let remedies = found.findings.filter { $0.code == .configUnreadable }.map(\.remedy)
        #expect(!remedies.isEmpty && remedies.allSatisfy { $0?.contains("as root") == true })
        #expect(found.findings.first { $0.code == .hostBridgeNotListed }?.remedy == nil)
    }

    @Test func whatMeetsNowhereIsToldOnce() throws {
        let found = try route(machine(), "0000:06:00.0", "0000:03:00.0")
        #expect(found.verdict.isSupported == false)
        #expect(found.findings.compactMap(\.remedy) == ["put both under one PCIe switch without ACS redirection"])
    }

    @Test func aKernelWithoutPeerToPeerIsAllThatIsInTheWayOfAnAllowedBridge() {
        let functions = Topology(root: machine(vendor: "AuthenticAMD", family: 25).root)
        let without = Topology(
            functions: functions.functions, firstDevices: functions.firstDevices, cpu: functions.cpu,
            kernel: functions.kernelIdentity, hasPeerToPeer: false)
        let ends = without.functions.filter { !$0.isBridge }.map(\.address)
        for client in ends {
            for provider in ends {
                let found = without.route(from: client, to: provider)
                #expect(found.findings.filter { $0.remedy != nil }.map(\.code) == [.noPeerToPeer])
            }
        }
    }

    @Test func aSpaceThatIsCutOffHasItsRemedy() throws {
        // A copy by cp, made without privilege: its files are as long as what was shown.
        let tree = SysfsTreeOfCutFiles()
        let found = Topology(root: tree.root).route(from: tree.client, to: tree.provider)
        #expect(found.verdict.isSupported == nil)
        let remedies = found.findings.filter { $0.code == .configUnreadable }.map(\.remedy)
        #expect(!remedies.isEmpty && remedies.allSatisfy { $0?.contains("peermr snapshot") == true })
    }
}

/// Two functions below a root port whose configuration space has 64 bytes.
private struct SysfsTreeOfCutFiles {
    let folder = TemporaryFolder()
    let client = PCIAddress(domain: 0, number: 0x100)
    let provider = PCIAddress(domain: 0, number: 0x101)
    var root: SystemRoot { folder.root }

    init() {
        var machine = TestMachine()
        machine.bridge("0000:00:01.0", port: 4, acs: 0, isReadable: false)
        machine.function("0000:01:00.0", below: ["0000:00:01.0"], isReadable: false)
        machine.function("0000:01:00.1", below: ["0000:00:01.0"], isReadable: false)
        machine.write(to: folder)
    }
}

/// The two ways to write the parameter.
@Suite struct ACSParameterTests {
    private func function(_ address: String, _ control: UInt16?) throws -> PCIFunction {
        let address = try #require(PCIAddress(address))
        return PCIFunction(
            address: address, chain: [address], rootBus: RootBus(domain: 0, bus: 0), vendor: 1, device: 1,
            classCode: 0x060400, accessControl: control.map { .control(ACSControl(rawValue: $0)) } ?? .absent,
            portType: .rootPort)
    }

    @Test func bothFormsNameAllThatRedirect() throws {
        let parameter = ACSParameter(
            [
                try function("0000:00:02.0", 0x1d), try function("0000:04:08.0", 0x5f),
                try function("0001:00:00.0", nil), try function("0000:05:00.0", 0x11),
                try function("0000:06:00.0", 0x20),
            ])
        #expect(parameter.redirection == "pci=disable_acs_redir=0000:00:02.0;0000:04:08.0;0000:06:00.0")
        // From bit 6 (direct translated) down to bit 0 (source validation), as the kernel reads it.
        #expect(
            parameter.bits
                == "pci=config_acs=x0100x1@0000:00:02.0;1010011@0000:04:08.0;x0x00xx@0000:06:00.0")
    }
}
