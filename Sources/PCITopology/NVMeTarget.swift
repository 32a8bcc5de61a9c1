// SPDX-License-Identifier: Apache-2.0

internal import SystemPackage
public import PeerMRCore

/// The configuration of the kernel's NVMe over Fabrics target, as configfs shows it (drivers/nvme/target/configfs.c).
public struct NVMeTarget: Hashable, Sendable {
    /// The switch of a namespace, `p2pmem`.
    public enum Switch: Hashable, Sendable {
        /// Not asked for.
        case off
        /// Any provider that the drive and the NIC both reach, the nearest one.
        case automatic
        /// The memory of this function alone.
        case provider(PCIAddress)
        /// There is none: the kernel was built without peer-to-peer DMA (CONFIG_PCI_P2PDMA), or is older than 4.20.
        case missing
        /// It cannot be read, or says something else.
        case unreadable
    }

    /// What a namespace hands out.
    public enum Backing: Hashable, Sendable {
        /// A block device, by its kernel name, with what does its DMA.
        case block(String, Attachment)
        /// A file.
        case file
        /// Which block device it is cannot be told.
        case unreadable
    }

    /// A namespace of a subsystem.
    public struct Namespace: Hashable, Sendable {
        /// Its number, as its folder is called.
        public let number: String
        /// What was written to `device_path`; nil where nothing was.
        public let path: String?
        /// What that is.
        public let backing: Backing
        /// Whether it is enabled; nil where that cannot be read.
        public let isEnabled: Bool?
        /// The switch.
        public let peerMemory: Switch
    }

    /// A subsystem.
    public struct Subsystem: Hashable, Sendable {
        /// Its NVMe qualified name.
        public let name: String
        /// Its namespaces, by number.
        public let namespaces: [Namespace]
        /// Whether it hands a whole controller through (`passthru`), which takes no peer memory.
        public let isPassthrough: Bool
    }

    /// A port, on which hosts connect.
    public struct Port: Hashable, Sendable {
        /// Its number, as its folder is called.
        public let number: String
        /// `rdma`, `tcp`, `loop` or `fc`; empty where none was written.
        public let transport: String
        /// The address that it listens on; nil where none was written.
        public let address: String?
        /// The service, for RDMA the port's number.
        public let service: String?
        /// The names of the subsystems that it offers.
        public let subsystems: [String]
        /// The RDMA devices that may serve it; nil where that is not shown.
        public let devices: [String]?
    }

    /// The ports, by number.
    public let ports: [Port]
    /// The subsystems, by name.
    public let subsystems: [Subsystem]
    /// What was left out, because there is more than ``limit`` of it.
    public let isCut: Bool

    /// The most ports, subsystems and namespaces of a subsystem that are looked at.
    public static let limit = 1024
    static let folder = "sys/kernel/config/nvmet"

    /// Whether there is a target at a root, and what it is set up to do.
    public enum State: Hashable, Sendable {
        /// configfs is not mounted, or not shown.
        case noConfiguration
        /// The module nvmet is not loaded.
        case notLoaded
        /// It is there, and cannot be read by this user.
        case unreadable
        /// It is there.
        case present(NVMeTarget)
    }

    /// Reads the target's configuration.
    public static func state(root: SystemRoot = .live) -> State {
        guard root.exists(folder) else {
            if root.exists(PortPlaces.captured) { return .notLoaded }
            // An empty folder is where configfs is mounted, and it is not.
            return (root.entries("sys/kernel/config") ?? []).isEmpty ? .noConfiguration : .notLoaded
        }
        guard let ports = root.entries("\(folder)/ports"), let subsystems = root.entries("\(folder)/subsystems") else {
            return .unreadable
        }
        var reader = NVMeTargetReader(root)
        return .present(
            NVMeTarget(
                ports: reader.limited(ports).map { reader.port($0) }.sorted { Self.precede($0.number, $1.number) },
                subsystems: reader.limited(subsystems).map { reader.subsystem($0) }.sorted { $0.name < $1.name },
                isCut: reader.isCut))
    }

    /// Numbers by their value.
    static func precede(_ first: String, _ second: String) -> Bool {
        (UInt64(first) ?? .max, first) < (UInt64(second) ?? .max, second)
    }
}

/// Reads the folders of configfs.
private struct NVMeTargetReader {
    let root: SystemRoot
    private let drives: BlockDeviceReader
    private let places: PortPlaces
    private(set) var isCut = false

    init(_ root: SystemRoot) {
        self.root = root
        drives = BlockDeviceReader(root)
        places = PortPlaces(root)
    }

    mutating func limited(_ names: [String]) -> [String] {
        if names.count > NVMeTarget.limit { isCut = true }
        return Array(names.prefix(NVMeTarget.limit))
    }

    mutating func port(_ name: String) -> NVMeTarget.Port {
        let folder = "\(NVMeTarget.folder)/ports/\(name)"
        let address = text("\(folder)/addr_traddr")
        let transport = text("\(folder)/addr_trtype") ?? ""
        return NVMeTarget.Port(
            number: name, transport: transport, address: address, service: text("\(folder)/addr_trsvcid"),
            subsystems: limited(root.entries("\(folder)/subsystems") ?? []),
            devices: transport == "rdma" ? places.devices(ofPort: name, address) : [])
    }

    mutating func subsystem(_ name: String) -> NVMeTarget.Subsystem {
        let folder = "\(NVMeTarget.folder)/subsystems/\(name)"
        let namespaces = limited(root.entries("\(folder)/namespaces") ?? []).map {
            namespace("\(folder)/namespaces/\($0)", $0)
        }
        return NVMeTarget.Subsystem(
            name: name, namespaces: namespaces.sorted { NVMeTarget.precede($0.number, $1.number) },
            isPassthrough: root.attribute("\(folder)/passthru/enable") == "1")
    }

    private func namespace(_ folder: String, _ number: String) -> NVMeTarget.Namespace {
        // Before one is written, configfs says "(null)".
        let path = text("\(folder)/device_path").flatMap { $0 == "(null)" ? nil : $0 }
        return NVMeTarget.Namespace(
            number: number, path: path, backing: path.map(backing) ?? .unreadable,
            isEnabled: root.attribute("\(folder)/enable").flatMap { ["0": false, "1": true][$0] },
            peerMemory: peerMemory("\(folder)/p2pmem"))
    }

    private func peerMemory(_ file: String) -> NVMeTarget.Switch {
        guard root.exists(file) else { return .missing }
        switch root.attribute(file) {
        case "0"?: return .off
        case "1"?: return .automatic
        case let other?: return PCIAddress(other).map { .provider($0) } ?? .unreadable
        case nil: return .unreadable
        }
    }

    private func backing(_ path: String) -> NVMeTarget.Backing {
        var name = FilePath(path).lastComponent?.string ?? ""
        if root.isLive {
            guard let number = blockNumber(of: FilePath(path)) else {
                return FilePath(path).starts(with: "/dev") ? .unreadable : .file
            }
            name = root.realPath("sys/dev/block/\(number.major):\(number.minor)")?.lastComponent?.string ?? ""
        }
        guard let attachment = drives.attachment(of: name) else {
            return path.hasPrefix("/dev/") || root.isLive ? .unreadable : .file
        }
        return .block(name, attachment)
    }

    private func text(_ file: String) -> String? {
        root.attribute(file).flatMap { $0.isEmpty ? nil : $0 }
    }
}
