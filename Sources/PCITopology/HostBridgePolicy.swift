// SPDX-License-Identifier: Apache-2.0

internal import PeerMRCore

/// What the kernel's list says of a host bridge.
struct HostBridgePolicy: Hashable, Sendable {
    let bus: RootBus
    /// Allowed between functions under this bridge; nil where that depends on a kernel version that is not known.
    let allowsWithin: Bool?
    /// Allowed from and to another bridge that is too.
    let allowsAcross: Bool?
    /// Why, for people.
    let reason: String

    init(of bus: RootBus, first: PCIFunction?, kernel: KernelRelease?) {
        self.bus = bus
        guard let first else {
            // Each function of the bus proves that there is one.
            (allowsWithin, allowsAcross) = (nil, nil)
            reason = "the first device of host bridge \(bus), which the kernel knows it by, is not shown"
            return
        }
        let isNumberZero = first.address.device == 0 && first.address.function == 0
        // Without privilege a root port is known by its children (TopologyReader); at 00.0 it does not matter.
        let isKnown = isNumberZero || first.portType == .rootPort
        guard isKnown || first.portType == nil && (first.isBridge || first.classCode == nil) else {
            (allowsWithin, allowsAcross) = (false, false)
            reason = "the first device of host bridge \(bus) is \(first.address), which is neither 00.0 nor a root port"
            return
        }
        guard let vendor = first.vendor, let device = first.device else {
            (allowsWithin, allowsAcross) = (nil, nil)
            reason = "the identity of \(first.address), the first device of host bridge \(bus), cannot be read"
            return
        }
        let name = "\(Self.hexadecimal(vendor)):\(Self.hexadecimal(device))"
        let found = HostBridgeList.lookUp(vendor: vendor, device: device, kernel: kernel)
        guard let row = found.row else {
            (allowsWithin, allowsAcross) = (false, false)
            reason = "host bridge \(bus) (\(name)) is not on the kernel's list"
            return
        }
        guard found.isCertain else {
            (allowsWithin, allowsAcross) = (nil, nil)
            reason =
                "host bridge \(bus) (\(name)) came onto the kernel's list between two versions, and this "
                + "kernel lies between them or is not known"
            return
        }
        guard isKnown else {
            (allowsWithin, allowsAcross) = (nil, row.sameBridgeOnly ? false : nil)
            reason =
                "the first device of host bridge \(bus) is \(first.address), which is not 00.0, and may be a "
                + "root port or not"
            return
        }
        allowsWithin = true
        allowsAcross = !row.sameBridgeOnly
        reason =
            "host bridge \(bus) (\(name)) is on the kernel's list"
            + (row.sameBridgeOnly ? ", but only for functions under this one bridge" : "")
    }

    private static func hexadecimal(_ value: UInt16) -> String {
        let text = String(value, radix: 16)
        return String(repeating: "0", count: 4 - text.count) + text
    }
}
