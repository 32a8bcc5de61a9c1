// SPDX-License-Identifier: Apache-2.0

public import PCITopology
public import Verbs

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

/// Memory of any kind, for code that is the same for all of them.
///
/// A dma-buf has no address in this process, so that this has none either; see ``MappedMemory``.
public enum AnyMemory: ~Copyable {
    case host(HostMemory)
    case p2pmem(P2PMemory)
    case dmabuf(DMABufMemory)

    /// What kind of memory it is.
    public var kind: MemoryKind {
        switch self {
        case .host: .host
        case .p2pmem: .p2pmem
        case .dmabuf: .dmabuf
        }
    }

    /// The PCI function whose memory it is; nil for the host's, and where it is not known.
    public var provider: PCIAddress? {
        switch self {
        case .host: nil
        case .p2pmem(let memory): memory.provider
        case .dmabuf(let memory): memory.owner.provider
        }
    }

    /// The length in bytes.
    public var byteCount: Int {
        switch self {
        case .host(let memory): memory.byteCount
        case .p2pmem(let memory): memory.byteCount
        case .dmabuf(let memory): memory.byteCount
        }
    }

    /// Where it is mapped in this process; nil for a dma-buf that was not lent by its address.
    package var mappedAddress: UInt64? {
        switch self {
        case .host(let memory): UInt64(unsafe UInt(bitPattern: memory.baseAddress))
        case .p2pmem(let memory): UInt64(unsafe UInt(bitPattern: memory.baseAddress))
        case .dmabuf(let memory): memory.mappedAddress
        }
    }
}

/// Memory that has an address in this process: what `ibv_reg_mr` takes, and other devices' drivers too.
public enum MappedMemory: ~Copyable, RegistrableMemory {
    case host(HostMemory)
    case p2pmem(P2PMemory)

    /// The address of the first byte.
    public var baseAddress: UnsafeMutableRawPointer {
        switch self {
        case .host(let memory): unsafe memory.baseAddress
        case .p2pmem(let memory): unsafe memory.baseAddress
        }
    }

    /// The length in bytes.
    public var byteCount: Int {
        switch self {
        case .host(let memory): memory.byteCount
        case .p2pmem(let memory): memory.byteCount
        }
    }

    /// What kind of memory it is.
    public var kind: MemoryKind {
        switch self {
        case .host: .host
        case .p2pmem: .p2pmem
        }
    }

    /// The driver's file that lent memory is a mapping of; nil for other memory.
    package var device: String? {
        switch self {
        case .host(let memory): memory.device
        case .p2pmem: nil
        }
    }

    /// The PCI function whose memory it is; nil for the host's.
    public var provider: PCIAddress? {
        switch self {
        case .host: nil
        case .p2pmem(let memory): memory.provider
        }
    }
}

/// A part of some memory, as a system call takes it. Numbers only: keep the memory alive while a device uses them.
public struct IOVector: BitwiseCopyable, Hashable, Sendable {
    /// The address of the first byte in this process.
    public let address: UInt
    /// The length in bytes.
    public let byteCount: Int
}

extension RegistrableMemory where Self: ~Copyable {
    /// A part of the memory, for I/O.
    ///
    /// - Throws: ``Verbs/SliceError/outOfBounds``.
    public func slice(at offset: Int, count: Int) throws(SliceError) -> IOVector {
        guard offset >= 0, count >= 0, offset <= byteCount, count <= byteCount - offset else {
            throw .outOfBounds
        }
        return IOVector(address: unsafe UInt(bitPattern: baseAddress) + UInt(offset), byteCount: count)
    }
}
