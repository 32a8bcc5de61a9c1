// SPDX-License-Identifier: Apache-2.0

internal import PeerMRCore

extension TestMachine {
    private static var folder: String { "sys/kernel/config/nvmet" }

    /// A port of the kernel's NVMe over Fabrics target, with the subsystems that it offers.
    public mutating func targetPort(
        _ number: Int, _ address: String?, transport: String = "rdma", offers subsystems: [String]
    ) {
        let place = "\(Self.folder)/ports/\(number)"
        file("\(place)/addr_trtype", transport)
        file("\(place)/addr_traddr", address ?? "")
        file("\(place)/addr_trsvcid", "4420")
        folder("\(place)/subsystems")
        for name in subsystems { link("\(place)/subsystems/\(name)", "../../../subsystems/\(name)") }
    }

    /// A subsystem of the target; to hand a controller through, or with the namespaces that follow.
    public mutating func targetSubsystem(_ name: String, passthrough: Bool? = nil) {
        folder("\(Self.folder)/subsystems/\(name)/namespaces")
        if let passthrough { file("\(Self.folder)/subsystems/\(name)/passthru/enable", passthrough ? "1" : "0") }
    }

    /// A namespace of the target; nil for what is not shown.
    public mutating func targetNamespace(
        _ subsystem: String, _ number: Int, _ path: String, p2pmem: String? = "1", enabled: String? = "1"
    ) {
        let place = "\(Self.folder)/subsystems/\(subsystem)/namespaces/\(number)"
        file("\(place)/device_path", path)
        if let p2pmem { file("\(place)/p2pmem", p2pmem) }
        if let enabled { file("\(place)/enable", enabled) }
    }

    /// The address of an RDMA device on a path of devices; nil for one that is software.
    public mutating func gid(_ device: String, on place: String?, _ index: Int, _ gid: String) {
        let folder = place.map { "sys/devices/\($0)" } ?? "sys/devices/virtual"
        file("\(folder)/infiniband/\(device)/ports/1/gids/\(index)", gid)
    }

    /// An empty folder.
    public mutating func folder(_ path: String) { _ = tree.insert(.directory, at: path) }
}
