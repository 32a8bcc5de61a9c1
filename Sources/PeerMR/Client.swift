// SPDX-License-Identifier: Apache-2.0

public import PCITopology
public import PeerMRCore

/// A device that would read or write another one's memory.
public enum Client: Hashable, Sendable, CustomStringConvertible {
    /// An RDMA device, by its kernel name.
    case rdmaDevice(String)
    /// A disk, by its kernel name.
    case blockDevice(String)
    /// An NVMe controller, by its kernel name.
    case controller(String)
    /// A PCI function.
    case function(PCIAddress)

    /// Its name or address.
    public var description: String {
        switch self {
        case .rdmaDevice(let name), .blockDevice(let name), .controller(let name): name
        case .function(let address): "\(address)"
        }
    }

    /// Whether it may import dma-bufs: drives do not.
    var mayImportBuffers: Bool {
        switch self {
        case .rdmaDevice, .function: true
        case .blockDevice, .controller: false
        }
    }

    /// What does its DMA, looked up in sysfs; nil where there is no such device.
    public func attachment(root: SystemRoot = .live) -> Attachment? {
        switch self {
        case .rdmaDevice(let name): DeviceLinks.attachment(ofRDMADevice: name, root: root)
        case .blockDevice(let name): DeviceLinks.attachment(ofBlockDevice: name, root: root)
        case .controller(let name): DeviceLinks.attachment(ofController: name, root: root)
        case .function(let address): .function(address)
        }
    }
}
