// SPDX-License-Identifier: Apache-2.0

internal import PeerMRCore

extension Capture {
    /// The configuration of the kernel's NVMe over Fabrics target: names and addresses tell where a machine is, and
    /// paths may have serial numbers in them, so that numbers and the kernel's names of block devices stand for them.
    mutating func target() {
        switch NVMeTarget.state(root: root) {
        case .present(let target): write(target)
        case .notLoaded: put("", at: PortPlaces.captured)
        case .noConfiguration, .unreadable: break
        }
    }

    private mutating func write(_ target: NVMeTarget) {
        let folder = NVMeTarget.folder
        for part in ["ports", "subsystems"] { _ = tree.insert(.directory, at: "\(folder)/\(part)") }
        let names = Dictionary(
            target.subsystems.enumerated().map { ($1.name, "subsystem\($0 + 1)") }, uniquingKeysWith: { a, _ in a })
        for (index, port) in target.ports.enumerated() { write(port, index, names, folder) }
        for subsystem in target.subsystems {
            let place = "\(folder)/subsystems/\(names[subsystem.name] ?? "subsystem")"
            _ = tree.insert(.directory, at: "\(place)/namespaces")
            if subsystem.isPassthrough { put("1\n", at: "\(place)/passthru/enable") }
            for namespace in subsystem.namespaces { write(namespace, "\(place)/namespaces/\(namespace.number)") }
        }
        let lines = target.ports.compactMap { port in
            port.devices.map { ([port.number] + $0).joined(separator: " ") + "\n" }
        }
        put(lines.joined(), at: PortPlaces.captured)
    }

    private mutating func write(_ port: NVMeTarget.Port, _ index: Int, _ names: [String: String], _ folder: String) {
        let place = "\(folder)/ports/\(port.number)"
        _ = tree.insert(.directory, at: "\(place)/subsystems")
        put("\(port.transport)\n", at: "\(place)/addr_trtype")
        if let address = port.address {
            let isAny = PortPlaces.bytes(of: address).map(PortPlaces.isAny) ?? false
            // Addresses that are set aside for documentation.
            put(isAny ? "0.0.0.0\n" : "192.0.2.\(index % 254 + 1)\n", at: "\(place)/addr_traddr")
        }
        if let service = port.service.flatMap({ UInt16($0) }) { put("\(service)\n", at: "\(place)/addr_trsvcid") }
        for name in port.subsystems.compactMap({ names[$0] }) {
            _ = tree.insert(.directory, at: "\(place)/subsystems/\(name)")
        }
    }

    private mutating func write(_ namespace: NVMeTarget.Namespace, _ place: String) {
        _ = tree.insert(.directory, at: place)
        switch namespace.backing {
        case .block(let name, _): put("/dev/\(name)\n", at: "\(place)/device_path")
        case .file: put("/file\n", at: "\(place)/device_path")
        case .unreadable: if namespace.path != nil { put("/dev/unknown\n", at: "\(place)/device_path") }
        }
        if let isEnabled = namespace.isEnabled { put(isEnabled ? "1\n" : "0\n", at: "\(place)/enable") }
        switch namespace.peerMemory {
        case .off: put("0\n", at: "\(place)/p2pmem")
        case .automatic: put("1\n", at: "\(place)/p2pmem")
        case .provider(let address): put("\(address)\n", at: "\(place)/p2pmem")
        case .unreadable: put("", at: "\(place)/p2pmem")
        case .missing: break
        }
    }
}
