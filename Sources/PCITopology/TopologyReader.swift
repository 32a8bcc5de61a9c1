// SPDX-License-Identifier: Apache-2.0

internal import SystemPackage
public import SystemSupport

extension Topology {
    /// Reads a machine: the running one, or a captured tree.
    ///
    /// Whatever is missing, unreadable or malformed becomes an unknown of its own; nothing here fails.
    public init(root: SystemRoot = .live) {
        let reader = TopologyReader(root: root)
        let functions = reader.functions()
        self.init(
            functions: functions, firstDevices: reader.firstDevices(functions),
            cpu: CPU(root: root),
            kernel: root.attribute("proc/sys/kernel/osrelease").flatMap {
                KernelRelease(release: $0)
            },
            hasPeerToPeer: reader.hasPeerToPeer(functions),
            rdmaDevices: reader.rdmaDevices(), blockDevices: reader.blockDevices())
    }
}

/// Reads sysfs and procfs below a root, into values.
struct TopologyReader {
    let root: SystemRoot
    private static let devices = "sys/bus/pci/devices"

    /// The most functions that are looked at: more than any machine has, fewer than a hostile tree could name.
    static let functionLimit = 65_536

    func functions() -> [PCIFunction] {
        let names = (root.entries(Self.devices) ?? []).prefix(Self.functionLimit)
        return names.compactMap { name in PCIAddress(name).flatMap { function(at: $0, name) } }
    }

    private func function(at address: PCIAddress, _ name: String) -> PCIFunction? {
        let folder = "\(Self.devices)/\(name)"
        guard let place = place(of: folder, address) else { return nil }
        let space = configuration(folder)
        return PCIFunction(
            address: address, chain: place.chain, rootBus: place.bus,
            vendor: hexadecimal("\(folder)/vendor").flatMap { UInt16(exactly: $0) },
            device: hexadecimal("\(folder)/device").flatMap { UInt16(exactly: $0) },
            classCode: hexadecimal("\(folder)/class"), accessControl: space.accessControl,
            portType: space.portType ?? portTypeByChildren(folder, name), iommu: iommu(folder),
            driver: root.linkTarget("\(folder)/driver")?.lastComponent?.string,
            poolBytes: root.attribute("\(folder)/p2pmem/size").flatMap { UInt64($0) })
    }

    /// The chain of bridges above a function, out of its real path: the addresses after the last host bridge.
    private func place(
        of folder: String, _ address: PCIAddress
    ) -> (chain: [PCIAddress], bus: RootBus)? {
        guard let path = root.realPath(folder) else { return nil }
        var chain: [PCIAddress] = []
        var bus: RootBus?
        for component in path.components {
            if let found = RootBus(component: component.string) {
                bus = found
                chain = []
            } else if bus != nil, let found = PCIAddress(component.string) {
                chain.append(found)
            }
        }
        guard let bus, chain.last == address else { return nil }
        return (chain.reversed(), bus)
    }

    private func configuration(_ folder: String) -> ConfigurationSpace {
        let file = "\(folder)/config"
        return ConfigurationSpace(
            bytes: root.contents(file, limit: 4096) ?? [], claimedBytes: root.fileSize(file))
    }

    /// Without privilege a port is known by the services that hang below it: `BDF:pcie0NN` for a root port, 1NN for an upstream
    /// one, 2NN for a downstream one (drivers/pci/pcie/portdrv.c).
    private func portTypeByChildren(_ folder: String, _ name: String) -> PortType? {
        let prefix = "\(name):pcie"
        guard let child = root.entries(folder)?.first(where: { $0.hasPrefix(prefix) }) else {
            return nil
        }
        switch child.dropFirst(prefix.count).first {
        case "0": return .rootPort
        case "1": return .upstream
        case "2": return .downstream
        default: return nil
        }
    }

    private func iommu(_ folder: String) -> IOMMUMode {
        guard let group = root.linkTarget("\(folder)/iommu_group")?.lastComponent?.string else {
            return .none
        }
        let type = root.attribute("sys/kernel/iommu_groups/\(group)/type")
        return .domain(type: type ?? "unknown", group: group)
    }

    /// The first device of each root bus, in the kernel's own order where /proc tells it.
    ///
    /// /proc/bus/pci/devices lists devices as they were found, without their domain: it decides only where a bus number is used once.
    func firstDevices(_ functions: [PCIFunction]) -> [RootBus: PCIAddress] {
        let onRoot = functions.filter { $0.chain.count == 1 }
        let order = (root.attribute("proc/bus/pci/devices") ?? "")
            .split(separator: "\n").compactMap { $0.split(separator: "\t").first }
            .compactMap { UInt16($0, radix: 16) }
        let places = Dictionary(order.enumerated().map { ($1, $0) }, uniquingKeysWith: min)
        let domains = Dictionary(grouping: Set(onRoot.map(\.rootBus)), by: \.bus)
        var first: [RootBus: (PCIAddress, Int)] = [:]
        for function in onRoot {
            let address = function.address
            let number = UInt16(address.bus) << 8 | UInt16(address.device) << 3 | UInt16(address.function)
            let isAlone = domains[function.rootBus.bus]?.count == 1
            let rank = isAlone ? places[number] ?? Int(number) + 65_536 : Int(number)
            if let found = first[function.rootBus], found.1 <= rank { continue }
            first[function.rootBus] = (address, rank)
        }
        return first.mapValues { $0.0 }
    }

    /// A pool anywhere proves it; without one the kernel tells how it was built.
    func hasPeerToPeer(_ functions: [PCIFunction]) -> Bool? {
        functions.contains { $0.poolBytes != nil } ? true : KernelBuild.hasPeerToPeer(root: root)
    }

    func rdmaDevices() -> [String: PCIAddress?] {
        let names = root.entries("sys/class/infiniband") ?? []
        return Dictionary(
            uniqueKeysWithValues: names.map {
                ($0, DeviceLinks.function(ofRDMADevice: $0, root: root))
            })
    }

    func blockDevices() -> [String: PCIAddress?] {
        let names = (root.entries("sys/class/block") ?? []).filter {
            !root.exists("sys/class/block/\($0)/partition")
        }
        return Dictionary(
            uniqueKeysWithValues: names.map {
                ($0, DeviceLinks.function(ofBlockDevice: $0, root: root))
            })
    }

    private func hexadecimal(_ file: String) -> UInt32? {
        guard let text = root.attribute(file), text.hasPrefix("0x") else { return nil }
        return UInt32(text.dropFirst(2), radix: 16)
    }
}
