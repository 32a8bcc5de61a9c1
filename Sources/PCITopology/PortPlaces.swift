// SPDX-License-Identifier: Apache-2.0

internal import CLinux
internal import PeerMRCore
internal import SystemPackage

/// Finds the RDMA devices that serve an address: those that have it in a table of GIDs, as RoCE has it, or that are the
/// hardware of the interface that has it, as with InfiniBand and iWARP.
///
/// rdma_cm looks for the same (drivers/infiniband/core/cma.c, `cma_acquire_dev_by_src_ip`). Where several devices have
/// the address, any of them may serve it.
struct PortPlaces {
    private let root: SystemRoot
    private let devices: [String]
    /// From the bytes of a GID to the devices that have it.
    private let owners: [[UInt8]: [String]]

    /// What a capture keeps: a line for each port, its number and the devices that may serve it.
    static let captured = "peermr/nvmet-ports"
    /// The most ports of a device, and entries of a table, that are looked at.
    private static let portLimit = 256
    private static let entryLimit = 1024

    init(_ root: SystemRoot) {
        self.root = root
        let devices = root.entries("sys/class/infiniband") ?? []
        self.devices = devices
        var owners: [[UInt8]: [String]] = [:]
        for device in devices {
            for gid in Self.gids(of: device, root) { owners[gid, default: []].append(device) }
        }
        self.owners = owners
    }

    /// The devices that may serve a port; nil where it is not shown which do, empty where none does.
    func devices(ofPort number: String, _ address: String?) -> [String]? {
        if let text = root.attribute(Self.captured) {
            let lines = text.split(separator: "\n").map { $0.split(separator: " ").map(String.init) }
            return lines.first { $0.first == number }.map { Array($0.dropFirst()) }
        }
        guard let address, let bytes = Self.bytes(of: address) else { return nil }
        if Self.isAny(bytes) { return devices }
        if let found = owners[bytes] { return found }
        guard root.isLive else { return nil }
        return Self.interface(of: bytes).map(devices(ofInterface:)) ?? []
    }

    /// The devices whose hardware an interface is, or the one below it (VLANs).
    private func devices(ofInterface name: String) -> [String] {
        let folder = "sys/class/net/\(name)"
        let below = (root.entries(folder) ?? []).filter { $0.hasPrefix("lower_") }.map { String($0.dropFirst(6)) }
        let names = Set([name] + below)
        var found = Set(names.flatMap { root.entries("sys/class/net/\($0)/device/infiniband") ?? [] })
        // Software devices are no child of the interface's hardware.
        for device in devices {
            for port in root.entries("sys/class/infiniband/\(device)/ports") ?? [] {
                let interface = root.attribute("sys/class/infiniband/\(device)/ports/\(port)/gid_attrs/ndevs/0")
                if let interface, names.contains(interface) { found.insert(device) }
            }
        }
        return found.sorted()
    }

    private static func gids(of device: String, _ root: SystemRoot) -> Set<[UInt8]> {
        let folder = "sys/class/infiniband/\(device)/ports"
        var found: Set<[UInt8]> = []
        for port in (root.entries(folder) ?? []).prefix(portLimit) {
            for entry in (root.entries("\(folder)/\(port)/gids") ?? []).prefix(entryLimit) {
                guard let text = root.attribute("\(folder)/\(port)/gids/\(entry)"), let bytes = bytes(of: text),
                    !isAny(bytes)
                else { continue }
                found.insert(bytes)
            }
        }
        return found
    }

    /// The 16 bytes of an address, of IPv4 as `::ffff:a.b.c.d`; nil where it is none. A zone (`%eth0`) is left out.
    static func bytes(of text: String) -> [UInt8]? {
        var bytes = [UInt8](repeating: 0, count: 16)
        let plain = String(text.prefix { $0 != "%" })
        return unsafe peermr_parse_address(plain, &bytes) == 1 ? bytes : nil
    }

    /// Whether it stands for every address of the machine: `::` or `0.0.0.0`.
    static func isAny(_ bytes: [UInt8]) -> Bool {
        let isMapped = bytes.prefix(10).allSatisfy { $0 == 0 } && bytes[10] == 0xff && bytes[11] == 0xff
        return bytes.allSatisfy { $0 == 0 } || isMapped && bytes.suffix(4).allSatisfy { $0 == 0 }
    }

    private static func interface(of bytes: [UInt8]) -> String? {
        var name = [CChar](repeating: 0, count: 16)
        guard unsafe peermr_interface_of(bytes, &name) == 1 else { return nil }
        return String(decoding: name.prefix { $0 != 0 }.map(UInt8.init(bitPattern:)), as: UTF8.self)
    }
}
