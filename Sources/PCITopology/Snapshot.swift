// SPDX-License-Identifier: Apache-2.0

internal import SystemPackage
public import PeerMRCore

/// What the check reads of a machine, and nothing else, so that it can be judged elsewhere with the same answers.
public enum Snapshot {
    /// Captures the files that the check reads, at their paths:
    ///
    /// - of each PCI function its place in the tree, vendor, device and class, the driver's name, the IOMMU group and
    ///   its type, the figures of its p2pmem, the names of its port services, and of its configuration space the first
    ///   16 bytes and the links of the capability lists, with the port type and access control services;
    /// - the names of RDMA devices, block devices and NVMe controllers, and where they are in the tree; of a controller
    ///   the registers of its memory buffer;
    /// - the modules whose RDMA devices are software in spite of a PCI function, with the names of their drivers;
    /// - of the kernel the numbers of its version and whose it is, whether it was built with peer-to-peer DMA and what
    ///   told so, the size and the count of its list of host bridges, and whether it offers verbs and rdma_cm to
    ///   programs; of its command line `swiotlb`, `mem_encrypt` and the options for access control services;
    /// - of the processor its vendor and family, and whether it is a guest's, and of what kind;
    /// - of the kernel's NVMe over Fabrics target its ports, with the RDMA devices that serve them, and its subsystems
    ///   and namespaces, with their block devices; for addresses and names stand numbers;
    /// - the order in which the kernel lists PCI functions, and the first one of each root bus.
    ///
    /// No serial numbers, network addresses, host names, labels or other parameters: what of a file is not needed is
    /// zero or left out. A file that cannot be read is left out too, or has as many bytes as could be read.
    public static func capture(_ root: SystemRoot = .live) -> CapturedTree {
        var capture = Capture(root: root)
        capture.machine()
        for name in capture.names("sys/bus/pci/devices") where PCIAddress(name) != nil {
            capture.function("sys/bus/pci/devices/\(name)", name)
        }
        for name in capture.names("sys/class/infiniband") {
            capture.rdmaDevice("sys/class/infiniband/\(name)")
        }
        for name in capture.names("sys/class/nvme") { capture.controller("sys/class/nvme/\(name)") }
        for name in capture.names("sys/class/block") {
            capture.blockDevice("sys/class/block/\(name)")
        }
        capture.target()
        return capture.tree
    }
}

struct Capture {
    let root: SystemRoot
    var tree = CapturedTree()

    func names(_ folder: String) -> [String] {
        Array((root.entries(folder) ?? []).prefix(Topology.functionLimit))
    }

    mutating func machine() {
        kernel()
        platform()
        if let bytes = root.contents("proc/bus/pci/devices", limit: 32 << 20) {
            let order = bytes.split(separator: 10).map { String(decoding: $0.prefix { $0 != 9 }, as: UTF8.self) }
            put(order.map { $0 + "\n" }.joined(), at: "proc/bus/pci/devices")
        }
        let addresses = names("sys/bus/pci/devices").compactMap { PCIAddress($0) }
        let reader = TopologyReader(root: root)
        let buses = Set(addresses.compactMap { reader.place(ofDevice: "\($0)", $0)?.bus })
        put(FirstDevices(root: root, addresses).text(buses), at: FirstDevices.captured)
        for module in names(SoftwareDevice.users) {
            _ = tree.insert(.directory, at: "\(SoftwareDevice.users)/\(module)")
            for driver in names(SoftwareDevice.drivers(of: module)) {
                _ = tree.insert(.directory, at: "\(SoftwareDevice.drivers(of: module))/\(driver)")
            }
        }
        for folder in ["sys/class/infiniband_verbs", "sys/class/misc/rdma_cm"] where root.exists(folder) {
            _ = tree.insert(.directory, at: folder)
        }
        let folders = ["bus/pci", "bus/pci/devices", "class/infiniband", "class/block", "class/nvme"]
        for folder in folders.map({ "sys/\($0)" }) where root.exists(folder) {
            _ = tree.insert(.directory, at: folder)
        }
    }

    private mutating func kernel() {
        if root.attribute("proc/sys/kernel/osrelease") != nil {
            let release = TopologyReader(root: root).kernel()?.reduced ?? "unknown"
            put("\(release)\n", at: "proc/sys/kernel/osrelease")
            if let configured = KernelBuild.configured(root) {
                put(KernelBuild.line(hasPeerToPeer: configured), at: KernelBuild.configuration(of: release))
            }
        }
        let types = KernelEvidence.text(root)
        if !types.isEmpty { put(types, at: KernelEvidence.captured) }
        if let text = KernelBuild.symbolText(root, KernelEvidence(root: root)) {
            put(text, at: KernelBuild.capturedSymbols)
        }
    }

    private mutating func platform() {
        if let bytes = root.contents("proc/cpuinfo", limit: CPU.limit) {
            put(CPU.reduced(bytes), at: "proc/cpuinfo")
        }
        if let text = PlatformDMA.reducedCommandLine(root) { put(text, at: PlatformDMA.commandLine) }
        if let vendor = PlatformDMA.reducedVendor(root) { put(vendor, at: PlatformDMA.vendorFile) }
        if let groups = root.entries("sys/kernel/iommu_groups"), let first = groups.first {
            _ = tree.insert(.directory, at: "sys/kernel/iommu_groups/\(first)")
        }
        if PlatformDMA.isXenOfSomeKind(root), !root.exists("\(PlatformDMA.xenFolder)/type") {
            _ = tree.insert(.directory, at: "\(PlatformDMA.xenFolder)/properties")
        }
        for file in ["type", "guest_type"] { copy("\(PlatformDMA.xenFolder)/\(file)") }
        copy(PlatformDMA.protectedGuest)
        for folder in PlatformDMA.attestation + [PlatformDMA.realm] where root.exists(folder) {
            _ = tree.insert(.directory, at: folder)
        }
    }

