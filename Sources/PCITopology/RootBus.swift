// SPDX-License-Identifier: Apache-2.0

internal import PeerMRCore

/// A root bus: what a host bridge leads to.
public struct RootBus: Hashable, Comparable, Sendable, CustomStringConvertible {
    /// The PCI domain; above 0xffff where the kernel made it up, as for Intel VMD.
    public let domain: UInt32
    /// The bus number.
    public let bus: UInt8

    /// A root bus by its numbers.
    public init(domain: UInt32, bus: UInt8) {
        self.domain = domain
        self.bus = bus
    }

    /// Reads a sysfs component such as `pci0000:00`; nil for any other.
    public init?(component: String) {
        guard component.hasPrefix("pci"), component.count >= 10,
            let address = PCIAddress(component.dropFirst(3) + ":00.0")
        else { return nil }
        domain = address.domain
        bus = address.bus
    }

    /// The address of its device 0, function 0.
    var zero: PCIAddress { PCIAddress(domain: domain, number: UInt16(bus) << 8) }

    /// By domain, then by bus.
    public static func < (a: RootBus, b: RootBus) -> Bool {
        (a.domain, a.bus) < (b.domain, b.bus)
    }

    /// As the kernel names it, without the `pci`.
    public var description: String {
        func padded(_ value: some BinaryInteger, _ width: Int) -> String {
            let text = String(value, radix: 16)
            return String(repeating: "0", count: max(0, width - text.count)) + text
        }
        return "\(padded(domain, 4)):\(padded(bus, 2))"
    }
}
