// SPDX-License-Identifier: Apache-2.0

import PCITopology
import PeerMRCore
import TestSupport
import Testing

/// RDMA devices with a PCI function, whose bytes the CPU moves: the kernel gives them no DMA device.
@Suite struct SoftwareDeviceTests {
    private static let holders = "sys/module/rdmavt/holders"
    private static let place = "pci0000:00/0000:00:01.0/0000:01:00.0"

    /// A provider and an RDMA device at one root port, which alone would be allowed.
    private func machine(driver: String?) -> TestMachine {
        var machine = TestMachine()
        machine.bridge("0000:00:01.0", port: 4, acs: 0)
        machine.function("0000:01:00.0", below: ["0000:00:01.0"], classCode: 0x020700, driver: driver)
        machine.function("0000:01:00.1", below: ["0000:00:01.0"], pool: 1 << 20)
        machine.named("ib0", kind: "infiniband", on: Self.place)
        return machine
    }

    /// Checked on the machine, on its snapshot, and on the snapshot of that.
    private func expect(_ machine: TestMachine, isSoftware: Bool, _ place: SourceLocation = #_sourceLocation) throws {
        let captured = SystemRoot(Snapshot.capture(machine.root))
        for root in [machine.root, captured, SystemRoot(Snapshot.capture(captured))] {
            #expect(DeviceLinks.isSoftware(rdmaDevice: "ib0", root: root) == isSoftware, sourceLocation: place)
            let route = Topology(root: root).route(
                fromRDMADevice: "ib0", to: try #require(PCIAddress("0000:01:00.1")))
            #expect(route.verdict.mapType == (isSoftware ? .notSupported : .busAddress), sourceLocation: place)
            #expect(
                route.findings.contains { $0.code == .softwareDevice } == isSoftware, sourceLocation: place)
        }
    }

    /// Without the list of modules, and with one that does not say: a kernel with all of it built in.
    @Test(arguments: ["hfi1", "ib_qib", "qib"])
    func aDriverThatIsKnown(_ driver: String) throws {
        try expect(machine(driver: driver), isSoftware: true)
    }

    @Test func aDriverThatUsesTheModule() throws {
        var machine = machine(driver: "hfi2")
        machine.link("\(Self.holders)/hfi2", "../../hfi2")
        try expect(machine, isSoftware: true)
    }

    /// A driver's name need not be its module's.
    @Test func aDriverOfAModuleThatUsesIt() throws {
        var machine = machine(driver: "opa_nic")
        machine.link("\(Self.holders)/opa", "../../opa")
        machine.link("sys/module/opa/drivers/pci:opa_nic", "../../../bus/pci/drivers/opa_nic")
        try expect(machine, isSoftware: true)
    }

    @Test(arguments: ["mlx5_core", "hfi", "hfi11", nil] as [String?])
    func otherDriversAreHardware(_ driver: String?) throws {
        try expect(machine(driver: driver), isSoftware: false)
        var machine = machine(driver: driver)
        machine.link("\(Self.holders)/hfi1", "../../hfi1")
        machine.link("\(Self.holders)/ib_qib", "../../ib_qib")
        try expect(machine, isSoftware: false)
    }

    /// The name of a device says nothing.
    @Test func onlyTheDriverCounts() {
        var machine = TestMachine()
        machine.function("0000:01:00.0", driver: "mlx5_core")
        machine.named("hfi1_0", kind: "infiniband", on: "pci0000:00/0000:01:00.0")
        #expect(!DeviceLinks.isSoftware(rdmaDevice: "hfi1_0", root: machine.root))
    }

    /// Before Linux 5.11 the function of the network interface was the device of a software device.
    @Test func softRoCEOfOldHasALink() throws {
        var machine = machine(driver: "ice")
        machine.file("sys/devices/\(Self.place)/infiniband/ib0/parent", "enp1s0f0")
        try expect(machine, isSoftware: true)
        var text = ""
        Snapshot.capture(machine.root).forEach { path, content, _ in text += "\(path) \(content)" }
        #expect(!text.contains("enp1s0f0"))
    }

    @Test func softIWARPOfOldHasALink() throws {
        var machine = machine(driver: "ice")
        machine.file("sys/devices/\(Self.place)/infiniband/ib0/node_desc", "Software iWARP stack")
        try expect(machine, isSoftware: true)
    }

    /// What people call a device may be the name of their host.
    @Test func aDescriptionIsNotKept() throws {
        var machine = machine(driver: "mlx5_core")
        machine.file("sys/devices/\(Self.place)/infiniband/ib0/node_desc", "myhost mlx5_0")
        try expect(machine, isSoftware: false)
        Snapshot.capture(machine.root).forEach { path, _, _ in #expect(!path.hasSuffix("node_desc")) }
    }
}
