// SPDX-License-Identifier: Apache-2.0

package import PCITopology
package import PeerMemory
internal import Synchronization
internal import SystemPackage
package import PeerMRCore
package import Verbs

/// What registration has found out about an open device, so that the next one does not ask again: the check before a
/// registration then costs some ten nanoseconds.
///
/// Method and NIC hold as long as the device is open. What stands around providers may change: it is forgotten when
/// the kernel has counted an event of any device, which is looked at as ``PCITopology/RouteCache`` does.
final class RegistrationMemory: Sendable {
    /// What stands between the device and a function whose memory is registered.
    final class Provider: Sendable {
        let address: PCIAddress
        /// The function's driver; nil where it has none.
        let driver: String?
        /// What the kernel would do with DMA to it.
        let route: Answer

        init(_ address: PCIAddress, driver: String?, route: Answer) {
            self.address = address
            self.driver = driver
            self.route = route
        }
    }

    private struct State {
        var choices: [4 of MethodChoice?] = [nil, nil, nil, nil]
        // A few: looking at each costs less than working out where one lies.
        var providers: [Provider] = []
        var events: UInt64?
        var lookedAt: UInt64 = 0
    }

    /// Who moves the device's bytes.
    let nic: NICKind
    /// The PCI function that does its DMA; nil where there is none.
    let function: PCIAddress?
    /// That function's driver; nil where it has none.
    let driver: String?
    private let events: UeventSequence
    private let root: SystemRoot
    private let state = Mutex(State())

    init(of device: Device, root: SystemRoot = .live) {
        nic = NICKind(of: device, root: root)
        function = DeviceLinks.function(ofRDMADevice: device.name, root: root)
        driver = function.flatMap { Registration.driver(of: $0, root: root) }
        events = UeventSequence(root: root)
        self.root = root
    }

    /// What is remembered of a device.
    static func of(_ context: Context) -> RegistrationMemory {
        context.facts.registration.withLock { remembered in
            // Nobody else writes there.
            if let known = remembered { return unsafe unsafeDowncast(known, to: RegistrationMemory.self) }
            let new = RegistrationMemory(of: context.device)
            remembered = new
            return new
        }
    }

    /// The method for memory of a kind. A refusal is worked out anew each time.
    func choice(for kind: MemoryKind, on context: Context) throws(PeerMRError) -> MethodChoice {
        let index = Self.index(kind)
        if let known = state.withLock({ $0.choices[index] }) { return known }
        let choice = try MethodChoice.choose(for: kind, facts: RegistrationInfo(of: context, for: kind))
        state.withLock { $0.choices[index] = choice }
        return choice
    }

    private static func index(_ kind: MemoryKind) -> Int {
        switch kind {
        case .host: 0
        case .p2pmem: 1
        case .dmabuf: 2
        case .nic: 3
        }
    }

    /// What stands around the provider of a dma-buf, from sysfs where that may have changed.
    func provider(_ address: PCIAddress, for context: Context) -> Provider {
        let now = coarseMonotonicNanoseconds()
        let known = state.withLock { state -> Provider? in
            if now &- state.lookedAt >= UeventSequence.intervalNanoseconds {
                state.lookedAt = now
                let count = events.now()
                if count == nil || count != state.events { state.providers = [] }
                state.events = count
            }
            return state.providers.first { $0.address == address }
        }
        if let known { return known }
        let found = Provider(
            address, driver: Registration.driver(of: address, root: root),
            route: Capability.route(of: address, for: .rdmaDevice(context.device.name), root: root))
        state.withLock { $0.providers.append(found) }
        return found
    }
}

extension PeerRegion {
    /// The check that each registration makes first, alone: to be measured.
    ///
    /// - Throws: as ``init(registering:on:access:options:)`` does before it asks the kernel.
    package static func checkBeforeRegistration(
        of kind: MemoryKind, provider: PCIAddress?, on context: Context
    ) throws(PeerMRError) -> Method {
        let known = RegistrationMemory.of(context)
        let choice = try known.choice(for: kind, on: context)
        _ = provider.map { known.provider($0, for: context) }
        return choice.method
    }
}
