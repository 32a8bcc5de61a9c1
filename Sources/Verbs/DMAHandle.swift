// SPDX-License-Identifier: Apache-2.0

internal import CVerbs
internal import SystemPackage
public import PeerMRCore

/// What a NIC may say on PCIe about its writes, so that they end up near the CPU that will look at them
/// (TLP processing hints, PCI Express Base Specification, section 6.17).
public struct ProcessingHints: Hashable, Sendable {
    /// What the memory is, to the platform that keeps the steering tags.
    public enum MemoryType: UInt8, Hashable, Sendable {
        case volatile = 0
        case persistent = 1
    }

    /// The CPU that the bytes are for; nil for none.
    public var cpu: UInt32?
    /// The two bits of the hint: 0 both ways, 1 requester, 2 target, 3 target with priority; nil for none.
    public var hint: UInt8?
    /// What the memory is; nil where the platform shall assume.
    public var memoryType: MemoryType?

    /// Hints of your own.
    public init(cpu: UInt32? = nil, hint: UInt8? = nil, memoryType: MemoryType? = nil) {
        self.cpu = cpu
        self.hint = hint
        self.memoryType = memoryType
    }
}

/// A DMA handle: hints that regions may be registered with. Kept alive by them.
///
/// Only mlx5 has them, from Linux 6.17 and rdma-core 59 on, and they exclude on-demand paging.
@safe
public final class DMAHandle: @unchecked Sendable {
    let raw: UnsafeMutableRawPointer
    /// The device, kept open as long as this handle lives.
    public let context: Context

    /// Whether the running libibverbs has the calls. What the device says is another matter.
    public static var isInLibrary: Bool { peermr_has_dma_handles() != 0 }

    /// Allocates a handle.
    ///
    /// - Throws: `notSupported` where the running libibverbs (ENOSYS) or the device (EOPNOTSUPP) has none, EINVAL for
    ///   hints that the device does not take. The corresponding C function is `ibv_alloc_dmah`.
    public init(_ hints: ProcessingHints, on context: Context) throws(PeerMRError) {
        var attributes = peermr_dmah_init_attr()
        if let cpu = hints.cpu {
            attributes.cpu_id = cpu
            attributes.comp_mask |= UInt32(PEERMR_DMAH_CPU_ID)
        }
        if let hint = hints.hint {
            attributes.ph = hint
            attributes.comp_mask |= UInt32(PEERMR_DMAH_PH)
        }
        if let type = hints.memoryType {
            attributes.tph_mem_type = type.rawValue
            attributes.comp_mask |= UInt32(PEERMR_DMAH_TPH_MEM_TYPE)
        }
        guard let made = unsafe peermr_alloc_dmah(context.raw, &attributes) else {
            throw .dmaHandle(currentErrno(), context.device)
        }
        unsafe raw = made
        self.context = context
    }

    deinit {
        _ = unsafe peermr_dealloc_dmah(raw)
    }
}
