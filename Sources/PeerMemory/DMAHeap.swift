// SPDX-License-Identifier: Apache-2.0

internal import CLinux
internal import Glibc
internal import SystemPackage
public import PeerMRCore

/// A heap of host memory that the kernel exports as dma-bufs: `system` on most machines, and others for memory that
/// lies in one piece or that devices of a confidential guest may see.
public struct DMAHeap: Hashable, Sendable {
    /// The name of its node in `/dev/dma_heap`.
    public let name: String

    /// A heap by its name; it is looked up when memory is allocated from it.
    ///
    /// - Throws: `invalidArgument` for what is no name of a file.
    public init(_ name: String) throws(PeerMRError) {
        guard !name.isEmpty, name != ".", name != "..", name.utf8.count <= 255,
            !name.utf8.contains(where: { $0 == 0x2f || $0 < 0x20 || $0 == 0x7f })
        else { throw .heapName() }
        self.name = name
    }

    /// Heaps of Linux and Android, for a process that sees neither `/sys` nor `/dev`.
    private static let knownNames = ["cma", "default_cma_region", "reserved", "system", "system_cc_shared"]

    /// Whether the exporter of a dma-buf is a heap: the kernel names a heap's buffers by the heap
    /// (drivers/dma-buf/heaps, `exp_name`), others by a module.
    ///
    /// A heap of contiguous memory has its region's name (`linux,cma`), and no module's name has a comma.
    static func isHeap(_ exporter: String, root: SystemRoot = .live) -> Bool {
        if knownNames.contains(exporter) || exporter.contains(",") { return true }
        guard let heap = try? DMAHeap(exporter) else { return false }
        return root.exists("sys/class/dma_heap/\(heap.name)") || root.exists("dev/dma_heap/\(heap.name)")
    }

    /// The heaps of a machine, sorted by name; none without the driver.
    public static func all(root: SystemRoot = .live) -> [DMAHeap] {
        (root.entries("dev/dma_heap") ?? []).compactMap { try? DMAHeap($0) }
    }
}

extension DMABufMemory {
    /// Allocates host memory from a heap of the kernel's, as a dma-buf; it is zero.
    ///
    /// - Parameters:
    ///   - byteCount: how much, in bytes; rounded up to pages.
    ///   - heap: from which.
    ///   - root: where `/dev` and `/proc` are; tests put another there.
    /// - Throws: `notFound` (ENOENT) where there is no such heap, `notPermitted` (EACCES) without rights on it,
    ///   `resourceLimit` (ENOMEM) without that much memory. The corresponding request is
    ///   `DMA_HEAP_IOCTL_ALLOC`.
    public static func heap(
        _ heap: DMAHeap, allocating byteCount: UInt64, root: SystemRoot = .live
    ) throws(PeerMRError) -> DMABufMemory {
        let rounded = try HostAllocation.available(byteCount, root)
        let device: OwnedDescriptor
        do {
            device = try OwnedDescriptor(opening: root.appending("dev/dma_heap/\(heap.name)"), flags: O_RDWR)
        } catch {
            throw .openHeap(error, heap, others: DMAHeap.all(root: root).map(\.name))
        }
        let descriptor = peermr_heap_allocate(device.rawValue, rounded)
        guard descriptor >= 0 else { throw .allocateFromHeap(currentErrno(), heap, rounded) }
        return DMABufMemory(ofHeap: try DMABuf(new: descriptor))
    }
}
