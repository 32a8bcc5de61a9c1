// SPDX-License-Identifier: Apache-2.0

public import PeerMemory
public import SystemSupport
public import Verbs

/// How memory becomes a region.
public enum Method: String, Hashable, Sendable, CaseIterable {
    /// `ibv_reg_mr`: the kernel locks the pages down.
    case pinned
    /// `ibv_reg_mr` with on-demand paging: the device faults pages in when it needs them.
    case onDemand
    /// `ibv_reg_dmabuf_mr`: another driver's buffer, by descriptor.
    case dmaBuf
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
public struct RegistrationFacts: Hashable, Sendable {
    /// The device's name, for messages.
    public var device: Device
    /// Its on-demand paging.
    public var onDemand: OnDemandPaging
    /// Who moves its bytes.
    public var nic: NICKind
    /// The running kernel; nil where its release cannot be read.
    public var kernel: KernelRelease?

    /// Facts given by hand, as a test needs them.
    public init(
        device: Device, onDemand: OnDemandPaging, nic: NICKind, kernel: KernelRelease?
    ) {
        self.device = device
        self.onDemand = onDemand
        self.nic = nic
        self.kernel = kernel
    }

    /// The facts of an open device on the running kernel.
    ///
    /// - Throws: the errno of the device query.
    public init(of context: Context) throws(CallError) {
        self.init(
            device: context.device, onDemand: try context.attributes().onDemand,
            nic: NICKind(of: context.device), kernel: .running())
    }
}

/// A method, why it was chosen, and what it is bound to.
public struct MethodChoice: Hashable, Sendable {
    /// The method.
    public let method: Method
    /// The transfers that are right with it.
    public let shape: TransferShape
    /// Why this one, as half a sentence.
    public let reason: String
}

extension MethodChoice {
    /// Linux 6.16 is the first that asks pci_p2pdma when an on-demand region maps peer memory (mm/hmm.c,
    /// `hmm_dma_map_pfn`). Before, it was mapped like RAM, whatever lay between the devices.
    public static let firstCheckingKernel = KernelRelease(6, 16)

    /// Picks the method for memory of a kind.
    ///
    /// - Throws: `unsafeHere` where the kernel would map peer memory without a check.
    public static func choose(
        for kind: MemoryKind, facts: RegistrationFacts
    ) throws(CallError) -> MethodChoice {
        switch kind {
        case .host:
            return MethodChoice(
                method: .pinned, shape: .any, reason: "pages of the host can be pinned")
        case .dmabuf:
            throw CallError(
                .notSupported, reason: "this version does not register dma-bufs yet",
                remedy: "use p2pmem or host memory")
        case .p2pmem: return try chooseForPeer(facts)
        }
    }

    private static func chooseForPeer(
        _ facts: RegistrationFacts
    ) throws(CallError) -> MethodChoice {
        guard facts.onDemand.isSupported,
            facts.onDemand.reliableConnection.isSuperset(of: [.send, .receive, .write, .read])
        else {
            return MethodChoice(
                method: .pinned, shape: .any,
                reason: "\(facts.device) has no on-demand paging for reliable connections")
        }
        guard let kernel = facts.kernel, kernel >= firstCheckingKernel else {
            throw .uncheckedMapping(facts)
        }
        return MethodChoice(
            method: .onDemand, shape: facts.nic == .software ? .wholePages : .any,
            reason: "p2pmem cannot be pinned for long, and \(facts.device) can page on demand")
    }
}

extension CallError {
    fileprivate static func uncheckedMapping(_ facts: RegistrationFacts) -> CallError {
        let kernel = facts.kernel.map { "Linux \($0)" } ?? "this kernel"
        return CallError(
            .unsafeHere,
            reason:
                "\(kernel) maps peer memory for \(facts.device) without checking that the two devices can reach "
                + "each other, so data may go astray and be reported as arrived",
            remedy: "use Linux \(MethodChoice.firstCheckingKernel) or newer, or host memory")
    }
}
