// SPDX-License-Identifier: Apache-2.0

internal import PCITopology
internal import PeerMemory
internal import PeerMRCore
internal import Verbs

extension Assessment {
    static func exporter(
        _ provider: PCIAddress, _ topology: Topology, _ root: SystemRoot
    ) -> Answer {
        if let pool = P2PPool(of: provider, root: root) { return published(pool, root) }
        if !topology.isShown { return Answer(.unknown, "sysfs shows no PCI devices here") }
        guard let function = topology.function(at: provider) else {
            return topology.unlocated.contains(provider)
                ? Answer(.unknown, "what \(provider) publishes cannot be read")
                : Answer(.no, "there is no PCI function \(provider)")
        }
        if root.exists(P2PPool.folder(of: provider)) {
            return Answer(.unknown, "\(provider) has p2pmem whose size cannot be read")
        }
        if function.isBridge {
            return Answer(.no, "\(provider) publishes no p2pmem", remedy: "name a device below it")
        }
        guard let driver = function.driver else {
            // A tree that was captured by other means may have no drivers in it.
            let isShown = root.isKernel || topology.functions.contains { $0.driver != nil }
            return withoutDriver(function, isShown: isShown)
        }
        return unpublished(function, driver)
    }

    /// A pool, and whether this user may allocate from it: that can be tried on the machine itself only.
    private static func published(_ pool: P2PPool, _ root: SystemRoot) -> Answer {
        let size = ByteCount.describe(pool.byteCount)
        guard pool.isAllocatable else {
            return Answer(
                .no, "\(pool.provider) has \(size) of p2pmem, which this kernel keeps to itself",
                remedy: "use Linux 6.2 or newer, where programs may allocate from it")
        }
        let all = "\(pool.provider) publishes \(size) of p2pmem"
        if root.isKernel, let refusal = pool.refusal(root: root) { return answer(to: refusal, all) }
        return Answer(.yes, "\(all), of which \(ByteCount.describe(pool.availableBytes)) are free")
    }

    /// No where this user lacks rights or the file system is read-only, unknown for want of a descriptor, for example.
    package static func answer(to refusal: PeerMRError, _ pool: String) -> Answer {
        let isRefused = refusal.code == .notPermitted || refusal.errno == .readOnlyFileSystem
        let cause = refusal.errno.map { " (\($0.explanation))" } ?? ""
        return Answer(
            isRefused ? .no : .unknown, "\(pool), but \(refusal.reason) by this user\(cause)", remedy: refusal.remedy)
    }

    private static func withoutDriver(_ function: PCIFunction, isShown: Bool) -> Answer {
        let address = function.address
        guard isShown else {
            return Answer(
                .unknown, "\(address) publishes no p2pmem, and which driver it has is not shown here",
                remedy: "run peermr check there")
        }
        return Answer(
            .no, "\(address) publishes no p2pmem, and has no driver that could export its memory",
            remedy: function.isNVMe
                ? "bind the nvme driver, where the drive has a controller memory buffer for data, or vfio-pci"
                : "load its driver, or bind it to vfio-pci")
    }

    /// A driver without a pool. Only of few is it known that they export nothing of their device's.
    private static func unpublished(_ function: PCIFunction, _ driver: String) -> Answer {
        let address = function.address
        if driver == "nvme" {
            return Answer(
                .no, "\(address) publishes no p2pmem",
                remedy: "use a drive whose controller memory buffer may hold data, on a kernel with CONFIG_PCI_P2PDMA "
                    + "(ls -d /sys/bus/pci/devices/*/p2pmem)")
        }
        if let exporter = Exporter.exporting(memoryOf: driver), exporter.behavior == .isHost {
            return Answer(
                .no, "\(address) publishes no p2pmem, and its driver (\(driver)) exports memory of the host only",
                remedy: "use a driver that exports the device's own memory, or vfio-pci")
        }
        return Answer(
            .unknown,
            "\(address) publishes no p2pmem; its driver (\(driver)) may export its memory as a dma-buf, which only a "
                + "program that has such a buffer can tell")
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

    /// Whether its driver may export dma-bufs: any driver but that of drives may.
    fileprivate var mayExportBuffers: Bool {
        isDisplayOrProcessing || !isBridge && driver.map { $0 != "nvme" } ?? false
    }

    /// Display devices, processing accelerators and co-processors.
    private var isDisplayOrProcessing: Bool {
        classCode.map { [0x03, 0x12].contains($0 >> 16) || $0 >> 8 == 0x0b40 } ?? false
    }
}
