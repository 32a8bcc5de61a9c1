// SPDX-License-Identifier: Apache-2.0

/// How the kernel would map a provider's memory for a client's DMA (include/linux/pci-p2pdma.h, `enum
/// pci_p2pdma_map_type`).
public enum MapType: String, Hashable, Sendable, CaseIterable {
    /// By bus address: the request is routed below the root complex, past any IOMMU.
    case busAddress
    /// Through the host bridge, which the kernel trusts with it.
    case throughHostBridge
    /// Not at all: the kernel refuses.
    case notSupported
    /// It depends on something that could not be read.
    case unknown
}
