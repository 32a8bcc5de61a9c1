// SPDX-License-Identifier: Apache-2.0

package import SystemPackage
package import Verbs

/// How a driver exports dma-bufs to devices that it may or may not be reached by: what was read in its source.
package struct Exporter: Hashable, Sendable {
    /// What it does about the route between its device and the importer's.
    package enum Behavior: Hashable, Sendable {
        /// Asks the kernel (drivers/pci/p2pdma.c), and refuses where the kernel does.
        case refuses
        /// Asks the kernel, and hands out memory of the host where the kernel refuses, or where it likes to. Nobody is
        /// told.
        case fallsBack
        /// Never asks: it maps its device's memory whatever lies between the two.
        case doesNotAsk
        /// Exports memory of the host only.
        case isHost
    }

    /// What the kernel calls it (`exp_name` in `/proc/self/fdinfo`); DRM drivers have one name in common.
    let names: [String]
    /// The drivers of PCI functions that it belongs to.
    let drivers: [String]
    /// What it does about the route.
    package let behavior: Behavior
    /// How a route that is refused shows where a buffer is registered.
    package let refusals: [Errno]
    /// Whether devices may pin its memory, which data direct does: vfio-pci and the verbs refuse that (EOPNOTSUPP).
    package var allowsPinning: Bool { !["vfio_pci_core", "ib_uverbs"].contains(names[0]) }
    /// Where that was read.
    package let source: String
}

extension Exporter {
    /// The name that drivers have that let DRM export for them: "white lie for debug" (drivers/gpu/drm/drm_prime.c).
    private static let drm = "drm"

    /// Read in Linux 7.3, unless the source is another.
    package static let all = [
        Exporter(
            names: ["vfio_pci_core"], drivers: ["vfio_pci"], behavior: .refuses, refusals: [.invalidArgument],
            source: "drivers/vfio/pci/vfio_pci_dmabuf.c, drivers/dma-buf/dma-buf-mapping.c"),
        Exporter(
            names: ["ib_uverbs", "ib_core"], drivers: ["mlx5_core"], behavior: .refuses, refusals: [.invalidArgument],
            source: "drivers/infiniband/core/uverbs_std_types_dmabuf.c, drivers/dma-buf/dma-buf-mapping.c"),
        Exporter(
            names: ["habanalabs"], drivers: ["habanalabs"], behavior: .refuses, refusals: [.notPermitted],
            source: "drivers/accel/habanalabs/common/memory.c, hl_dmabuf_attach"),
        Exporter(
            names: [drm], drivers: ["amdgpu"], behavior: .fallsBack, refusals: [.invalidArgument],
            source: "drivers/gpu/drm/amd/amdgpu/amdgpu_dma_buf.c, amdgpu_dma_buf_attach"),
        Exporter(
            names: [drm], drivers: ["xe"], behavior: .fallsBack, refusals: [.notSupportedOnSocket],
            source: "drivers/gpu/drm/xe/xe_dma_buf.c, xe_dma_buf_attach"),
        Exporter(
            names: ["nvidia"], drivers: ["nvidia"], behavior: .doesNotAsk, refusals: [],
            source: "github.com/NVIDIA/open-gpu-kernel-modules, kernel-open/nvidia/nv-dmabuf.c, nv_dma_buf_map"),
        Exporter(
            names: ["neuron"], drivers: ["neuron-driver"], behavior: .doesNotAsk, refusals: [],
            source: "github.com/aws-neuron/aws-neuron-driver, neuron_dmabuf.c, ndmabuf_map"),
        Exporter(
            names: ["i915"], drivers: ["i915"], behavior: .isHost, refusals: [],
            source: "drivers/gpu/drm/i915/gem/i915_gem_dmabuf.c, i915_gem_dmabuf_attach"),
        Exporter(
            names: [drm], drivers: ["nouveau", "radeon"], behavior: .isHost, refusals: [],
            source: "drivers/gpu/drm/nouveau/nouveau_prime.c and radeon/radeon_prime.c, pinned to system memory"),
        Exporter(
            names: [drm], drivers: ["ast", "bochs-drm", "cirrus", "cirrus-qemu", "mgag200"], behavior: .isHost,
            refusals: [],
            source: "drivers/gpu/drm/drm_gem_shmem_helper.c; those of older kernels export nothing that can be mapped"),
        Exporter(
            names: ["udmabuf"], drivers: [], behavior: .isHost, refusals: [], source: "drivers/dma-buf/udmabuf.c"),
        Exporter(
            names: ["videobuf2_dma_contig", "videobuf2_dma_sg", "videobuf2_vmalloc"], drivers: [], behavior: .isHost,
            refusals: [], source: "drivers/media/common/videobuf2"),
    ]

    /// Of a dma-buf by its exporter's name; nil where the name is no row's, or that of several drivers of which
    /// `driver` is none.
    package static func exporting(as name: String, driver: String? = nil) -> Exporter? {
        let named = all.filter { $0.names.contains(name) }
        if named.count == 1 { return named[0] }
        return driver.flatMap { driver in named.first { $0.drivers.contains(driver) } }
    }

    /// Of the buffers that the driver of a PCI function may export; nil for a driver that is no row's.
    package static func exporting(memoryOf driver: String) -> Exporter? {
        // Many drivers are variants of vfio-pci: mlx5_vfio_pci, nvgrace_gpu_vfio_pci, ….
        let name = String(driver.map { $0 == "-" ? "_" : $0 })
        if name.hasSuffix("vfio_pci") { return all.first { $0.drivers == ["vfio_pci"] } }
        return all.first { $0.drivers.contains(driver) }
    }

    /// Whose memory it exports.
    ///
    /// - Parameter isRouteAllowed: whether the kernel allows DMA between the two devices; nil where that is not known.
    package func owner(isRouteAllowed: Bool?) -> MemoryOwner {
        switch behavior {
        case .refuses, .doesNotAsk: .peer
        case .isHost: .host
        case .fallsBack: isRouteAllowed == false ? .host : .unknown
        }
    }
}
