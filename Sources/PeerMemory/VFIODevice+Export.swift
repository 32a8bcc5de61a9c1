// SPDX-License-Identifier: Apache-2.0

internal import CLinux
internal import SystemPackage
public import PeerMRCore

extension VFIODevice {
    /// A part of a BAR.
    public struct Range: Hashable, Sendable {
        /// Where it begins in the BAR, in bytes: a multiple of the page size.
        public let offset: UInt64
        /// How long it is, in bytes: a multiple of the page size.
        public let byteCount: UInt64

        /// A part of a BAR, checked when it is exported.
        public init(offset: UInt64, byteCount: UInt64) {
            self.offset = offset
            self.byteCount = byteCount
        }
    }

    /// Exports parts of a BAR as one dma-buf, in which they stand one after the other.
    ///
    /// The memory keeps this device open.
    ///
    /// - Parameters:
    ///   - bar: 0 to 5.
    ///   - ranges: which parts; empty for all of the BAR.
    ///   - writable: whether the descriptor may write. Registration for remote writing does not look at it.
    /// - Throws: as ``region(bar:)``; `invalidArgument` for ranges that are empty, not of whole pages or outside the
    ///   BAR; `notSupported` (ENOTTY) before Linux 6.19; `memoryRevoked` (ENODEV) where the function is gone. The
    ///   corresponding request is `VFIO_DEVICE_FEATURE_DMA_BUF`.
    public func export(
        bar: Int, ranges: [Range] = [], writable: Bool = true
    ) throws(PeerMRError) -> VFIOMemory {
        let region = try region(bar: bar)
        let parts = ranges.isEmpty ? [Range(offset: 0, byteCount: region.byteCount)] : ranges
        try Self.check(parts, in: region, of: address)
        guard peermr_vfio_probe_export(self.descriptor) == 0 else { throw .noExport(currentErrno(), address) }
        let raw = parts.map { peermr_vfio_range(offset: $0.offset, length: $0.byteCount) }
        let descriptor = unsafe raw.withUnsafeBufferPointer { list in
            unsafe peermr_vfio_export(
                self.descriptor, UInt32(bar), writable ? 1 : 0, list.baseAddress, UInt32(list.count))
        }
        guard descriptor >= 0 else { throw .export(currentErrno(), address, bar) }
        return VFIOMemory(try DMABuf(new: descriptor), self, region, parts)
    }

    /// Exports the whole pages around a part of a BAR, and keeps where the part begins in them.
    ///
    /// - Parameters:
    ///   - bar: its number, 0 to 5.
    ///   - offset: where the part begins in the BAR, in bytes; any.
    ///   - byteCount: how long it is, in bytes; any above 0; nil for all of the BAR.
    /// - Throws: as ``export(bar:ranges:writable:)``.
    public func export(bar: Int, offset: UInt64, byteCount: UInt64?) throws(PeerMRError) -> VFIOMemory {
        guard let byteCount else { return try export(bar: bar) }
        let region = try region(bar: bar)
        guard byteCount > 0, offset < region.byteCount, byteCount <= region.byteCount - offset else {
            throw .partOfBAR(address, bar, region.byteCount, offset, byteCount)
        }
        let page = UInt64(pageBytes)
        let first = offset / page * page
        let end = min((offset + byteCount + page - 1) / page * page, region.byteCount)
        let whole = try export(bar: bar, ranges: [Range(offset: first, byteCount: end - first)])
        return try VFIOMemory(whole, offset: offset - first, byteCount: byteCount)
    }

    static func check(_ ranges: [Range], in region: Region, of address: PCIAddress) throws(PeerMRError) {
        let page = UInt64(pageBytes)
        guard region.byteCount >= page else { throw .smallBAR(address, region.bar, region.byteCount) }
        var total: UInt64 = 0
        for range in ranges {
            guard range.byteCount > 0, range.offset < region.byteCount,
                range.byteCount <= region.byteCount - range.offset
            else {
                throw .partOfBAR(address, region.bar, region.byteCount, range.offset, range.byteCount)
            }
            guard range.offset % page == 0, range.byteCount % page == 0 else {
                throw .unalignedRange(address, region.bar, range.offset, range.byteCount)
            }
            let (sum, overflow) = total.addingReportingOverflow(range.byteCount)
            // The kernel keeps the size of a dma-buf in 63 bits; parts may be named more than once.
            guard !overflow, sum <= UInt64(Int64.max) else {
                throw .partOfBAR(address, region.bar, region.byteCount, range.offset, .max)
            }
            total = sum
        }
    }
}
