// SPDX-License-Identifier: Apache-2.0

internal import PeerMRCore
internal import SystemPackage

/// Finds the first device of each root bus as the kernel lists them, which is how it knows a host bridge.
///
/// The kernel puts a device at the end of its bus's list when it finds it: in the order of the numbers at start-up, and
/// later behind all the others. Three things tell the order, the best one first:
///
/// - a capture, which has the answer of its own machine;
/// - sysfs itself: the kernel numbers its directories as it makes them, so that of two devices the older one has the
///   lower inode number. A copy of sysfs has other numbers;
/// - /proc/bus/pci/devices, which lists devices as they were found, but without their domain.
struct FirstDevices {
    let root: SystemRoot
    /// All functions that sysfs lists, those of one bus in the order of their numbers.
    private let byBus: [RootBus: [PCIAddress]]
    /// The buses that share a number, which /proc does not tell apart.
    private let rivals: [UInt8: [RootBus]]
    /// The devices that /proc lists in a copy, as it has them: bus, device and function, by the bus's number.
    private let numbers: [UInt8: [UInt16]]

    /// What a capture keeps: a line for each root bus, `DDDD:BB DDDD:BB:DD.F`, or `DDDD:BB -` where it could not be
    /// told.
    static let captured = "peermr/first-devices"

    init(root: SystemRoot, _ addresses: [PCIAddress]) {
        self.root = root
        byBus = Dictionary(grouping: addresses) { RootBus(domain: $0.domain, bus: $0.bus) }.mapValues { $0.sorted() }
        rivals = Dictionary(grouping: byBus.keys, by: \.bus)
        numbers = root.isKernel ? [:] : Self.numbers(root)
    }

    /// The first devices of these buses; absent where a bus has none, or it cannot be told.
    func of(_ buses: Set<RootBus>) -> [RootBus: PCIAddress] {
        guard root.isKernel else {
            return capturedOnes()?.filter { buses.contains($0.key) } ?? byList(buses)
        }
        var first: [RootBus: PCIAddress] = [:]
        for bus in buses { first[bus] = oldest(byBus[bus] ?? []) }
        return first
    }

    /// By the kernel's own numbers. A device that goes in the meantime has none, and is not the first any more.
    private func oldest(_ devices: [PCIAddress]) -> PCIAddress? {
        guard devices.count > 1 else { return devices.first }
        let ages = devices.compactMap { device in
            root.kernelNumber(ofDirectory: "sys/bus/pci/devices/\(device)").map { ($0, device) }
        }
        return ages.min { $0.0 < $1.0 }?.1
    }

    private func capturedOnes() -> [RootBus: PCIAddress]? {
        guard let text = root.attribute(Self.captured) else { return nil }
        var first: [RootBus: PCIAddress] = [:]
        for line in text.split(separator: "\n") {
            let parts = line.split(separator: " ")
            guard parts.count == 2, let bus = RootBus(component: "pci\(parts[0])") else { continue }
            first[bus] = PCIAddress(String(parts[1]))
        }
        return first
    }

    /// What a capture keeps of these buses.
    func text(_ buses: Set<RootBus>) -> String {
        let first = of(buses)
        return buses.sorted().map { "\($0) \(first[$0].map { "\($0)" } ?? "-")\n" }.joined()
    }
}

// MARK: - By the list of /proc

extension FirstDevices {
    /// Devices numbered 00.0 that a copy's sysfs does not list, although they have a folder there, or /proc lists more
    /// of them: what is missing in a copy need not be missing in its machine.
    func hiddenZeros(_ buses: Set<RootBus>) -> Set<PCIAddress> {
        guard !root.isKernel else { return [] }
        return Set(
            buses.filter { bus in
                guard byBus[bus]?.contains(bus.zero) != true else { return false }
                let shown = (rivals[bus.bus] ?? []).count { byBus[$0]?.contains($0.zero) ?? false }
                let listed = (numbers[bus.bus] ?? []).count { $0 == bus.zero.number }
                return listed > shown || folders(of: bus).contains(bus.zero)
            }.map(\.zero))
    }

