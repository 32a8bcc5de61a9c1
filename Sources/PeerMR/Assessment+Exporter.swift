// SPDX-License-Identifier: Apache-2.0

internal import PCITopology
internal import PeerMemory
internal import PeerMRCore
internal import Verbs

extension Assessment {
    static func exporter(
        _ provider: PCIAddress, _ topology: Topology, _ root: SystemRoot
    ) -> Answer {
        if let pool = P2PPool(of: provider, root: root) {
            let size = ByteCount.describe(pool.byteCount)
            let free = ByteCount.describe(pool.availableBytes)
            return pool.isAllocatable
                ? Answer(.yes, "\(provider) publishes \(size) of p2pmem, of which \(free) are free")
                : Answer(
                    .no, "\(provider) has \(size) of p2pmem, which this kernel keeps to itself",
                    remedy: "use Linux 6.2 or newer, where programs may allocate from it")
        }
        guard let function = topology.function(at: provider) else {
            return topology.unlocated.contains(provider)
                ? Answer(.unknown, "what \(provider) publishes cannot be read")
                : Answer(.no, "there is no PCI function \(provider)")
        }
        if root.exists(P2PPool.folder(of: provider)) {
            return Answer(.unknown, "\(provider) has p2pmem whose size cannot be read")
        }
        if function.mayExportBuffers {
            return Answer(
                .unknown,
                "\(provider) publishes no p2pmem; its driver (\(function.driver ?? "none")) may export its memory "
                    + "as a dma-buf, which only a program that has such a buffer can tell"
            )
        }
        return Answer(
            .no, "\(provider) publishes no p2pmem",
            remedy: function.isBridge
                ? "name a device below it"
                : "use a drive whose controller memory buffer may hold data, on a kernel with CONFIG_PCI_P2PDMA, "
                    + "bound to the nvme driver (ls -d /sys/bus/pci/devices/*/p2pmem)"
        )
    }

    /// What kind of memory the provider has for others, as far as sysfs tells.
    static func likelyKind(of provider: PCIAddress, _ topology: Topology, _ root: SystemRoot) -> MemoryKind {
        guard P2PPool(of: provider, root: root) == nil, !root.exists(P2PPool.folder(of: provider)),
            let function = topology.function(at: provider), function.mayExportBuffers
        else { return .p2pmem }
        return .dmabuf
    }
}

extension PCIFunction {
    /// A controller of non-volatile memory: class 0108.
    package var isNVMe: Bool { classCode.map { $0 >> 8 == 0x0108 } ?? false }

    /// Whether it may have memory for others: display (03), processing (12, 0b40) and NVMe devices.
    package var isLikelyProvider: Bool { isNVMe || isDisplayOrProcessing }

    /// Whether its driver may export dma-bufs: those of display and processing devices do, and vfio-pci.
    fileprivate var mayExportBuffers: Bool { isDisplayOrProcessing || driver == "vfio-pci" }

    /// Display devices, processing accelerators and co-processors.
    private var isDisplayOrProcessing: Bool {
        classCode.map { [0x03, 0x12].contains($0 >> 16) || $0 >> 8 == 0x0b40 } ?? false
    }
}
