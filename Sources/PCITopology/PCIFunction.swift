// SPDX-License-Identifier: Apache-2.0

public import PeerMRCore

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
