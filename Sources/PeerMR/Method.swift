// SPDX-License-Identifier: Apache-2.0

public import PeerMemory
public import PeerMRCore
public import Verbs

/// How memory becomes a region.
public enum Method: String, Hashable, Sendable, CaseIterable {
    /// `ibv_reg_mr`: the kernel locks the pages down.
    case pinned
    /// `ibv_reg_mr` with on-demand paging: the device faults pages in when it needs them.
    case onDemand
    /// `ibv_reg_dmabuf_mr`: another driver's buffer, by descriptor.
    case dmaBuf
    /// `ibv_reg_dm_mr`: memory of the device itself.
    case deviceMemory
}

/// Who moves the bytes of an RDMA device.
public enum NICKind: String, Hashable, Sendable {
    /// The NIC does the DMA.
    case device
    /// The CPU copies in the kernel, as with Soft-RoCE: nothing goes from device to device.
    case software

    /// Looks the device up in sysfs.
    public init(of device: Device, root: SystemRoot = .live) {
        self = DeviceLinks.isSoftware(rdmaDevice: device.name, root: root) ? .software : .device
    }
}

/// What decides the method: facts of the device and the kernel.
public struct RegistrationInfo: Hashable, Sendable {
    /// The device's name, for messages.
    public var device: Device
    /// Its on-demand paging.
    public var onDemand: OnDemandPaging
    /// Who moves its bytes.
    public var nic: NICKind
    /// The running kernel; nil where its release cannot be read.
    public var kernel: KernelRelease?
    /// Whether it imports dma-bufs; nil where that was not asked.
    public var dmaBufSupport: DMABufSupport?
    /// Its driver's name; nil where sysfs names none.
    public var driver: String?

    /// Facts given by hand, as a test needs them.
    public init(
        device: Device, onDemand: OnDemandPaging, nic: NICKind, kernel: KernelRelease?,
        dmaBufSupport: DMABufSupport? = nil, driver: String? = nil
    ) {
        self.device = device
        self.onDemand = onDemand
        self.nic = nic
        self.kernel = kernel
        self.dmaBufSupport = dmaBufSupport
        self.driver = driver
    }

    /// The facts of an open device on the running kernel, as far as they matter for memory of a kind.
    ///
    /// - Throws: the errno of the device query.
    public init(of context: Context, for kind: MemoryKind = .p2pmem) throws(PeerMRError) {
        let name = context.device.name
        self.init(
            device: context.device, onDemand: try context.attributes().onDemand,
            nic: NICKind(of: context.device), kernel: .running(),
            dmaBufSupport: kind == .dmabuf ? context.dmaBufSupport() : nil,
            driver: SystemRoot.live.linkTarget("sys/class/infiniband/\(name)/device/driver")?.lastComponent?.string)
    }
}

/// A method, why it was chosen, and what it is bound to.
public struct MethodChoice: Hashable, Sendable {
    /// The method.
    public let method: Method
    /// The transfers that are right with it.
    public let constraint: TransferConstraint
    /// Why this one, as half a sentence.
    public let reason: String
}

extension MethodChoice {
    /// Linux 6.16 is the first that asks pci_p2pdma when an on-demand region maps peer memory (mm/hmm.c,
    /// `hmm_dma_map_pfn`). Before, it was mapped like RAM, whatever lay between the devices.
    public static let firstCheckingKernel = KernelRelease(6, 16)

    /// Picks the method for memory of a kind.
    ///
    /// - Throws: `unsafeConfiguration` where the kernel would map peer memory without a check, `notSupported` for a
    ///   dma-buf on a device that imports none.
    public static func choose(
        for kind: MemoryKind, facts: RegistrationInfo
    ) throws(PeerMRError) -> MethodChoice {
        switch kind {
        case .host:
            return MethodChoice(
                method: .pinned, constraint: .any, reason: "pages of the host can be pinned")
        case .dmabuf: return try chooseForBuffer(facts)
        case .nic:
            return MethodChoice(
                method: .deviceMemory, constraint: .any, reason: "it is memory of \(facts.device) itself")
        case .p2pmem: return try chooseForPeer(facts)
        }
    }

    /// A device that may import dma-bufs is asked; one that says no is not.
    private static func chooseForBuffer(_ facts: RegistrationInfo) throws(PeerMRError) -> MethodChoice {
        guard let found = facts.dmaBufSupport else {
            return MethodChoice(method: .dmaBuf, constraint: .any, reason: "it is a dma-buf")
        }
        // mlx5 looks at the descriptor before it looks whether it can page, which its dma-bufs need
        // (drivers/infiniband/hw/mlx5/mr.c, mlx5_ib_reg_user_mr_dmabuf).
        if found.isSupported == true, facts.driver == "mlx5_core", !facts.onDemand.isSupported {
            throw PeerMRError(
                .notSupported,
                reason: "\(facts.device) imports dma-bufs only with on-demand paging, which it lacks here",
                remedy: "turn it on in the firmware's settings (ODP), or use host memory")
        }
        guard found.isSupported != false else {
            throw PeerMRError(
                .notSupported, call: "ibv_reg_dmabuf_mr", errno: found.errno,
                reason: facts.nic == .software
                    ? "\(found.reason): it is a software device, whose bytes the CPU moves" : found.reason,
                remedy: found.remedy)
        }
        return MethodChoice(
            method: .dmaBuf, constraint: .any,
            reason: found.isSupported == true ? "\(facts.device) imports dma-bufs" : found.sentence)
    }

    private static func chooseForPeer(
        _ facts: RegistrationInfo
    ) throws(PeerMRError) -> MethodChoice {
        guard facts.onDemand.isSupported,
            facts.onDemand.reliableConnection.isSuperset(of: [.send, .receive, .write, .read])
        else {
            return MethodChoice(
                method: .pinned, constraint: .any,
                reason: "\(facts.device) has no on-demand paging for reliable connections")
        }
        guard let kernel = facts.kernel, kernel >= firstCheckingKernel else {
            throw .uncheckedMapping(facts)
        }
        return MethodChoice(
            method: .onDemand, constraint: facts.nic == .software ? .wholePages : .any,
            reason: "p2pmem cannot be pinned for long, and \(facts.device) can page on demand")
    }
}

extension PeerMRError {
    fileprivate static func uncheckedMapping(_ facts: RegistrationInfo) -> PeerMRError {
        let kernel = facts.kernel.map { "Linux \($0)" } ?? "this kernel"
        return PeerMRError(
            .unsafeConfiguration,
            reason:
                "\(kernel) maps peer memory for \(facts.device) without checking that the two devices can reach "
                + "each other, so data may go astray and be reported as arrived",
            remedy: "use Linux \(MethodChoice.firstCheckingKernel) or newer, or host memory")
    }
}
