// SPDX-License-Identifier: Apache-2.0

@testable import PCITopology
import TestSupport
import PeerMRCore

extension KernelModel {
    /// Host bridges, ports and others: on the list always, in newer kernels, for one bridge, for none.
    private static let identities: [(UInt16, UInt16)] = [
        (0x8086, 0x2030), (0x8086, 0x2020), (0x8086, 0x2f00), (0x8086, 0x3c01), (0x8086, 0x0b25),
        (0x8086, 0x4948), (0x1ae0, 0x0001), (0x10de, 0x2f96), (0x8086, 0x29c0), (0x1022, 0x1480),
    ]
    private static let controls: [UInt16] = [
        0, 0x01, 0x04, 0x08, 0x20, 0x10, 0x53, 0x1d, 0x5f, 0xffff,
    ]
    private static let buses = ["pci0000:00", "pci0000:80", "pci10000:e0", "pci0001:00"].compactMap {
        RootBus(component: $0)
    }
    private static let processors = [
        ("GenuineIntel", 6), ("AuthenticAMD", 0x17), ("AuthenticAMD", 0x16), ("HygonGenuine", 0x18),
    ]

    /// A machine drawn at random: up to three host bridges, bridges below bridges, functions of one device, virtual
    /// ones.
    static func random(
        _ random: inout SeededGenerator, kernels: [(Int, Int)], most: Int = 11
    ) -> KernelModel {
        var model = KernelModel()
        (model.cpuVendor, model.cpuFamily) = processors.randomElement(using: &random) ?? ("", 0)
        model.kernel = kernels.randomElement(using: &random) ?? (7, 3)
        for bus in buses.shuffled(using: &random).prefix(Int.random(in: 1...3, using: &random)) {
            model.hosts.append(Host(bus: bus))
        }
        var growth = Growth(model)
        for _ in 0..<Int.random(in: 3...most, using: &random) { growth.grow(&random) }
        return growth.model
    }

    /// What keeps track of the numbers that are given away.
    private struct Growth {
        var model: KernelModel
        private var lastBus: [UInt32: UInt8] = [:]
        private var buses: [Int: UInt8] = [:]
        private var taken: Set<PCIAddress> = []

        init(_ model: KernelModel) { self.model = model }

        /// Adds one function, somewhere.
        mutating func grow(_ random: inout SeededGenerator) {
            let bridges = model.functions.indices.filter { model.functions[$0].isBridge }
            let physical = model.functions.indices.filter {
                !model.functions[$0].isBridge && model.functions[$0].physical == nil
            }
            if random.next() % 8 == 0, let own = physical.randomElement(using: &random) {
                return addVirtual(of: own, &random)
            }
            if random.next() % 3 != 0, let bridge = bridges.randomElement(using: &random) {
                return add(below: bridge, model.functions[bridge].host, &random)
            }
            add(below: nil, Int.random(in: model.hosts.indices, using: &random), &random)
        }

        /// A free address on a bus; functions of a device that is there as often as a device of its own.
        private mutating func address(
            _ domain: UInt32, _ bus: UInt8, _ random: inout SeededGenerator
        ) -> PCIAddress? {
            for _ in 0..<20 {
                let device = random.next() % 3 == 0 ? 0 : random.next() % 32
                let function = random.next() % 2 == 0 ? 0 : random.next() % 8
                let number = UInt16(bus) << 8 | UInt16(device) << 3 | UInt16(function)
                let found = PCIAddress(domain: domain, number: number)
                if taken.insert(found).inserted { return found }
            }
            return nil
        }

        private mutating func add(below bridge: Int?, _ host: Int, _ random: inout SeededGenerator) {
            let root = model.hosts[host].bus
            let bus = bridge.map { buses[$0] ?? 0 } ?? root.bus
            guard let address = address(root.domain, bus, &random) else { return }
            let isBridge = random.next() % 2 == 0
            let identity = KernelModel.identities.randomElement(using: &random) ?? (0, 0)
            let types: [UInt8?] = isBridge ? (bridge == nil ? [4, 4, 4, 7, nil] : [5, 6, nil]) : [0, 9, nil]
            let number = model.functions.count
            model.functions.append(
                Function(
                    address: address, busOwner: bridge, physical: nil, host: host, vendor: identity.0,
                    device: identity.1, portType: types.randomElement(using: &random) ?? nil,
                    control: random.next() % 3 == 0 ? KernelModel.controls.randomElement(using: &random) : nil,
                    isBridge: isBridge))
            if bridge == nil { model.hosts[host].devices.append(number) }
            if isBridge { buses[number] = nextBus(root) }
        }

        private mutating func addVirtual(of own: Int, _ random: inout SeededGenerator) {
            let function = model.functions[own]
            let bus = random.next() % 2 == 0 ? function.address.bus : nextBus(model.hosts[function.host].bus)
            guard let address = address(function.address.domain, bus, &random) else { return }
            model.functions.append(
                Function(
                    address: address, busOwner: nil, physical: own, host: function.host,
                    vendor: function.vendor, device: function.device, portType: 0,
                    control: random.next() % 4 == 0 ? 0x04 : nil))
            // On a bus of its own the function is in no root bus's list.
            let root = model.hosts[function.host].bus
            if function.busOwner == nil, bus == root.bus {
                model.hosts[function.host].devices.append(model.functions.count - 1)
            }
        }

        private mutating func nextBus(_ root: RootBus) -> UInt8 {
            let next = (lastBus[root.domain] ?? (root.bus == 0x80 ? 0 : root.bus)) &+ 1
            // Bus 80 is a root bus.
            lastBus[root.domain] = next == 0x80 ? 0x81 : next
            return lastBus[root.domain] ?? next
        }
    }
}
