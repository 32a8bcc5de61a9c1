// SPDX-License-Identifier: Apache-2.0

/// What kind of memory it is.
public enum MemoryKind: String, Hashable, Sendable, CaseIterable {
    /// Memory of the host.
    case host
    /// A mapping of a PCI function's peer-to-peer memory.
    case p2pmem
    /// A buffer that another driver exports as a descriptor.
    case dmabuf
    /// Memory of the RDMA device itself.
    case nic
}
