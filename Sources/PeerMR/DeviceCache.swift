// SPDX-License-Identifier: Apache-2.0

internal import PCITopology
internal import SystemPackage
package import PeerMRCore
package import Verbs

/// What is known about an open device, so that the next registration does not ask again: the check before a
/// registration then costs some ten nanoseconds.
///
/// Method and NIC hold as long as the device is open. What is known of providers may change: it is forgotten when the
/// kernel has counted an event of any device, as ``PCITopology/RouteCache`` does.
final class DeviceCache: Sendable {
    /// What moves the device's bytes: hardware or software.
    let nic: NICKind
    /// The PCI function that does its DMA; nil where there is none.
    let function: PCIAddress?
    private let root: SystemRoot
    /// Of dma-bufs, and of p2pmem on a kernel that does not check routes itself.
    private let plans: EventCache<PCIAddress, RegistrationPlan>
    private let mappings: EventCache<PCIAddress, RegistrationPlan>
    private let checksMappings = OnceReference()
    // The plans that hold as long as the device is open, by the kind of memory. Only ``plan(_:_:_:)`` sets them.
    private let host = OnceReference()
    private let p2pmem = OnceReference()
    private let dmabuf = OnceReference()
    private let own = OnceReference()

    init(of device: Device, root: SystemRoot = .live) {
        nic = NICKind(of: device, root: root)
        function = DeviceLinks.function(ofRDMADevice: device.name, root: root)
        plans = EventCache(root: root)
        mappings = EventCache(root: root)
        self.root = root
    }

    /// What is remembered of a device.
    static func of(_ context: Context) -> DeviceCache {
        // Only this module sets it.
        let layer = context.info.layer.object ?? context.info.layer.set(DeviceCache(of: context.device))
        return unsafe unsafeDowncast(layer, to: DeviceCache.self)
    }

    /// How memory is registered.
    ///
    /// - Parameter provider: the PCI function whose memory it is, where that is known.
    /// - Throws: as ``MethodChoice/choose(for:info:)`` does. A refusal is worked out anew each time.
    func plan(
        for kind: MemoryKind, of provider: PCIAddress?, on context: Context
    ) throws(PeerMRError) -> RegistrationPlan {
        switch kind {
        case .host: return try plan(kind, host, context)
        case .p2pmem: return try plan(forPoolOf: provider, context)
        case .nic: return try plan(kind, own, context)
        case .dmabuf:
            guard let provider else { return try plan(kind, dmabuf, context) }
            return try plans.value(for: provider) { () throws(PeerMRError) in
                try plan(forBuffersOf: provider, on: context)
            }
        }
    }

    private func plan(
        _ kind: MemoryKind, _ slot: borrowing OnceReference, _ context: Context, _ info: RegistrationInfo? = nil
    ) throws(PeerMRError) -> RegistrationPlan {
        if let known = slot.object { return unsafe unsafeDowncast(known, to: RegistrationPlan.self) }
        let info = if let info { info } else { try RegistrationInfo(of: context, nic: nic, for: kind, root: root) }
        let choice = try MethodChoice.choose(for: kind, info: info)
        let provider = kind == .nic ? function : nil
        let made = RegistrationPlan(choice, nic, provider: provider, driver: provider.flatMap { root.driver(of: $0) })
        return unsafe unsafeDowncast(slot.set(made), to: RegistrationPlan.self)
    }

    /// The plan for p2pmem: the same for every provider where the kernel checks the route.
    private func plan(
        forPoolOf provider: PCIAddress?, _ context: Context
    ) throws(PeerMRError) -> RegistrationPlan {
        if let known = p2pmem.object { return unsafe unsafeDowncast(known, to: RegistrationPlan.self) }
        guard let provider else { return try plan(.p2pmem, p2pmem, context, info(of: context)) }
        return try mappings.value(for: provider) { () throws(PeerMRError) in
            var info = try info(of: context)
            if info.isMappingChecked || !info.onDemand.isSupported { return try plan(.p2pmem, p2pmem, context, info) }
            let (mapping, route) = UncheckedMapping.read(for: function, of: provider, root: root)
            info.peer = PeerMapping(provider: provider, mapping: mapping, route: route.map { Answer($0) })
            return RegistrationPlan(
                try MethodChoice.choose(for: .p2pmem, info: info), nic, provider: provider,
                driver: root.driver(of: provider), path: route)
        }
    }

    private func info(of context: Context) throws(PeerMRError) -> RegistrationInfo {
        var info = try RegistrationInfo(of: context, nic: nic, for: .p2pmem, root: root)
        let evidence =
            checksMappings.object
            ?? checksMappings.set(MappingEvidence(KernelEvidence.checksOnDemandMappings(root: root)))
        info.checksMappings = (evidence as? MappingEvidence)?.isChecked
        return info
    }

    /// The plan for dma-bufs of a function: what is around a provider is read again when it may have changed.
    private func plan(
        forBuffersOf provider: PCIAddress, on context: Context
    ) throws(PeerMRError) -> RegistrationPlan {
        let device = context.device
        let driver = root.driver(of: provider)
        let path = Assessment.path(of: provider, for: .rdmaDevice(device.name), root: root)
        let general = Result { () throws(PeerMRError) in try plan(.dmabuf, dmabuf, context) }
        let ordinary = general.map { RegistrationPlan($0.choice, nic, provider: provider, driver: driver, path: path) }
        guard let function = DataDirect.function(of: context, root) else { return try ordinary.get() }
        let topology = Topology(root: root, around: [provider, function])
        guard let direct = DataDirect.route(by: function, of: device.name, to: provider, topology),
            DataDirect.isBetter(direct, than: path)
                || (try? ordinary.get()) == nil && direct.verdict.isSupported == true
        else { return try ordinary.get() }
        return RegistrationPlan(
            .dataDirect(device, function), nic, provider: provider, driver: driver, path: direct,
            dataDirectFunction: function, alternative: try? ordinary.get())
    }
}

/// What the kernel's type information tells, read once: it is megabytes.
private final class MappingEvidence: Sendable {
    let isChecked: Bool?
    init(_ isChecked: Bool?) { self.isChecked = isChecked }
}

extension PeerRegion {
    /// The check that each registration makes first, alone: to be measured.
    ///
    /// - Throws: as ``init(registering:on:access:options:)`` does before it asks the kernel.
    package static func checkBeforeRegistration(
        of kind: MemoryKind, provider: PCIAddress?, on context: Context
    ) throws(PeerMRError) -> Method {
        try DeviceCache.of(context).plan(for: kind, of: provider, on: context).choice.method
    }
}
