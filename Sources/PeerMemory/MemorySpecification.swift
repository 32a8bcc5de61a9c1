// SPDX-License-Identifier: Apache-2.0

public import PeerMRCore
public import Verbs

/// Memory as people name it on a command line: what kind, from where, how much.
///
///     host:SIZE                          memory of the host
///     p2pmem:BDF:SIZE                    the peer-to-peer memory of a PCI function
///     vfio:BDF:BAR[:OFFSET:SIZE]         a BAR of a function bound to vfio-pci
///     udmabuf:SIZE                       host memory, as a dma-buf of /dev/udmabuf
///     heap:NAME:SIZE                     host memory, as a dma-buf of /dev/dma_heap/NAME
///     drm:CARD:SIZE                      memory of the driver of /dev/dri/CARD, as it places pictures
///     cuda:ORDINAL:SIZE                  memory of an NVIDIA GPU
///     fd:N[:OFFSET:SIZE]                 the dma-buf of an open descriptor
///     nic:SIZE                           memory of the RDMA device itself
///
/// Sizes and offsets are bytes, or have a suffix K, M, G or T (powers of 1024). BDF is a PCI address, with or without
/// its domain: 0000:03:00.0 or 03:00.0.
public struct MemorySpecification: Hashable, Sendable {
    /// Where the memory comes from.
    public let source: MemorySource
    /// Where it begins in the BAR or the dma-buf, in bytes.
    public let offset: UInt64
    /// How long it is, in bytes; nil for all that follows `offset`.
    public let byteCount: UInt64?

    /// A specification by its parts, checked when the memory is opened.
    ///
    /// - Parameters:
    ///   - source: where the memory comes from.
    ///   - offset: where it begins, for sources that have a size of their own.
    ///   - byteCount: how long it is, in bytes; nil for all that there is.
    public init(_ source: MemorySource, offset: UInt64 = 0, byteCount: UInt64?) {
        self.source = source
        self.offset = offset
        self.byteCount = byteCount
    }

    /// Reads a specification.
    ///
    /// - Throws: `invalidArgument` with what is wrong with it, and how it is to be written.
    public init(_ text: String) throws(PeerMRError) {
        var reader = SpecificationReader(text)
        source = try MemorySource(&reader)
        if source.hasItsOwnSize {
            let part = try reader.part()
            (offset, byteCount) = (part?.offset ?? 0, part?.byteCount)
        } else {
            (offset, byteCount) = (0, try reader.size())
        }
        try reader.end()
    }

    /// The same memory with another length.
    package func sized(_ byteCount: UInt64) -> MemorySpecification {
        MemorySpecification(source, offset: offset, byteCount: byteCount)
    }

    /// What kind of memory it is.
    public var kind: MemoryKind { source.kind }

    /// Opens what is named, or allocates it.
    ///
    /// A descriptor is duplicated: the one that was named stays open. A function is opened by way of vfio and never
    /// bound to it here.
    ///
    /// - Parameter root: where `/dev`, `/sys` and `/proc` are; tests put another there.
    /// - Throws: as the source does; `notSupported` for ``MemorySource/nic``, which is allocated from an RDMA device
    ///   that is open.
    public func open(root: SystemRoot = .live) throws(PeerMRError) -> any Memory {
        try source.open(offset, byteCount, root)
    }
}

extension MemorySpecification: CustomStringConvertible {
    /// The specification as it can be read again, sizes in bytes.
    public var description: String {
        guard let byteCount else { return "\(source)" }
        return source.hasItsOwnSize ? "\(source):\(offset):\(byteCount)" : "\(source):\(byteCount)"
    }
}
