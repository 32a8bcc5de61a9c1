// SPDX-License-Identifier: Apache-2.0

import PCITopology
import TestSupport
import Testing

@testable import PeerMR

/// What a route comes to for the memory of devices whose drivers export dma-bufs, each in its own way.
@Suite struct ExporterRouteTests {
    /// A provider at one root port and a NIC and a drive at another, on a processor whose host bridge is not listed; a
    /// second NIC beside the provider.
    static func machine(driver: String?, classCode: UInt32 = 0x030200) -> TestMachine {
        var machine = TestMachine()
        machine.function("0000:00:00.0", vendor: 0x8086, device: 0x7d1b, classCode: 0x060000, driver: nil)
        machine.bridge("0000:00:01.0", port: 4, acs: 0)
        machine.bridge("0000:00:06.0", port: 4, acs: 0)
        machine.function(
            "0000:01:00.0", below: ["0000:00:01.0"], vendor: 0x10de, device: 0x2bb1, classCode: classCode, driver: driver)
        machine.function("0000:01:00.1", below: ["0000:00:01.0"], classCode: 0x020000, driver: "mlx5_core")
        machine.function("0000:02:00.0", below: ["0000:00:06.0"], classCode: 0x020000, driver: "mlx5_core")
        machine.function("0000:02:00.1", below: ["0000:00:06.0"])
        machine.named("mlx5_0", kind: "infiniband", on: "pci0000:00/0000:00:06.0/0000:02:00.0")
        machine.named("mlx5_1", kind: "infiniband", on: "pci0000:00/0000:00:01.0/0000:01:00.1")
        machine.named("rxe0", kind: "infiniband", on: nil)
        machine.named("nvme0n1", kind: "block", on: "pci0000:00/0000:00:06.0/0000:02:00.1")
        return machine
    }

    private static let provider = PCIAddress("0000:01:00.0")

