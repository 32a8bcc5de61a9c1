// SPDX-License-Identifier: Apache-2.0

public import PeerMRCore

/// What stands at an address of this process, as far as registration needs to know.
public enum MappedObject: Hashable, Sendable {
    /// Memory of the host: anonymous, shared, or pages of a file, of whatever size.
    case host
    /// Peer-to-peer memory that a PCI function publishes.
    case p2pmem(PCIAddress)
    /// A dma-buf that its exporter lets the CPU map, with the name that it was given; often empty.
    case dmabuf(DMABuf.Identity, name: String)
    /// A driver's own mapping, such as a BAR or a GPU's memory, by the file that it is of.
    case device(path: String)

    /// The object of a mapping.
    init(_ line: MemoryMapLine) {
        if let provider = Self.pool(line.path) {
            self = .p2pmem(provider)
        } else if line.path.hasPrefix(Self.bufferPrefix) {
            let identity = DMABuf.Identity(device: line.device, inode: line.inode)
            self = .dmabuf(identity, name: String(line.path.dropFirst(Self.bufferPrefix.count)))
        } else if Self.isDevice(line.path) {
            self = .device(path: line.path)
        } else {
            self = .host
        }
    }

    /// How the kernel names dma-bufs (drivers/dma-buf/dma-buf.c, `dmabuffs_dname`).
    private static let bufferPrefix = "/dmabuf:"

    /// The function whose pool a file is the door to: `…/BDF/p2pmem/allocate`, wherever sysfs is mounted.
    private static func pool(_ path: String) -> PCIAddress? {
        let parts = path.split(separator: "/")
        guard path.hasPrefix("/"), parts.count >= 3, parts[parts.count - 1] == "allocate",
            parts[parts.count - 2] == "p2pmem"
        else { return nil }
        return PCIAddress(String(parts[parts.count - 3]))
    }

    /// Whether a file is a driver's, whose mappings have no pages that could be pinned. It decides about words only.
    private static func isDevice(_ path: String) -> Bool {
        if path.hasPrefix("anon_inode:") { return true }
        if path.hasPrefix("/dev/") {
            return !["/dev/shm/", "/dev/huge", "/dev/zero", "/dev/dax"].contains { path.hasPrefix($0) }
        }
        return bar(path) != nil
    }

    /// Whether a file is a device's of vfio: of the group API, where all have one name, or one of its own.
    static func isVFIO(_ path: String) -> Bool {
        path == "anon_inode:[vfio-device]" || path.hasPrefix("/dev/vfio/devices/")
    }

    /// The function and the number of the BAR that a file of sysfs is a mapping of; nil for other files.
    static func bar(_ path: String) -> (function: PCIAddress, number: Int)? {
        let parts = path.split(separator: "/")
        guard path.hasPrefix("/"), parts.count >= 2, let name = parts.last, name.hasPrefix("resource"),
            let function = PCIAddress(String(parts[parts.count - 2]))
        else { return nil }
        let digits = name.dropFirst("resource".count)
        let number = digits.hasSuffix("_wc") ? digits.dropLast(3) : digits
        return Int(number).map { (function, $0) }
    }
}

extension MappedObject: CustomStringConvertible {
    /// What it is, as a part of a sentence.
    public var description: String {
        switch self {
        case .host: return "memory of the host"
        case .p2pmem(let provider): return "p2pmem of \(provider)"
        case .dmabuf(let identity, let name):
            // Several may have one name.
            let number = "(number \(identity.inode))"
            return name.isEmpty ? "a dma-buf \(number)" : "the dma-buf \"\(name)\" \(number)"
        case .device(let path):
            if let bar = Self.bar(path) { return "BAR \(bar.number) of \(bar.function)" }
            if Self.isVFIO(path) { return "a mapping of a vfio device" }
            return "a mapping of \(path)"
        }
    }
}
