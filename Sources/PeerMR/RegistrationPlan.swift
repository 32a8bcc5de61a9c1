// SPDX-License-Identifier: Apache-2.0

internal import PCITopology
internal import PeerMemory
internal import SystemPackage
public import PeerMRCore
internal import Verbs

/// How memory of a kind is registered with a device: the method and why, and what is known of the memory's provider.
///
/// ``Assessment`` makes it, a cache keeps it for the device, and ``PeerRegion`` follows it.
public final class RegistrationPlan: Sendable {
    /// The method, why it was chosen, and the transfers that are right with it.
    public let choice: MethodChoice
    /// What moves the device's bytes: hardware or software.
    public let nic: NICKind
    /// The PCI function whose memory it is: of a dma-buf where that is known, of the device's own memory.
    public let provider: PCIAddress?
    /// What the kernel would do with DMA to a dma-buf of a known provider; nil for other memory.
    public let route: Answer?
    /// The route that ``route`` is about.
    let path: Route?
    /// The provider's driver when the plan was made; nil where it has none.
    let driver: String?
    /// The PCI function that does the DMA in place of the NIC's own, which a dma-buf is registered for; nil for the
    /// NIC's own. The route is that function's.
    public let dataDirectFunction: PCIAddress?
    /// What is tried where that is refused.
    let alternative: RegistrationPlan?

    init(
        _ choice: MethodChoice, _ nic: NICKind, provider: PCIAddress? = nil, driver: String? = nil,
        path: Route? = nil, dataDirectFunction: PCIAddress? = nil, alternative: RegistrationPlan? = nil
    ) {
        self.choice = choice
        self.nic = nic
        self.provider = provider
        self.driver = driver
        self.path = path
        self.dataDirectFunction = dataDirectFunction
        self.alternative = alternative
        route = path.map { Answer($0) }
    }

    /// The region that the plan comes to.
    func region(
        over memory: any Memory, on domain: ProtectionDomain, _ wanted: Access, _ options: RegistrationOptions
    ) throws(PeerMRError) -> MemoryRegion {
        do throws(PeerMRError) {
            return try MemoryRegion(
                registering: memory, on: domain, access: access(wanted),
                constraint: constraint(for: wanted, on: domain.context.device), ioAddress: options.ioAddress,
                handle: options.handle, isDataDirect: dataDirectFunction != nil)
        } catch {
            throw explain(error, memory, domain.context.device)
        }
    }

    /// The access that the call is made with.
    func access(_ wanted: Access) -> Access {
        choice.method == .onDemand ? wanted.union(.onDemand) : wanted
    }

    /// Whose memory a region over this is: the route tells where an exporter hands out memory of the host instead.
    ///
    /// - Parameter owner: as far as the memory itself knows.
    func owner(of memory: any Memory, known owner: MemoryOwner) -> MemoryOwner {
        guard owner == .unknown, let name = memory.exporter,
            let exporter = Exporter.exporting(as: name, driver: driver)
        else { return owner }
        return exporter.owner(isRouteAllowed: path?.verdict.isSupported)
    }

    /// The transfers that are right on a region with such access: host memory can be registered on demand as well.
    ///
    /// - Throws: `unsafeConfiguration` where none are.
    func constraint(
        for access: Access, on device: @autoclosure () -> Device
    ) throws(PeerMRError) -> TransferConstraint {
        guard access.contains(.onDemand), nic == .software, choice.method == .pinned else { return choice.constraint }
        return try MethodChoice.softwarePaging(of: device(), pageBytes: pageBytes)
    }

    /// What a refusal of the kernel means, with all that was known before.
    func explain(_ error: PeerMRError, _ memory: any Memory, _ device: Device) -> PeerMRError {
        // What was refused before any call says enough by itself.
        guard error.errno != nil else { return error }
        return switch choice.method {
        case .dmaBuf: .bufferRefused(error, self, memory, device)
        case .pinned where memory.kind == .p2pmem: .pinnedPeerMemory(error, choice)
        case .onDemand: .onDemandRefused(memory.explain(error), memory, device)
        case .pinned, .deviceMemory: memory.explain(error)
        }
    }
}