    private static func assess(_ driver: String?, for client: Client, classCode: UInt32 = 0x030200) throws -> Assessment {
        Assessment(
            of: try #require(provider), for: client, root: machine(driver: driver, classCode: classCode).root)
    }

    private static func codes(_ assessment: Assessment) -> [Finding.Code] {
        (assessment.path?.findings ?? []).map(\.code)
    }

    @Test(arguments: ["nvidia", "neuron-driver"])
    func anExporterThatDoesNotAsk(_ driver: String) throws {
        for client in [Client.rdmaDevice("mlx5_0"), .function(try #require(PCIAddress("0000:02:00.0")))] {
            let far = try Self.assess(driver, for: client)
            #expect(far.kind == .dmabuf)
            #expect(far.path?.verdict.mapType == .notSupported, "the kernel's rule is what it is")
            #expect(far.path?.verdict.isSupported == nil && far.route.outcome == .unknown)
            #expect(far.route.reason.contains("\(driver) does not ask the kernel about the route before it exports"))
            #expect(far.route.reason.contains("only a proof tells"))
            #expect(far.route.remedy?.contains("prove the region") == true)
            #expect(Self.codes(far).contains(.exporterDoesNotAsk) && Self.codes(far).contains(.noCommonUpstream))
            #expect(far.exporter.outcome == .unknown)
        }
        let near = try Self.assess(driver, for: .rdmaDevice("mlx5_1"))
        #expect(near.path?.verdict.mapType == .busAddress && near.route.outcome == .yes)
        #expect(Self.codes(near).last == .exporterDoesNotAsk)
    }

    /// There is nothing to be asked about, or the client imports no buffers.
    @Test func clientsThatItDoesNotConcern() throws {
        for client in [Client.rdmaDevice("rxe0"), .blockDevice("nvme0n1"), .rdmaDevice("mlx5_9")] {
            let found = try Self.assess("nvidia", for: client)
            #expect(!Self.codes(found).contains(.exporterDoesNotAsk))
            #expect(found.path?.verdict.isSupported != true)
        }
        #expect(try Self.assess("nvidia", for: .rdmaDevice("rxe0")).route.outcome == .no)
        #expect(try Self.assess("nvidia", for: .blockDevice("nvme0n1")).route.outcome == .no)
    }

    @Test(arguments: ["amdgpu", "xe"])
    func anExporterThatFallsBack(_ driver: String) throws {
        let far = try Self.assess(driver, for: .rdmaDevice("mlx5_0"))
        #expect(far.path?.verdict.isSupported == false && far.route.outcome == .no)
        let finding = try #require(far.path?.findings.last)
        #expect(finding.code == .exporterUsesHostMemory && finding.detail.contains("memory of the host in place"))
        #expect(far.exporter.outcome == .unknown)
        let near = try Self.assess(driver, for: .rdmaDevice("mlx5_1"))
        #expect(near.route.outcome == .yes && !Self.codes(near).contains(.exporterUsesHostMemory))
    }

    @Test(arguments: ["i915", "nouveau"])
    func anExporterOfTheHostsMemory(_ driver: String) throws {
        for client in [Client.rdmaDevice("mlx5_0"), .rdmaDevice("mlx5_1")] {
            let found = try Self.assess(driver, for: client)
            #expect(found.exporter.outcome == .no && found.exporter.reason.contains("\(driver)) exports memory of the host"))
            #expect(Self.codes(found).last == .exporterUsesHostMemory)
        }
    }

    @Test(arguments: ["vfio-pci", "mlx5_vfio_pci", "habanalabs", "mlx5_core"])
    func anExporterThatRefuses(_ driver: String) throws {
        let far = try Self.assess(driver, for: .rdmaDevice("mlx5_0"))
        #expect(far.kind == .dmabuf && far.route.outcome == .no && far.exporter.outcome == .unknown)
        #expect(!Self.codes(far).contains { $0.rawValue.hasPrefix("exporter") })
    }

    /// A device of any class: its driver may export what nobody here has read.
    @Test(arguments: [0x120000, 0x058000, 0x088000, 0x020000, 0x010802] as [UInt32])
    func anExporterThatIsNotKnown(_ classCode: UInt32) throws {
        let found = try Self.assess("xdma", for: .rdmaDevice("mlx5_0"), classCode: classCode)
        #expect(found.kind == .dmabuf && found.exporter.outcome == .unknown)
        #expect(found.exporter.reason.contains("its driver (xdma) may export its memory as a dma-buf"))
        #expect(found.route.outcome == .no && Self.codes(found).last == .exporterUnknown)
    }

    @Test func aDriveWithoutAPoolExportsNone() throws {
        let found = try Self.assess("nvme", for: .rdmaDevice("mlx5_0"), classCode: 0x010802)
        #expect(found.kind == .p2pmem && found.exporter.outcome == .no)
        #expect(found.exporter.remedy?.contains("controller memory buffer") == true)
    }

    /// Without a driver nothing is exported, where the tree shows drivers at all.
    @Test func aFunctionWithoutDriver() throws {
        let found = try Self.assess(nil, for: .rdmaDevice("mlx5_0"))
        #expect(found.exporter.outcome == .no && found.exporter.reason.contains("has no driver"))
        var machine = TestMachine()
        machine.function("0000:01:00.0", classCode: 0x030200, driver: nil)
        machine.function("0000:02:00.0", classCode: 0x020000, driver: nil)
        let client = Client.function(try #require(PCIAddress("0000:02:00.0")))
        let hidden = Assessment(of: try #require(Self.provider), for: client, root: machine.root)
        #expect(hidden.exporter.outcome == .unknown && hidden.exporter.reason.contains("which driver it has is not shown"))
    }

    @Test(
        arguments: [
            (.permissionDenied, .no), (.notPermitted, .no), (.readOnlyFileSystem, .no), (.tooManyOpenFiles, .unknown),
        ] as [(Errno, Answer.Outcome)])
    func aPoolThatThisUserMayNotOpen(_ errno: Errno, _ outcome: Answer.Outcome) {
        let error = PeerMRError(
            [.permissionDenied, .notPermitted].contains(errno) ? .notPermitted : .system, errno: errno,
            reason: "the p2pmem cannot be opened", remedy: "run as root")
        let answer = Assessment.answer(to: error, "0000:01:00.0 publishes 1 MiB of p2pmem")
        #expect(answer.outcome == outcome && answer.remedy == "run as root")
        #expect(answer.reason.hasPrefix("0000:01:00.0 publishes 1 MiB of p2pmem, but the p2pmem cannot be opened"))
    }
}

/// NICs that may reach dma-bufs by another function, on a machine that cannot be asked.
@Suite struct DataDirectRouteTests {
    private static func assess(_ provider: String, hasDirect: Bool, nic: String = "mlx5_core") throws -> Assessment {
        var machine = ExporterRouteTests.machine(driver: "amdgpu")
        if hasDirect {
            machine.function(
                "0000:01:00.2", below: ["0000:00:01.0"], vendor: 0x15b3, device: 0x2100, classCode: 0x080000,
                driver: "mlx5_ib")
        }
        machine.function("0000:02:00.2", below: ["0000:00:06.0"], classCode: 0x030200, driver: "amdgpu")
        if nic != "mlx5_core" {
            machine.function("0000:02:00.3", below: ["0000:00:06.0"], classCode: 0x020000, driver: nic)
            machine.named("nic0", kind: "infiniband", on: "pci0000:00/0000:00:06.0/0000:02:00.3")
        }
        let client = Client.rdmaDevice(nic == "mlx5_core" ? "mlx5_0" : "nic0")
        let assessment = Assessment(of: try #require(PCIAddress(provider)), for: client, root: machine.root)
        let captured = Assessment(
            of: try #require(PCIAddress(provider)), for: client, root: SystemRoot(Snapshot.capture(machine.root)))
        #expect(captured.path == assessment.path)
        return assessment
    }

    /// Only what the NIC itself does not reach is unknown.
    @Test func isSaidWhereItMatters() throws {
        let far = try Self.assess("0000:01:00.0", hasDirect: true)
        #expect(far.path?.verdict.isSupported == nil && far.path?.verdict.mapType == .unknown)
        #expect(far.route.outcome == .unknown && far.route.reason.contains("data-direct function (0000:01:00.2)"))
        #expect(far.path?.findings.last?.code == .dataDirectUnknown)
        let near = try Self.assess("0000:02:00.2", hasDirect: true)
        #expect(near.route.outcome == .yes)
        #expect(near.path?.findings.contains { $0.code == .dataDirectUnknown } == false)
    }

    @Test func isNotSaidOtherwise() throws {
        #expect(try Self.assess("0000:01:00.0", hasDirect: false).route.outcome == .no)
        #expect(try Self.assess("0000:01:00.0", hasDirect: true, nic: "bnxt_en").route.outcome == .no)
    }
}