    mutating func function(_ entry: String, _ name: String) {
        guard let folder = follow(entry) else { return }
        for attribute in ["vendor", "device", "class"] { copy("\(folder)/\(attribute)") }
        configuration("\(folder)/config")
        link("\(folder)/driver")
        link("\(folder)/iommu_group")
        if let group = root.linkTarget("\(folder)/iommu_group")?.lastComponent?.string {
            copy("sys/kernel/iommu_groups/\(group)/type")
        }
        if root.exists("\(folder)/p2pmem") {
            copy("\(folder)/p2pmem/size")
            copy("\(folder)/p2pmem/available")
            copy("\(folder)/p2pmem/published")
            mark("\(folder)/p2pmem/allocate")
        }
        for child in names(folder) where child.hasPrefix("\(name):pcie") {
            _ = tree.insert(.directory, at: "\(folder)/\(child)")
        }
    }

    mutating func rdmaDevice(_ entry: String) {
        guard let folder = follow(entry), let device = follow("\(entry)/device") else { return }
        link("\(device)/driver")
        mark("\(folder)/parent")
        // Of others it may be the name of the host.
        if root.attribute("\(folder)/node_desc")?.hasPrefix(SoftwareDevice.softIWARP) == true {
            put(SoftwareDevice.softIWARP, at: "\(folder)/node_desc")
        }
    }

    mutating func controller(_ entry: String) {
        guard let folder = follow(entry) else { return }
        for attribute in ControllerMemoryBuffer.attributes { copy("\(folder)/\(attribute)") }
        for attribute in ControllerMemoryBuffer.marks { mark("\(folder)/\(attribute)") }
    }

    mutating func blockDevice(_ entry: String) {
        guard let folder = follow(entry) else { return }
        mark("\(folder)/partition")
        if let path = root.realPath(entry), DeviceLinks.function(of: path, root: root) != nil { return }
        for part in names("\(folder)/slaves") {
            _ = tree.insert(.directory, at: "\(folder)/slaves/\(part)")
        }
        if root.exists("\(folder)/dm") { _ = tree.insert(.directory, at: "\(folder)/dm") }
        copy("\(folder)/md/level")
        let paths = names("\(folder)/device").filter { $0.hasPrefix("nvme") }
        guard !paths.isEmpty, let device = follow("\(folder)/device") else { return }
        for path in paths { _ = follow("\(device)/\(path)") }
    }
}

// MARK: - Files and links

extension Capture {
    mutating func put(_ text: String, at path: String) {
        _ = tree.insert(.file(bytes: Array(text.utf8), claimedBytes: text.utf8.count), at: path)
    }

    /// A small attribute; of one that cannot be read, its folder.
    private mutating func copy(_ path: String) {
        guard !tree.holds(path), root.exists(path) else { return }
        if let text = root.attribute(path), text.utf8.count <= 256 {
            put(text, at: path)
        } else {
            _ = tree.insert(.directory, at: String(path[..<(path.lastIndex(of: "/") ?? path.startIndex)]))
        }
    }

    /// That a file is there.
    private mutating func mark(_ path: String) {
        if root.exists(path) { put("", at: path) }
    }

    /// A link whose name is all that matters.
    private mutating func link(_ path: String) {
        guard let target = root.linkTarget(path) else { return }
        _ = tree.insert(.link(target.string), at: path)
    }

    private mutating func configuration(_ path: String) {
        guard let claimed = root.fileSize(path) else { return }
        let space = root.parts(of: path) { ConfigurationSpace(reading: $0, claimedBytes: claimed) }
        var bytes = space?.bytes ?? []
        // All that counts is known: the rest may be zero. Where something is missing the end of the bytes tells where.
        if let space, space.isComplete, claimed <= 4096, bytes.count < claimed {
            bytes += [UInt8](repeating: 0, count: claimed - bytes.count)
        }
        _ = tree.insert(.file(bytes: bytes, claimedBytes: claimed), at: path)
    }

    /// Captures the links on the way to a directory, and the directory itself.
    ///
    /// - Returns: its path without links; nil where the way leads nowhere.
    mutating func follow(_ path: String) -> String? {
        var ahead: [String] = path.split(separator: "/").reversed().map(String.init)
        var place: [String] = []
        var links = 0
        while let part = ahead.popLast() {
            if part == "." { continue }
            if part == ".." {
                _ = place.popLast()
                continue
            }
            place.append(part)
            let here = place.joined(separator: "/")
            guard let target = root.linkTarget(here) else { continue }
            links += 1
            guard links <= CapturedTree.linkLimit else { return nil }
            _ = tree.insert(.link(target.string), at: here)
            if target.isAbsolute { place = [] } else { place.removeLast() }
            ahead += target.components.reversed().map(\.string)
        }
        let here = place.joined(separator: "/")
        guard !here.isEmpty, root.exists(here) else { return nil }
        _ = tree.insert(.directory, at: here)
        return here
    }
}
