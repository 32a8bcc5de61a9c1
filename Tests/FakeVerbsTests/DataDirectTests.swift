// SPDX-License-Identifier: Apache-2.0

import CFakeVerbs
import Glibc
import TestSupport
import Testing

@testable import PeerMR

/// Registrations by another PCI function than the NIC's, over a libmlx5 that is told what to answer: no machine of the
/// tests has such a NIC.
@Suite struct DataDirectTests {
    private static let direct = "/devices/pci0000:00/0000:00:01.0/0000:01:00.0"

    /// A NIC at one root port, its data-direct function and a GPU at another, on a processor whose host bridge is not
    /// listed.
    private static func machine(gpu driver: String, nic: String = "mlx5_core") -> TestMachine {
        var machine = TestMachine()
        machine.function("0000:00:00.0", vendor: 0x8086, device: 0x7d1b, classCode: 0x060000, driver: nil)
        machine.bridge("0000:00:01.0", port: 4, acs: 0)
        machine.bridge("0000:00:02.0", port: 4, acs: 0)
        machine.function(
            "0000:01:00.0", below: ["0000:00:01.0"], vendor: 0x15b3, device: 0x2100, classCode: 0x080000,
            driver: "mlx5_ib")
        machine.function("0000:01:00.1", below: ["0000:00:01.0"], classCode: 0x030200, driver: driver)
        machine.function("0000:02:00.0", below: ["0000:00:02.0"], vendor: 0x15b3, classCode: 0x020700, driver: nic)
        machine.function("0000:02:00.1", below: ["0000:00:02.0"], classCode: 0x030200, driver: driver)
        machine.named("fake0", kind: "infiniband", on: "pci0000:00/0000:00:02.0/0000:02:00.0")
        return machine
    }

    /// The device that tests open, in that machine.
    private static func open(_ machine: TestMachine) throws -> (ProtectionDomain, DeviceCache) {
        fake_verbs_set_buffer_probe(EBADF)
        fake_verbs_set_on_demand(1, 0x1f)
        let context = try Device(name: "fake0").open()
        let cache = DeviceCache(of: context.device, root: machine.root)
        _ = context.info.layer.set(cache)
        return (try ProtectionDomain(context), cache)
    }

    private static let far = PCIAddress("0000:01:00.1")
    private static let near = PCIAddress("0000:02:00.1")

    private static func register(
        _ domain: ProtectionDomain, _ buffer: TestBuffer, _ provider: PCIAddress?, exporter: String
    ) throws -> PeerRegion {
        try PeerRegion(
            registering: buffer.memory(provider: provider, exporter: exporter), on: domain, access: [.localWrite])
    }

    @Test(arguments: [("nvidia", "nvidia"), ("amdgpu", "drm"), ("xocl", "xocl")])
    func memoryThatOnlyTheOtherFunctionReaches(_ driver: String, _ exporter: String) throws {
        try withFakeVerbs { fake in
            fake_verbs_set_data_direct(Self.direct, 0)
            let (domain, _) = try Self.open(Self.machine(gpu: driver))
            let buffer = try TestBuffer(65536)
            let region = try Self.register(domain, buffer, Self.far, exporter: exporter)
            #expect(fake.journal.filter { $0 == "mlx5dv_reg_dmabuf_mr" }.count == 1)
            #expect(!fake.journal.contains("ibv_reg_dmabuf_mr"))
            #expect(region.plan.dataDirectFunction == PCIAddress("0000:01:00.0"))
            #expect(region.route?.outcome == .yes && region.choice.reason.contains("data-direct function 0000:01:00.0"))
            let assessment = Assessment(of: region.memory, on: domain.context)
            #expect(assessment.path?.verdict.mapType == .busAddress)
            #expect(assessment.path?.findings.first?.code == .dataDirect)
        }
    }

    /// What the NIC reaches by itself stays revocable.
    @Test func memoryThatTheNICReachesByItself() throws {
        try withFakeVerbs { fake in
            fake_verbs_set_data_direct(Self.direct, 0)
            let (domain, _) = try Self.open(Self.machine(gpu: "nvidia"))
            let buffer = try TestBuffer(65536)
            let region = try Self.register(domain, buffer, Self.near, exporter: "nvidia")
            #expect(region.plan.dataDirectFunction == nil && !fake.journal.contains("mlx5dv_reg_dmabuf_mr"))
            let unknown = try Self.register(domain, buffer, nil, exporter: "nvidia")
            #expect(unknown.plan.dataDirectFunction == nil && unknown.route == nil)
        }
    }

