// SPDX-License-Identifier: Apache-2.0

package import PeerMRCore

/// Where a kernel that maps another device's memory for on-demand regions without asking p2pdma would map it to.
///
/// Linux before 6.16 maps every page of an on-demand region alike (drivers/infiniband/core/umem_odp.c,
/// ib_dma_map_page()): to the CPU's physical address without an IOMMU, to an address of the IOMMU's otherwise. Where
/// the route is one that a newer kernel allows, that is the very address that it would use (mm/hmm.c,
/// hmm_dma_map_pfn()), under conditions that can be read.
package struct UncheckedMapping: Hashable, Sendable {
    /// A condition that does not hold, or cannot be read.
    package enum Failure: Hashable, Sendable {
        /// No function of PCI does the client's DMA.
        case noFunction
        /// The kernel would refuse if it asked.
        case refusedRoute
        /// Whether it would refuse cannot be told.
        case unknownRoute
        /// The IOMMU's addresses lead through the host bridge, which this pair may not use or perhaps may not.
        case translated(group: String)
        /// The IOMMU group's default domain is of another type than is known to be right; nil where it cannot be read.
        case domain(type: String?, group: String)
        /// Addresses on the bus are other ones than the CPU's; nil where that cannot be read.
        case busOffset(Int64?)
        /// The kernel marks addresses as encrypted; nil where that cannot be read.
        case memoryEncryption(Bool?)
        /// The processor is none of those where that was looked at.
        case architecture
    }

    /// The function that does the client's DMA; nil where there is none.
    package var client: PCIAddress?
    /// The kernel's decision, if it made one.
    package var verdict: Verdict
    /// Whether the kernel allows this pair's host bridges, whatever ACS says; nil where that cannot be told.
    package var allowsHostBridge: Bool?
    /// What translates the client's addresses.
    package var iommu: IOMMUMode
    /// See ``BusOffset``; nil where it cannot be read.
    package var busOffset: Int64?
    /// See ``MemoryEncryption``; nil where it cannot be told.
    package var encryptsMemory: Bool?
    /// Whether the processor is one of x86.
    package var isX86: Bool

    /// A mapping given by its facts.
    package init(
        client: PCIAddress?, verdict: Verdict, allowsHostBridge: Bool?, iommu: IOMMUMode, busOffset: Int64?,
        encryptsMemory: Bool?, isX86: Bool
    ) {
        self.client = client
        self.verdict = verdict
        self.allowsHostBridge = allowsHostBridge
        self.iommu = iommu
        self.busOffset = busOffset
        self.encryptsMemory = encryptsMemory
        self.isX86 = isX86
    }

    /// The first condition that is not known to hold; nil where all do.
    package var failure: Failure? {
        guard client != nil else { return .noFunction }
        switch verdict.isSupported {
        case true?: break
        case false?: return .refusedRoute
        case nil: return .unknownRoute
        }
        switch iommu {
        case .none: return untranslatedFailure
        case .domain("identity", _): return untranslatedFailure
        case .domain(let type, let group) where type == "DMA" || type == "DMA-FQ":
            guard isX86 else { return .architecture }
            return allowsHostBridge == true ? nil : .translated(group: group)
        case .domain(let type, let group): return .domain(type: type.isEmpty ? nil : type, group: group)
        }
    }

    private var untranslatedFailure: Failure? {
        if busOffset != 0 { return .busOffset(busOffset) }
        if encryptsMemory != false { return .memoryEncryption(encryptsMemory) }
        return nil
    }

    /// What the address is, as half a sentence, where there is no ``failure``.
    package var address: String {
        if case .domain(let type, let group) = iommu, type != "identity" {
            return "its IOMMU leads there (group \(group), \(type)), through a host bridge that the kernel allows"
        }
        return "nothing translates its addresses, and those on the bus are the CPU's"
    }
}

extension UncheckedMapping {
    /// The mapping of a provider's memory for the function that does a client's DMA, and the route between them.
    ///
    /// - Parameter client: nil for a client that no function of PCI does the DMA of.
    package static func read(
        for client: PCIAddress?, of provider: PCIAddress, root: SystemRoot
    ) -> (mapping: UncheckedMapping, route: Route?) {
        let topology = Topology(root: root, around: [provider] + (client.map { [$0] } ?? []))
        let route = client.map { topology.route(from: $0, to: provider) }
        let mapping = UncheckedMapping(
            client: client, verdict: route?.verdict ?? .unknown,
            allowsHostBridge: client.flatMap { topology.allowsHostBridge(from: $0, to: provider) },
            iommu: client.flatMap { topology.function(at: $0)?.iommu } ?? .none,
            busOffset: isTranslatedByBus(topology, root) ? nil : BusOffset.of(provider, root: root),
            encryptsMemory: MemoryEncryption.isActive(root: root),
            isX86: topology.cpu?.vendor != nil)
        return (mapping, route)
    }

    /// Machines that are described by a device tree may translate what devices send as well (`dma-ranges`).
    private static func isTranslatedByBus(_ topology: Topology, _ root: SystemRoot) -> Bool {
        topology.cpu?.vendor == nil && root.exists("sys/firmware/devicetree/base")
    }
}

extension Topology {
    /// Whether the kernel lets requests from one function to another pass their host bridges, as it does when ACS sends
    /// them there; nil where that cannot be told.
    package func allowsHostBridge(from client: PCIAddress, to provider: PCIAddress) -> Bool? {
        guard hasPeerToPeer != false, let a = index(of: provider), let b = index(of: client) else { return nil }
        var none = NoFindings()
        let allowed = throughHostBridges(b, a, &none)
        return hasPeerToPeer == true ? allowed : allowed == false ? false : nil
    }
}
