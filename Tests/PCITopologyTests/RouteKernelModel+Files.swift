// SPDX-License-Identifier: Apache-2.0

import PCITopology
import PeerMRCore
import TestSupport

extension KernelModel {
    /// What sysfs and procfs show of it, by path.
    func files() -> [String: CapturedTree.Content] {
        var files: [String: CapturedTree.Content] = [
            "proc/cpuinfo": .text(
                "processor\t: 0\nvendor_id\t: \(cpuVendor)\ncpu family\t: \(cpuFamily)\nmodel\t\t: 1\n\n"),
            "proc/sys/kernel/osrelease": .text("\(kernel.0).\(kernel.1).0\n"),
            "proc/bus/pci/devices": .text(order()),
            "boot/config-\(kernel.0).\(kernel.1).0": .text("CONFIG_PCI=y\nCONFIG_PCI_P2PDMA=y\nCONFIG_X=y\n"),
        ]
        for (index, function) in functions.enumerated() {
            let path = path(index)
            files["sys/bus/pci/devices/\(function.address)"] = .link("../../../devices/\(path)")
            let folder = "sys/devices/\(path)"
            files["\(folder)/vendor"] = .text("0x\(padded(UInt32(function.vendor), 4))\n")
            files["\(folder)/device"] = .text("0x\(padded(UInt32(function.device), 4))\n")
            files["\(folder)/class"] = .text("0x\(padded(classCode(index), 6))\n")
            let bytes = configuration(index)
            files["\(folder)/config"] = .file(bytes: bytes, claimedBytes: bytes.count > 256 ? 4096 : 256)
        }
        return files
    }

    /// Below sys/devices; a wide domain is that of a VMD, whose host bridge hangs below a function.
    private func path(_ index: Int) -> String {
        let bus = hosts[functions[index].host].bus
        let above = bus.domain > 0xffff ? "pci0000:00/0000:00:0e.0/" : ""
        return "\(above)pci\(bus)/" + chain(index).reversed().map(\.description).joined(separator: "/")
    }

    /// Hosts one after the other, each device of the root bus in the order in which it was found.
    private func order() -> String {
        let onRoot = hosts.flatMap(\.devices)
        let others = functions.indices.filter { !onRoot.contains($0) }
        return (onRoot + others).map { index in
            let address = functions[index].address
            let number = UInt32(address.bus) << 8 | UInt32(address.device) << 3 | UInt32(address.function)
            return "\(padded(number, 4))\t80861234\t0\n"
        }.joined()
    }

    private func configuration(_ index: Int) -> [UInt8] {
        let function = functions[index]
        var bytes = [UInt8](repeating: 0, count: function.portType == nil && function.control == nil ? 256 : 0x160)
        func put(_ value: UInt32, _ count: Int, at offset: Int) {
            for place in 0..<count { bytes[offset + place] = UInt8(truncatingIfNeeded: value >> UInt32(8 * place)) }
        }
        put(UInt32(function.vendor), 2, at: 0)
        put(UInt32(function.device), 2, at: 2)
        put(classCode(index), 3, at: 9)
        if let type = function.portType {
            put(0x10, 2, at: 6)
            put(0x50, 1, at: 0x34)
            put(0x05 | 0x60 << 8, 2, at: 0x50)          // MSI, then
            put(0x10, 2, at: 0x60)                      // PCI Express.
            put(UInt32(type) << 4 | 2, 2, at: 0x62)
        }
        guard bytes.count > 256 else { return bytes }
        put(0x0001 | 1 << 16 | (function.control == nil ? 0 : 0x148) << 20, 4, at: 0x100)
        if let control = function.control {
            put(0x000d | 1 << 16, 4, at: 0x148)
            put(UInt32(control), 2, at: 0x14e)
        }
        return bytes
    }

    private func padded(_ value: UInt32, _ width: Int) -> String {
        let text = String(value, radix: 16)
        return String(repeating: "0", count: max(0, width - text.count)) + text
    }

    /// The machine in memory.
    static func captured(_ files: [String: CapturedTree.Content]) -> SystemRoot {
        var tree = CapturedTree()
        for (path, content) in files { _ = tree.insert(content, at: path) }
        return SystemRoot(tree)
    }

    /// The machine in a folder.
    func write(to folder: TemporaryFolder) {
        for (path, content) in files() {
            switch content {
            case .file(let bytes, let claimed):
                let rest = path.hasSuffix("/config") ? claimed - bytes.count : 0
                folder.file(path, bytes + [UInt8](repeating: 0, count: rest))
            case .link(let target): folder.link(path, to: target)
            case .directory: folder.folder(path)
            }
        }
    }
}

extension CapturedTree.Content {
    static func text(_ text: String) -> CapturedTree.Content {
        .file(bytes: Array(text.utf8), claimedBytes: 4096)
    }
}
