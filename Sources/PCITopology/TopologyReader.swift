// SPDX-License-Identifier: Apache-2.0

internal import SystemPackage
public import PeerMRCore

extension Topology {
    /// Reads a machine: the running one, or a captured tree.
    ///
    /// Whatever is missing, unreadable or malformed becomes an unknown of its own; nothing here fails.
    public init(root: SystemRoot = .live) {
        let reader = TopologyReader(root: root)
        let listed = reader.listed()
        let functions = listed.compactMap { reader.function(at: $0.address, $0.name) }
        let buses = Set(functions.map(\.rootBus))
        let devices = FirstDevices(root: root, listed.map(\.address))
        self.init(
            reader, functions, listed, first: devices.of(buses), hidden: devices.hiddenZeros(buses),
            rdmaDevices: reader.rdmaDevices(), blockDevices: reader.blockDevices())
    }

    /// Reads only what routes between these functions depend on: they themselves, the bridges above them, and the
    /// first devices of their root buses. On a large machine that is much faster than reading all of it.
    public init(root: SystemRoot = .live, around addresses: [PCIAddress]) {
        let reader = TopologyReader(root: root)
        let listed = reader.listed()
        let names = Dictionary(
            listed.map { ($0.address, $0.name) }, uniquingKeysWith: { first, _ in first })
        var wanted = Set(addresses)
        var buses: Set<RootBus> = []
        for address in addresses {
            guard let name = names[address], let place = reader.place(ofDevice: name, address)
            else { continue }
            wanted.formUnion(place.chain)
            buses.insert(place.bus)
        }
        let devices = FirstDevices(root: root, listed.map(\.address))
        let first = devices.of(buses)
        wanted.formUnion(first.values)
        wanted.formUnion(buses.map(\.zero))
        let functions = wanted.sorted().compactMap { address in
            names[address].flatMap { reader.function(at: address, $0) }
        }
        self.init(
            reader, functions, listed.filter { wanted.contains($0.address) }, first: first,
            hidden: devices.hiddenZeros(buses))
    }

    /// The most functions that are read, and the most RDMA and block devices: more than any machine has, fewer than a
    /// hostile tree could name.
    package static let functionLimit = 65_536

    /// Whether sysfs shows PCI devices at all, if there are any: a container may hide it.
    package static func isShown(in root: SystemRoot) -> Bool { root.exists("sys/bus/pci") }

    private init(
        _ reader: TopologyReader, _ functions: [PCIFunction], _ listed: [TopologyReader.Listed],
        first: [RootBus: PCIAddress], hidden: Set<PCIAddress>, rdmaDevices: [String: Attachment] = [:],
        blockDevices: [String: Attachment] = [:]
    ) {
        self.init(
            reader, functions, first, rdmaDevices, blockDevices,
            unlocated: Set(listed.map(\.address)).subtracting(functions.map(\.address)).union(hidden))
    }

    private init(
        _ reader: TopologyReader, _ functions: [PCIFunction], _ first: [RootBus: PCIAddress],
        _ rdmaDevices: [String: Attachment], _ blockDevices: [String: Attachment], unlocated: Set<PCIAddress>
    ) {
        let cpu = CPU(root: reader.root)
        let kernel = reader.kernel()
        let evidence = KernelEvidence(root: reader.root)
        let build = KernelBuild(
            root: reader.root, kernel: kernel, evidence: evidence, publishesMemory: reader.publishesMemory)
        self.init(
            functions: functions, firstDevices: first, cpu: cpu, kernel: kernel,
            build: (build.hasPeerToPeer, build.source), evidence: evidence,
            platform: PlatformDMA(root: reader.root, cpu: cpu), rdmaDevices: rdmaDevices, blockDevices: blockDevices,
            unlocated: unlocated, isShown: Self.isShown(in: reader.root))
    }
}

/// Reads sysfs and procfs below a root, into values.
struct TopologyReader {
    let root: SystemRoot
    private let plainFolders = PlainFolders()
    private static let devices = "sys/bus/pci/devices"

    /// A name in /sys/bus/pci/devices.
    typealias Listed = (address: PCIAddress, name: String)

    func listed() -> [Listed] {
        (root.entries(Self.devices) ?? []).prefix(Topology.functionLimit)
            .compactMap { name in PCIAddress(name).map { ($0, name) } }
    }

    func place(ofDevice name: String, _ address: PCIAddress) -> (chain: [PCIAddress], bus: RootBus)? {
        place(of: "\(Self.devices)/\(name)", address)
    }

