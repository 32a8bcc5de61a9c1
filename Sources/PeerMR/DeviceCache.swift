// SPDX-License-Identifier: Apache-2.0

internal import PCITopology
internal import Synchronization
internal import SystemPackage
package import PeerMRCore
package import Verbs

/// What is known about an open device, so that the next registration does not ask again: the check before a
/// registration then costs some ten nanoseconds.
///
/// Method and NIC hold as long as the device is open. What is known of providers may change: it is forgotten when the
/// kernel has counted an event of any device, as ``PCITopology/RouteCache`` does.
final class DeviceCache: Sendable {
    private struct State {
        // A few: comparing each costs less than hashing.
        var plans: [RegistrationPlan] = []
        var events: UInt64?
        var lookedAt: UInt64 = 0
    }

    /// What moves the device's bytes: hardware or software.
    let nic: NICKind
    /// The PCI function that does its DMA; nil where there is none.
    let function: PCIAddress?
    private let root: SystemRoot
    private let events: UeventSequence
    private let state = Mutex(State())
    // What holds as long as the device is open, by the kind of memory.
    private let host = PlanSlot()
    private let p2pmem = PlanSlot()
    private let dmabuf = PlanSlot()
    private let own = PlanSlot()

    init(of device: Device, root: SystemRoot = .live) {
        nic = NICKind(of: device, root: root)
        function = DeviceLinks.function(ofRDMADevice: device.name, root: root)
        events = UeventSequence(root: root)
        self.root = root
    }

    /// What is remembered of a device.
    static func of(_ context: Context) -> DeviceCache {
        // Only this module sets it.
        if let known = context.info.layer { return unsafe unsafeDowncast(known, to: DeviceCache.self) }
        return unsafe unsafeDowncast(
            context.info.setLayer(DeviceCache(of: context.device)), to: DeviceCache.self)
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
        case .p2pmem: return try plan(kind, p2pmem, context)
        case .nic: return try plan(kind, own, context)
        case .dmabuf:
            let general = try plan(kind, dmabuf, context)
            guard let provider else { return general }
            return plan(general, forBuffersOf: provider, context.device)
        }
    }

    private func plan(
        _ kind: MemoryKind, _ slot: borrowing PlanSlot, _ context: Context
    ) throws(PeerMRError) -> RegistrationPlan {
        if let known = slot.plan { return known }
        let choice = try MethodChoice.choose(for: kind, info: RegistrationInfo(of: context, nic: nic, for: kind))
        let provider = kind == .nic ? function : nil
        let made = RegistrationPlan(choice, nic, provider: provider, driver: provider.flatMap { root.driver(of: $0) })
        return slot.set(made)
    }

    /// The plan for dma-bufs of a function: what is around a provider is read again when it may have changed.
    private func plan(
        _ general: RegistrationPlan, forBuffersOf provider: PCIAddress, _ device: @autoclosure () -> Device
    ) -> RegistrationPlan {
        let now = coarseMonotonicNanoseconds()
        let known = state.withLock { state -> RegistrationPlan? in
            if now &- state.lookedAt >= UeventSequence.intervalNanoseconds {
                state.lookedAt = now
                let count = events.now()
                if count == nil || count != state.events { state.plans = [] }
                state.events = count
            }
            return state.plans.first { $0.provider == provider }
        }
        if let known { return known }
        let made = RegistrationPlan(
            general.choice, nic, provider: provider, driver: root.driver(of: provider),
            route: Assessment.route(of: provider, for: .rdmaDevice(device().name), root: root))
        state.withLock { $0.plans.append(made) }
        return made
    }
}

/// A plan that is set once, and read without a lock.
private struct PlanSlot: ~Copyable, Sendable {
    private let bits = Atomic<UInt>(0)

    /// The plan; nil until it is set.
    var plan: RegistrationPlan? {
        unsafe Self.object(bits.load(ordering: .acquiring))?.takeUnretainedValue()
    }

    /// - Returns: the plan that is set: another thread may have been first.
    func set(_ plan: RegistrationPlan) -> RegistrationPlan {
        let new = unsafe Unmanaged.passRetained(plan)
        let (isFirst, found) = bits.compareExchange(
            expected: 0, desired: UInt(bitPattern: unsafe new.toOpaque()), ordering: .acquiringAndReleasing)
        guard !isFirst, let other = unsafe Self.object(found) else { return plan }
        unsafe new.release()
        return unsafe other.takeUnretainedValue()
    }

    deinit {
        if let plan = unsafe Self.object(bits.load(ordering: .acquiring)) { unsafe plan.release() }
    }

    @unsafe private static func object(_ bits: UInt) -> Unmanaged<RegistrationPlan>? {
        unsafe UnsafeRawPointer(bitPattern: bits).map { unsafe Unmanaged.fromOpaque($0) }
    }
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
