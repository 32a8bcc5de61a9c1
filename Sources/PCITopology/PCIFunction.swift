// SPDX-License-Identifier: Apache-2.0

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

/// What translates a function's DMA addresses.
public enum IOMMUMode: Hashable, Sendable {
    /// No IOMMU stands before it.
    case none
    /// It is in a group whose default domain is of this type: `DMA`, `DMA-FQ`, `identity`, `blocked`, ...
    case domain(type: String, group: String)

    /// Whether addresses are translated.
    public var translates: Bool {
        if case .domain(let type, _) = self { return type.hasPrefix("DMA") }
        return false
    }
}

/// A PCI function, as sysfs shows it.
public struct PCIFunction: Hashable, Sendable {
    /// Where it is.
    public let address: PCIAddress
    /// The function itself, then each bridge above it up to the root bus.
    public let chain: [PCIAddress]
    /// The root bus that it hangs from.
    public let rootBus: RootBus
    /// The vendor's number; nil where it cannot be read.
    public let vendor: UInt16?
    /// The device's number; nil where it cannot be read.
    public let device: UInt16?
    /// Class, subclass and programming interface; nil where it cannot be read.
    public let classCode: UInt32?
    /// Access control services.
    public let accessControl: AccessControl
    /// The kind of port; nil where it is none or cannot be read.
    public let portType: PortType?
    /// What translates its addresses.
    public let iommu: IOMMUMode
    /// The driver that has it; nil for none.
    public let driver: String?
    /// The peer-to-peer memory that it publishes, in bytes; nil for none.
    public let poolBytes: UInt64?

    /// Whether it is a bridge to other buses, or the host bridge: it is neither client nor provider.
    ///
    /// Classes 0600 to 0609; 060a (InfiniBand) and 0680 (NTB, NVSwitch) are devices in spite of their class.
    public var isBridge: Bool {
        classCode.map { (0x0600...0x0609).contains($0 >> 8) } ?? false
    }

    /// Whether it is on the root bus itself. A virtual function may hang there in sysfs, and be on a bus of its own.
    public var isOnRootBus: Bool {
        chain.count == 1 && address.domain == rootBus.domain && address.bus == rootBus.bus
    }

    /// A function given by its facts, as a constructed tree needs them.
    public init(
        address: PCIAddress, chain: [PCIAddress], rootBus: RootBus, vendor: UInt16?,
        device: UInt16?, classCode: UInt32?, accessControl: AccessControl, portType: PortType?,
        iommu: IOMMUMode = .none, driver: String? = nil, poolBytes: UInt64? = nil
    ) {
        self.address = address
        self.chain = chain
        self.rootBus = rootBus
        self.vendor = vendor
        self.device = device
        self.classCode = classCode
        self.accessControl = accessControl
        self.portType = portType
        self.iommu = iommu
        self.driver = driver
        self.poolBytes = poolBytes
    }
}