    func function(at address: PCIAddress, _ name: String) -> PCIFunction? {
        let folder = "\(Self.devices)/\(name)"
        guard let place = place(of: folder, address) else { return nil }
        let space = configuration(folder)
        return PCIFunction(
            address: address, chain: place.chain, rootBus: place.bus,
            vendor: hexadecimal("\(folder)/vendor", digits: 4).flatMap { UInt16(exactly: $0) },
            device: hexadecimal("\(folder)/device", digits: 4).flatMap { UInt16(exactly: $0) },
            classCode: hexadecimal("\(folder)/class", digits: 6) ?? space.classCode,
            accessControl: space.accessControl,
            portType: space.portType ?? portTypeByChildren(folder, name), iommu: iommu(folder),
            driver: root.linkTarget("\(folder)/driver")?.lastComponent?.string,
            poolBytes: root.attribute("\(folder)/p2pmem/size").flatMap { UInt64($0) })
    }

    /// The chain of bridges above a function, out of its real path: the addresses after the last host bridge.
    private func place(
        of folder: String, _ address: PCIAddress
    ) -> (chain: [PCIAddress], bus: RootBus)? {
        guard let path = whereabouts(folder) else { return nil }
        var chain: [PCIAddress] = []
        var bus: RootBus?
        for component in path.string.split(separator: "/") {
            if let found = RootBus(component: String(component)) {
                bus = found
                chain = []
            } else if bus != nil, let found = PCIAddress(component) {
                chain.append(found)
            }
        }
        guard let bus, chain.last == address else { return nil }
        return (chain.reversed(), bus)
    }

    /// The path of a function, without links in it.
    ///
    /// The kernel's links lead straight to it. Then it is enough that no directory above it is a link, which is asked
    /// once for each; realpath(3) asks for all of them again for every function.
    private func whereabouts(_ folder: String) -> FilePath? {
        let up = "../../../"
        guard let target = root.linkTarget(folder)?.string, target.hasPrefix(up + "devices/pci"),
            plainFolders.areAll("sys/" + target.dropFirst(up.utf8.count), root), root.exists(folder)
        else { return root.realPath(folder) }
        return FilePath(target)
    }

    private func configuration(_ folder: String) -> ConfigurationSpace {
        let file = "\(folder)/config"
        let claimed = root.fileSize(file)
        let space = root.parts(of: file) { ConfigurationSpace(reading: $0, claimedBytes: claimed) }
        if let space, !space.bytes.isEmpty || claimed == 0 { return space }
        return ConfigurationSpace(bytes: [], claimedBytes: claimed == 256 ? 256 : nil)
    }

    /// Without privilege a port is known by the services that hang below it: `BDF:pcie0NN` for a root port, 1NN for an
    /// upstream one, 2NN for a downstream one (drivers/pci/pcie/portdrv.c).
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

    /// Whether any function has a folder for memory of peers.
    func publishesMemory() -> Bool {
        listed().contains { root.exists("\(Self.devices)/\($0.name)/p2pmem") }
    }

    /// Which kernel it is. A number that is cut off is another one: the file ends with a newline.
    func kernel() -> KernelIdentity? {
        let file = "proc/sys/kernel/osrelease"
        guard let bytes = root.contents(file, limit: 4096), bytes.last(where: { $0 != 0 }) == 0x0a
        else { return nil }
        return root.attribute(file).flatMap { KernelIdentity(release: $0) }
    }

    func rdmaDevices() -> [String: Attachment] {
        devices(in: "sys/class/infiniband") { DeviceLinks.attachment(ofRDMADevice: $0, root: root) }
    }

    func blockDevices() -> [String: Attachment] {
        let reader = BlockDeviceReader(root)
        return devices(in: "sys/class/block") { name in
            root.exists("sys/class/block/\(name)/partition") ? nil : reader.attachment(of: name)
        }
    }

    private func devices(
        in folder: String, _ attachment: (String) -> Attachment?
    ) -> [String: Attachment] {
        var found: [String: Attachment] = [:]
        for name in (root.entries(folder) ?? []).prefix(Topology.functionLimit) {
            found[name] = attachment(name)
        }
        return found
    }

    private func hexadecimal(_ file: String, digits: Int) -> UInt32? {
        // A number that is cut off is another number.
        guard let text = root.attribute(file), text.hasPrefix("0x"), text.utf8.count == digits + 2
        else { return nil }
        return UInt32(text.dropFirst(2), radix: 16)
    }
}

/// Directories that are known to be no links, and to have none above them.
private final class PlainFolders {
    private var known: Set<Substring> = []

    func areAll(_ path: String, _ root: SystemRoot) -> Bool {
        areAll(path[...], root)
    }

    private func areAll(_ path: Substring, _ root: SystemRoot) -> Bool {
        if known.contains(path) { return true }
        let parent = path.lastIndex(of: "/").map { path[..<$0] }
        let name = parent.map { path[$0.endIndex...].dropFirst() } ?? path
        guard !name.isEmpty, name != ".", name != "..", root.linkTarget(String(path)) == nil else { return false }
        if let parent, !areAll(parent, root) { return false }
        known.insert(path)
        return true
    }
}
