// SPDX-License-Identifier: Apache-2.0

public import PeerMRCore

/// What does the DMA of a device that people know by a name.
public enum Attachment: Hashable, Sendable {
    /// This PCI function.
    case function(PCIAddress)
    /// One of these PCI functions, as the kernel chooses for each request: the paths of NVMe multipath, one or more.
    case paths([PCIAddress])
    /// Several PCI functions, to some or all of which each request goes: the members of an md array.
    case array(level: String, [PCIAddress])
    /// Nothing: the CPU moves the bytes.
    case software
    /// A device on another bus, or none.
    case notPCI
    /// The devices that it is made of, to which it passes no peer memory on: device mapper, and md's other levels.
    case stacked([String])
    /// It cannot be told: sysfs names a device that it does not show.
    case unreadable

    /// The PCI function, of several paths the first; nil where there is none.
    public var function: PCIAddress? { functions.first }

    /// The PCI functions, of which there may be several; empty where there is none.
    public var functions: [PCIAddress] {
        switch self {
        case .function(let address): [address]
        case .paths(let addresses), .array(_, let addresses): addresses
        case .software, .notPCI, .stacked, .unreadable: []
        }
    }
}