    private static func numbers(_ root: SystemRoot) -> [UInt8: [UInt16]] {
        let list = (root.contents("proc/bus/pci/devices", limit: 32 << 20) ?? [])
            .split(separator: 10).map { $0.prefix { $0 != 9 } }
            .compactMap { UInt16(String(decoding: $0, as: UTF8.self), radix: 16) }
        return Dictionary(grouping: list) { UInt8($0 >> 8) }
    }

    private func byList(_ buses: Set<RootBus>) -> [RootBus: PCIAddress] {
        var first: [RootBus: PCIAddress] = [:]
        for bus in buses {
            guard let devices = byBus[bus] else { continue }
            let order = numbers[bus.bus] ?? []
            if order.isEmpty {
                // Nothing says that a device came late. One may have its folder alone.
                first[bus] = (devices + folders(of: bus)).min()
            } else if rivals[bus.bus]?.count == 1 {
                // A device that /proc lists alone is there all the same. A number twice is another domain's, of which
                // sysfs shows nothing.
                let isAlone = Set(order).count == order.count
                let found = isAlone ? order.first.map { PCIAddress(domain: bus.domain, number: $0) } : nil
                // Any other domain has domain 0 beside it: what the list has alone may be of that one.
                first[bus] = bus.domain == 0 || found.map(devices.contains) ?? false ? found : nil
            } else {
                first[bus] = firstDevice(of: bus, among: rivals[bus.bus] ?? [], in: order)
            }
        }
        return first
    }

    /// The functions that have a folder below that of their root bus, whether sysfs lists them or not.
    private func folders(of bus: RootBus) -> [PCIAddress] {
        let above = "../../../"
        for device in byBus.values.joined() where device.domain == bus.domain {
            guard let target = root.linkTarget("sys/bus/pci/devices/\(device)")?.string, target.hasPrefix(above)
            else { continue }
            let parts = target.dropFirst(above.count).split(separator: "/")
            guard let place = parts.firstIndex(of: "pci\(bus)") else { continue }
            let names = root.entries("sys/" + parts[...place].joined(separator: "/")) ?? []
            return names.compactMap { PCIAddress($0) }.filter { $0.domain == bus.domain && $0.bus == bus.bus }
        }
        return []
    }

    /// The first device of one of several buses with the same number: the list does not say which bus it means.
    private func firstDevice(of bus: RootBus, among rivals: [RootBus], in order: [UInt16]) -> PCIAddress? {
        let sequences = rivals.map { (byBus[$0] ?? []).map(\.number) }
        if Self.areConsecutive(sequences, in: order[...]) { return byBus[bus]?.first }
        let isOwn = Set((byBus[bus] ?? []).map(\.number)).contains
        // Each device that sysfs shows is on the list: what is there more often is of a device that it does not show.
        let shown = Dictionary(grouping: sequences.joined()) { $0 }.mapValues(\.count)
        let listed = Dictionary(grouping: order) { $0 }.mapValues(\.count)
        guard let number = order.first(where: { isOwn($0) || shown[$0] != listed[$0] }), isOwn(number),
            shown[number] == listed[number], let last = order.lastIndex(of: number),
            order[..<last].allSatisfy({ $0 == number || !isOwn($0) && shown[$0] == listed[$0] })
        else { return nil }
        return PCIAddress(domain: bus.domain, number: number)
    }

    /// Whether a list is these sequences one behind the other, in any order: then each is in its own order too.
    private static func areConsecutive(_ sequences: [[UInt16]], in list: ArraySlice<UInt16>) -> Bool {
        var rest = list
        // The longest first: a sequence that begins another one must not take its beginning.
        var left = sequences.sorted { $0.count > $1.count }
        while !left.isEmpty {
            guard let found = left.firstIndex(where: { rest.starts(with: $0) }) else { return false }
            rest = rest.dropFirst(left.remove(at: found).count)
        }
        return rest.isEmpty
    }
}
