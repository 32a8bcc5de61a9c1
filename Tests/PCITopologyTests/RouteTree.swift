// SPDX-License-Identifier: Apache-2.0

import PCITopology
import PeerMRCore

/// A machine put together by hand, function by function, in short words.
struct RouteTree {
    var functions: [PCIFunction] = []
    var cpu: CPU? = .skylake
    var kernel: KernelIdentity? = KernelIdentity(release: "7.3.4")
    var evidence: KernelEvidence?
    var platform = PlatformDMA()
    var firstDevices: [RootBus: PCIAddress]?
    var hasPeerToPeer: Bool? = true

    /// Adds a function below a bridge that is there already, or on a root bus.
    ///
    /// - Parameter identity: vendor and device in one number, `0x8086_2030`.
    mutating func add(
        _ address: String, below parent: String? = nil, on root: String = "pci0000:00",
        identity: UInt32 = 0x1b36_0010, class code: UInt32? = 0x010802,
        control: AccessControl = .absent, port: PortType? = .endpoint, iommu: IOMMUMode = .none
    ) {
        let above = parent.flatMap { name in functions.first { $0.address == PCIAddress(name) } }
        guard let own = PCIAddress(address), let bus = above?.rootBus ?? RootBus(component: root),
            parent == nil || above != nil
        else { preconditionFailure("no place for \(address) below \(parent ?? root)") }
        functions.append(
            PCIFunction(
                address: own, chain: [own] + (above?.chain ?? []), rootBus: bus,
                vendor: UInt16(identity >> 16), device: UInt16(identity & 0xffff), classCode: code,
                accessControl: control, portType: port, iommu: iommu))
    }

    /// Adds a bridge.
    mutating func bridge(
        _ address: String, below parent: String? = nil, on root: String = "pci0000:00",
        identity: UInt32 = 0x1b36_000c, control: AccessControl = .absent, port: PortType? = .rootPort
    ) {
        add(
            address, below: parent, on: root, identity: identity, class: 0x060400, control: control,
            port: port)
    }

    /// Adds a switch: an upstream port, and a downstream port on the bus that it makes for each control.
    mutating func `switch`(
        _ address: String, below parent: String, bus: String, control: AccessControl = .absent,
        downstream: [AccessControl] = [.absent, .absent]
    ) {
        bridge(address, below: parent, control: control, port: .upstream)
        for (index, control) in downstream.enumerated() {
            bridge("\(bus):0\(index).0", below: address, control: control, port: .downstream)
        }
    }

    var topology: Topology {
        Topology(
            functions: functions, firstDevices: firstDevices, cpu: cpu, kernel: kernel,
            hasPeerToPeer: hasPeerToPeer, evidence: evidence, platform: platform)
    }

    /// The route between two functions.
    func route(_ provider: String, _ client: String) -> Route {
        guard let a = PCIAddress(provider), let b = PCIAddress(client) else {
            preconditionFailure("no addresses: \(provider) \(client)")
        }
        return topology.route(from: b, to: a)
    }

    /// Map type and distance in one word, `busAddress 4`; an unknown map type with `!` where it is allowed all the
    /// same, and any with `?` where that is not known.
    func answer(_ provider: String, _ client: String) -> String {
        let verdict = route(provider, client).verdict
        let mark = verdict.isSupported == nil ? "?" : verdict.mapType == .unknown ? "!" : ""
        return "\(verdict.mapType.rawValue)\(mark) \(verdict.distance)"
    }

    /// The codes of a route's findings, with their devices.
    func findings(_ provider: String, _ client: String) -> [String] {
        route(provider, client).findings.map { "\($0.code.rawValue) \($0.device ?? "-")" }
    }
}

extension CPU {
    static let skylake = CPU(vendor: "GenuineIntel", family: 6)
    static let zen = CPU(vendor: "AuthenticAMD", family: 0x17)
}

extension AccessControl {
    /// What the kernel sets where there is an IOMMU.
    static let isolating = AccessControl.control(ACSControl(rawValue: 0x1d))
    static func bits(_ value: UInt16) -> AccessControl { .control(ACSControl(rawValue: value)) }
}
