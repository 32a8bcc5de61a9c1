// SPDX-License-Identifier: Apache-2.0

public import PeerMRCore
public import Verbs
internal import PCITopology

/// What moves the bytes of an RDMA device: hardware or software.
public enum NICKind: String, Hashable, Sendable {
    /// The NIC does the DMA.
    case device
    /// The CPU copies in the kernel, as with Soft-RoCE: nothing goes from device to device.
    case software

    /// Looks the device up in sysfs.
    public init(of device: Device, root: SystemRoot = .live) {
        self = DeviceLinks.isSoftware(rdmaDevice: device.name, root: root) ? .software : .device
    }
}