    /// vfio-pci lets nobody pin its memory, which data direct does.
    @Test(arguments: [("vfio-pci", "vfio_pci_core"), ("mlx5_core", "ib_uverbs")])
    func exportersThatCannotBePinned(_ driver: String, _ exporter: String) throws {
        try withFakeVerbs { fake in
            fake_verbs_set_data_direct(Self.direct, 0)
            let (domain, _) = try Self.open(Self.machine(gpu: driver))
            let buffer = try TestBuffer(65536)
            let region = try Self.register(domain, buffer, Self.far, exporter: exporter)
            #expect(region.plan.dataDirectFunction == nil && region.route?.outcome == .no)
        }
    }

    /// The kernel, or an exporter that is not known, may refuse it all the same: then the NIC's own way is tried.
    @Test func whatIsRefusedIsTriedTheOtherWay() throws {
        try withFakeVerbs { fake in
            fake_verbs_set_data_direct(Self.direct, 0)
            let (domain, _) = try Self.open(Self.machine(gpu: "nvidia"))
            let buffer = try TestBuffer(65536)
            fake.fail("mlx5dv_reg_dmabuf_mr", Errno(rawValue: EOPNOTSUPP))
            let region = try Self.register(domain, buffer, Self.far, exporter: "nvidia")
            #expect(region.plan.dataDirectFunction == nil && region.route?.outcome == .unknown)
            #expect(fake.journal.contains("ibv_reg_dmabuf_mr"))
        }
    }

    /// Pinned, it needs no on-demand paging, which the NIC's own way does.
    @Test func withoutOnDemandPagingItIsTheOnlyWay() throws {
        try withFakeVerbs { fake in
            fake_verbs_set_data_direct(Self.direct, 0)
            let (domain, _) = try Self.open(Self.machine(gpu: "nvidia"))
            fake_verbs_set_on_demand(0, 0)
            let buffer = try TestBuffer(65536)
            let region = try Self.register(domain, buffer, Self.far, exporter: "nvidia")
            #expect(region.plan.dataDirectFunction != nil)
            fake.fail("mlx5dv_reg_dmabuf_mr", .ioError)
            let error = #expect(throws: PeerMRError.self) {
                _ = try Self.register(domain, buffer, Self.far, exporter: "nvidia")
            }
            #expect(error?.call == "mlx5dv_reg_dmabuf_mr" && error?.errno == .ioError)
            #expect(throws: PeerMRError.self) { _ = try Self.register(domain, buffer, Self.near, exporter: "nvidia") }
        }
    }

    @Test(arguments: [ENODEV, EOPNOTSUPP, ENOSPC, EIO])
    func aNICWithoutOne(_ errno: Int32) throws {
        try withFakeVerbs { fake in
            fake_verbs_set_data_direct("", errno)
            let (domain, _) = try Self.open(Self.machine(gpu: "nvidia"))
            #expect(domain.context.dataDirectPath() == nil)
            let buffer = try TestBuffer(65536)
            let region = try Self.register(domain, buffer, Self.far, exporter: "nvidia")
            #expect(region.plan.dataDirectFunction == nil)
        }
    }

    /// The calls of mlx5 are for devices of mlx5; a library of before has none.
    @Test func otherDriversAndOldLibraries() throws {
        try withFakeVerbs { fake in
            fake_verbs_set_data_direct(Self.direct, 0)
            let (domain, _) = try Self.open(Self.machine(gpu: "nvidia", nic: "bnxt_en"))
            let buffer = try TestBuffer(65536)
            #expect(try Self.register(domain, buffer, Self.far, exporter: "nvidia").plan.dataDirectFunction == nil)
        }
        try withFakeVerbs { fake in
            let (domain, _) = try Self.open(Self.machine(gpu: "nvidia"))
            let buffer = try TestBuffer(65536)
            #expect(try Self.register(domain, buffer, Self.far, exporter: "nvidia").plan.dataDirectFunction == nil)
            #expect(domain.context.dataDirectPath() == nil)
        }
    }
}
