// SPDX-License-Identifier: Apache-2.0

import PeerMRCore
import SystemPackage
import TestSupport
import Testing
import Verbs

@testable import PeerMemory

/// Whose memory a dma-buf is, by its exporter's name and the driver of the device.
@Suite struct ExporterTests {
    @Test(
        arguments: [
            ("udmabuf", nil, .host), ("i915", "i915", .host), ("videobuf2_dma_sg", nil, .host),
            ("vfio_pci_core", nil, .peer), ("ib_uverbs", "mlx5_core", .peer), ("habanalabs", nil, .peer),
            ("nvidia", "nvidia", .peer), ("neuron", nil, .peer),
            ("drm", nil, .unknown), ("drm", "amdgpu", .unknown), ("drm", "xe", .unknown), ("drm", "nouveau", .host),
            ("drm", "bochs-drm", .host), ("drm", "virtio-pci", .unknown),
            // The system memory of nvidia-drm, or what it will export one day: nvidia's row is for another exporter.
            ("drm", "nvidia", .unknown), ("unknown", "nvidia", .unknown), ("xocl", "xocl", .unknown), ("", nil, .unknown),
        ] as [(String, String?, MemoryOwner)])
    func ownersByName(_ name: String, _ driver: String?, _ owner: MemoryOwner) {
        let found = Exporter.exporting(as: name, driver: driver)?.owner(isRouteAllowed: nil) ?? .unknown
        #expect(found == owner)
    }

    /// Of the drivers that fall back, a route that is refused tells; one that is allowed does not.
    @Test(arguments: ["amdgpu", "xe"])
    func aRefusedRouteMakesItTheHosts(_ driver: String) throws {
        let exporter = try #require(Exporter.exporting(as: "drm", driver: driver))
        #expect(exporter.owner(isRouteAllowed: false) == .host)
        #expect(exporter.owner(isRouteAllowed: true) == .unknown)
        #expect(exporter.owner(isRouteAllowed: nil) == .unknown)
        #expect(Exporter.exporting(memoryOf: driver) == exporter)
    }

    @Test(arguments: ["vfio-pci", "vfio_pci", "mlx5_vfio_pci", "hisi_acc_vfio_pci", "nvgrace-gpu-vfio-pci", "qat_vfio_pci"])
    func variantsOfVFIOExportAlike(_ driver: String) {
        #expect(Exporter.exporting(memoryOf: driver)?.behavior == .refuses)
        #expect(Exporter.exporting(memoryOf: driver)?.refusals == [.invalidArgument])
    }

    @Test(arguments: ["xdma", "xocl", "ahci", "nvme", "neuron", "vfio", ""])
    func otherDriversAreNotKnown(_ driver: String) {
        #expect(Exporter.exporting(memoryOf: driver) == nil)
    }

    /// A name that two rows have must be told apart by the driver.
    @Test func rowsAreTold() {
        for exporter in Exporter.all {
            #expect(!exporter.source.isEmpty && !exporter.names.isEmpty)
            for driver in exporter.drivers { #expect(Exporter.exporting(memoryOf: driver) == exporter) }
            for name in exporter.names where Exporter.all.count(where: { $0.names.contains(name) }) == 1 {
                #expect(Exporter.exporting(as: name) == exporter)
            }
        }
        let drivers = Exporter.all.flatMap(\.drivers)
        #expect(Set(drivers).count == drivers.count)
    }

    @Test(arguments: ["system", "cma", "reserved", "linux,cma", "default_cma_region", "system_cc_shared", "vendor,secure"])
    func heapsThatAreKnownByName(_ name: String) {
        #expect(DMAHeap.isHeap(name, root: TemporaryFolder().root))
    }

    /// Any other heap is one where the machine has it.
    @Test(arguments: ["sys/class/dma_heap", "dev/dma_heap"])
    func heapsThatTheMachineHas(_ folder: String) {
        let machine = TemporaryFolder()
        machine.file("\(folder)/system-uncached", "")
        #expect(DMAHeap.isHeap("system-uncached", root: machine.root))
        for name in ["amdgpu", "drm", "", ".", "..", "../dma_heap/system-uncached", "unknown", "nvidia"] {
            #expect(!DMAHeap.isHeap(name, root: machine.root))
        }
        #expect(!DMAHeap.isHeap("system-uncached", root: TemporaryFolder().root))
    }

    @Test("A render node stands for the display node of its device")
    func renderNodes() {
        let machine = TemporaryFolder()
        machine.folder("sys/class/drm/renderD128/device/drm/card3")
        machine.folder("sys/class/drm/renderD128/device/drm/renderD128")
        machine.folder("sys/class/drm/renderD129/device/drm/renderD129")
        let nodes = ["renderD128", "renderD129", "renderD130", "card0"]
        let names = nodes.map { DRMMemory.displayNode(of: $0, machine.root) }
        #expect(names == ["card3", "renderD129", "renderD130", "card0"])
    }
}
