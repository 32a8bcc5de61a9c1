// SPDX-License-Identifier: Apache-2.0

internal import PeerMRCore

/// What the kernel's list says of a host bridge.
struct HostBridgePolicy: Hashable, Sendable {
    let bus: RootBus
    /// Allowed between functions under this bridge; nil where that depends on what is not known.
    let allowsWithin: Bool?
    /// Allowed from and to another bridge that is too.
    let allowsAcross: Bool?
    /// Why, for people.
    let reason: String

    private init(_ bus: RootBus, _ allowed: Bool?, across: Bool?? = .none, _ reason: String) {
        self.bus = bus
        allowsWithin = allowed
        allowsAcross = across ?? allowed
        self.reason = reason
    }

    /// - Parameters:
    ///   - first: the first device of the bus; nil where it is not shown.
    ///   - zero: the device at 00.0, which older kernels take; nil where there is none.
    ///   - isZeroHidden: whether there is one that cannot be read.
    init(of bus: RootBus, first: PCIFunction?, zero: PCIFunction?, isZeroHidden: Bool, rules: HostBridgeRules) {
        if rules.hasList == false {
            // What cannot be read may be.
            let isZen =
                zero.map { ($0.vendor ?? 0x1022) == 0x1022 && ($0.device ?? 0x1450) == 0x1450 } ?? isZeroHidden
            let kernel = rules.kernel.map { "\($0)" } ?? ""
            self.init(
                bus, isZen && rules.allowsFirstZen ? nil : false,
                isZen && rules.allowsFirstZen
                    ? "whether Linux \(kernel) allows host bridge \(bus), which it does without an IOMMU, is not known"
                    : "Linux \(kernel) has no list of host bridges, which came with 5.4")
            return
        }
        // A device at 00.0 is the first one, unless it was plugged in later.
        let device = rules.takesFirstDevice == false ? zero : first
        guard let device else {
            if rules.takesFirstDevice == false, isZeroHidden {
                self.init(bus, nil, "device 00.0 of host bridge \(bus), which the kernel knows it by, cannot be read")
            } else if rules.takesFirstDevice == false, first != nil {
                self.init(bus, false, "host bridge \(bus) has no device 00.0, which Linux before 5.14 knows it by")
            } else {
                // Each function of the bus proves that there is one.
                self.init(
                    bus, nil, "the first device of host bridge \(bus), which the kernel knows it by, is not shown")
            }
            return
        }
        self.init(bus, device, rules)
    }

    private init(_ bus: RootBus, _ first: PCIFunction, _ rules: HostBridgeRules) {
        let isNumberZero = first.address.device == 0 && first.address.function == 0
        if !isNumberZero, rules.takesFirstDevice == nil {
            self.init(bus, nil, "whether this kernel knows host bridge \(bus) by \(first.address) cannot be told")
            return
        }
        // Without privilege a root port is known by its children (TopologyReader); at 00.0 it does not matter.
        let mayBeRootPort =
            first.portType == .rootPort || first.portType == nil && (first.isBridge || first.classCode == nil)
        guard isNumberZero || mayBeRootPort && rules.takesRootPorts != false else {
            self.init(
                bus, false,
                "the first device of host bridge \(bus) is \(first.address), which is "
                    + (rules.takesRootPorts == false
                        ? "not 00.0 (root ports count since Linux 5.19)" : "neither 00.0 nor a root port"))
            return
        }
        guard let vendor = first.vendor, let device = first.device else {
            self.init(
                bus, nil, "the identity of \(first.address), the first device of host bridge \(bus), cannot be read")
            return
        }
        let name = "\(bus) (\(Self.hexadecimal(vendor)):\(Self.hexadecimal(device)))"
        let (listing, source) = rules.look(up: vendor, device)
        switch listing {
        case .notListed: self.init(bus, false, "host bridge \(name) is not on the kernel's list (\(source))")
        case .unknown:
            self.init(bus, nil, "whether host bridge \(name) is on the kernel's list is not known: \(source)")
        case .listed(let sameBridgeOnly):
            guard isNumberZero || first.portType == .rootPort && rules.takesRootPorts == true else {
                self.init(
                    bus, nil, across: sameBridgeOnly ? false : .some(nil),
                    "the first device of host bridge \(bus) is \(first.address), which is not 00.0, and "
                        + (first.portType == .rootPort
                            ? "whether this kernel takes root ports cannot be told" : "may be a root port or not"))
                return
            }
            self.init(
                bus, true, across: !sameBridgeOnly,
                "host bridge \(name) is on the kernel's list (\(source))"
                    + (sameBridgeOnly ? ", but only for functions under this one bridge" : ""))
        }
    }

    private static func hexadecimal(_ value: UInt16) -> String {
        let text = String(value, radix: 16)
        return String(repeating: "0", count: 4 - text.count) + text
    }
}
