// SPDX-License-Identifier: Apache-2.0

internal import SystemPackage
public import PeerMRCore
public import Verbs

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
    /// `hmm_dma_map_pfn`). Before, it was mapped like RAM, whatever lay between the devices: right only where
    /// `UncheckedMapping` finds nothing against it.
    public static let firstCheckingKernel = KernelRelease(6, 16)

    /// Picks the method for memory of a kind.
    ///
    /// - Throws: `unsafeConfiguration` where the kernel would map peer memory without a check, `notSupported` for a
    ///   dma-buf on a device that imports none.
    public static func choose(
        for kind: MemoryKind, info: RegistrationInfo
    ) throws(PeerMRError) -> MethodChoice {
        switch kind {
        case .host:
            return MethodChoice(
                method: .pinned, constraint: .any, reason: "pages of the host can be pinned")
        case .dmabuf: return try chooseForBuffer(info)
        case .nic:
            return MethodChoice(
                method: .deviceMemory, constraint: .any, reason: "it is memory of \(info.device) itself")
        case .p2pmem: return try chooseForPeer(info)
        }
    }

    /// A device that may import dma-bufs is asked; one that says no is not.
    private static func chooseForBuffer(_ info: RegistrationInfo) throws(PeerMRError) -> MethodChoice {
        guard let found = info.dmaBufSupport else {
            return MethodChoice(method: .dmaBuf, constraint: .any, reason: "it is a dma-buf")
        }
        // mlx5 looks at the descriptor before it looks whether it can page, which its dma-bufs need
        // (drivers/infiniband/hw/mlx5/mr.c, mlx5_ib_reg_user_mr_dmabuf).
        if found.isSupported == true, info.driver == "mlx5_core", !info.onDemand.isSupported {
            throw .noOnDemandImport(info.device)
        }
        guard found.isSupported != false else {
            throw .importRefused(found, isSoftware: info.nic == .software)
        }
        return MethodChoice(
            method: .dmaBuf, constraint: .any,
            reason: found.isSupported == true ? "\(info.device) imports dma-bufs" : found.sentence)
    }

    /// A dma-buf that is registered for another function than the NIC's own, which pins it.
    static func dataDirect(_ device: Device, _ function: PCIAddress) -> MethodChoice {
        MethodChoice(
            method: .dmaBuf, constraint: .any, reason: "\(device) reaches it by its data-direct function \(function)")
    }

    private static func chooseForPeer(
        _ info: RegistrationInfo
    ) throws(PeerMRError) -> MethodChoice {
        guard info.onDemand.isSupported,
            info.onDemand.reliableConnection.isSuperset(of: [.send, .receive, .write, .read])
        else {
            return MethodChoice(
                method: .pinned, constraint: .any,
                reason: info.redHat?.pinsPeerMemory == true
                    ? "this kernel pins p2pmem where the route allows it, and \(info.device) has no on-demand paging"
                    : "\(info.device) has no on-demand paging for reliable connections")
        }
        let constraint =
            info.nic == .software ? try softwarePaging(of: info.device, pageBytes: info.pageBytes) : .any
        let reason = "p2pmem cannot be pinned for long, and \(info.device) can page on demand"
        if info.isMappingChecked { return MethodChoice(method: .onDemand, constraint: constraint, reason: reason) }
        let kernel = info.kernel.map { "Linux \($0)" } ?? "this kernel"
        guard let peer = info.peer else { throw .uncheckedMapping(kernel, info.device, firstCheckingKernel) }
        if let failure = peer.mapping.failure {
            if let redHat = info.redHat, redHat.pinsPeerMemory {
                return MethodChoice(
                    method: .pinned, constraint: .any,
                    reason: "\(redHat) checks the route of p2pmem that it pins, and of no other")
            }
            throw .unsafeMapping(failure, kernel, info.device, peer.provider, peer.route)
        }
        return MethodChoice(
            method: .onDemand, constraint: constraint,
            reason: "\(reason); \(kernel) maps it without a check, and PeerMR's own stands in for that: the route is "
                + "one that newer kernels allow, \(peer.mapping.address)")
    }

    /// The transfers that are right on a software device's on-demand region: Soft-RoCE's driver ignores where in a page
    /// a packet begins (drivers/infiniband/sw/rxe/rxe_odp.c), so that each packet must be a page.
    ///
    /// - Throws: `unsafeConfiguration` where pages are larger than packets.
    static func softwarePaging(of device: Device, pageBytes: Int) throws(PeerMRError) -> TransferConstraint {
        guard pageBytes == TransferConstraint.largestPacketBytes else {
            throw .largePages(device, pageBytes, TransferConstraint.largestPacketBytes)
        }
        return .wholePages
    }
}
