// SPDX-License-Identifier: Apache-2.0

import PCITopology
import TestSupport
import Testing

@testable import PeerMR

/// What an error of the kernel's is made of, by the exporter: only where that asks about the route can it be the cause.
@Suite struct RefusalTests {
    /// A dma-buf of a driver, as a machine without it can have one.
    private final class Buffer: Memory {
        let kind = MemoryKind.dmabuf
        let provider: PCIAddress? = PCIAddress("0000:01:00.0")
        let exporter: String?
        let byteCount = 4096

        init(_ exporter: String) { self.exporter = exporter }

        func backing(for access: Access) throws(PeerMRError) -> MemoryBacking {
            .mapped(IOVector(address: 0, byteCount: 0))
        }
        func read(into bytes: inout MutableRawSpan, at offset: Int) throws(PeerMRError) {}
        func write(_ bytes: RawSpan, at offset: Int) throws(PeerMRError) {}
    }

    private static func plan(driver: String, isSupported: Bool? = false) throws -> RegistrationPlan {
        let choice = try MethodChoice.choose(
            for: .dmabuf,
            info: RegistrationInfo(
                device: Device(name: "mlx5_0"), onDemand: OnDemandPaging(isSupported: false, reliableConnection: []),
                nic: .device, kernel: nil))
        let finding = Finding(.noCommonUpstream, nil, "they meet nowhere", remedy: "put both under one PCIe switch")
        let verdict = Verdict(mapType: .notSupported, isSupported: isSupported, distance: 4)
        return RegistrationPlan(
            choice, .device, provider: PCIAddress("0000:01:00.0"), driver: driver,
            path: Route(verdict: verdict, findings: [finding]))
    }

    private static func explained(_ errno: Errno, _ exporter: String, driver: String) throws -> PeerMRError {
        let error = PeerMRError(
            .notSupported, call: "ibv_reg_dmabuf_mr", errno: errno, reason: "it cannot be registered", remedy: "try less")
        return try plan(driver: driver).explain(error, Buffer(exporter), Device(name: "mlx5_0"))
    }

    @Test(
        arguments: [
            (.invalidArgument, "vfio_pci_core", "vfio-pci"), (.invalidArgument, "ib_uverbs", "mlx5_core"),
            (.notPermitted, "habanalabs", "habanalabs"), (.invalidArgument, "drm", "amdgpu"),
            (.notSupportedOnSocket, "drm", "xe"), (.invalidArgument, "xocl", "xocl"), (.remoteIO, "xocl", "xocl"),
        ] as [(Errno, String, String)])
    func aRefusalOfTheRoute(_ errno: Errno, _ exporter: String, _ driver: String) throws {
        let found = try Self.explained(errno, exporter, driver: driver)
        #expect(found.reason.contains("as expected: they meet nowhere") && found.errno == errno)
    }

    /// nvidia's ENOMEM is a mapping that failed, and no route.
    @Test(
        arguments: [
            (.noMemory, "nvidia", "nvidia"), (.invalidArgument, "nvidia", "nvidia"), (.noMemory, "neuron", "neuron-driver"),
            (.notPermitted, "vfio_pci_core", "vfio-pci"), (.noMemory, "vfio_pci_core", "vfio-pci"),
            (.invalidArgument, "habanalabs", "habanalabs"), (.noMemory, "drm", "amdgpu"),
            (.invalidArgument, "drm", "nouveau"), (.noMemory, "xocl", "xocl"),
        ] as [(Errno, String, String)])
    func anotherCauseIsLeftAlone(_ errno: Errno, _ exporter: String, _ driver: String) throws {
        let found = try Self.explained(errno, exporter, driver: driver)
        #expect(found.reason == "it cannot be registered" && found.remedy == "try less")
    }

    @Test(
        arguments: [
            ("drm", "amdgpu", false, .host), ("drm", "amdgpu", true, .unknown), ("drm", "xe", nil, .unknown),
            ("drm", "nouveau", true, .host), ("vfio_pci_core", "vfio-pci", true, .peer),
            ("nvidia", "nvidia", nil, .peer), ("xocl", "xocl", true, .unknown), ("drm", "nvidia", true, .unknown),
        ] as [(String, String, Bool?, MemoryOwner)])
    func theRouteTellsWhoseMemoryItIs(_ name: String, _ driver: String, _ route: Bool?, _ owner: MemoryOwner) throws {
        let buffer = Buffer(name)
        let plan = try Self.plan(driver: driver, isSupported: route)
        #expect(plan.owner(of: buffer, known: buffer.owner) == owner)
    }
}
