// SPDX-License-Identifier: Apache-2.0

internal import SystemPackage
public import PeerMRCore
internal import Verbs

/// Memory of a BAR of a function that is bound to vfio-pci, exported as a dma-buf. It keeps the function open.
///
/// The owner's way to the bytes is the device's own file (pread, pwrite), since vfio-pci does not let its dma-bufs be
/// mapped; it fails with an error, and never with SIGBUS, when the memory has been taken back.
public final class VFIOMemory: DMABufBacked {
    /// The dma-buf.
    public let buffer: DMABuf
    /// Where the memory begins in its dma-buf, in bytes.
    public let offset: UInt64
    /// The length in bytes.
    public let byteCount: Int
    private let device: VFIODevice
    private let region: VFIODevice.Region
    /// The parts of the BAR, as they follow each other in the buffer.
    private let ranges: [VFIODevice.Range]

    /// The PCI function whose memory it is, where that is known.
    public var provider: PCIAddress? { device.address }

    /// All of a buffer.
    init(_ buffer: DMABuf, _ device: VFIODevice, _ region: VFIODevice.Region, _ ranges: [VFIODevice.Range]) {
        self.buffer = buffer
        offset = 0
        // The kernel keeps the size of a dma-buf in 63 bits.
        byteCount = Int(clamping: buffer.byteCount)
        self.device = device
        self.region = region
        self.ranges = ranges
    }

    /// A range of what was exported.
    ///
    /// - Throws: `invalidArgument` for a range that is empty or not inside.
    public init(_ whole: VFIOMemory, offset: UInt64, byteCount: UInt64) throws(PeerMRError) {
        self.byteCount = try DMABuf.validate(offset: offset, byteCount: byteCount, of: UInt64(whole.byteCount))
        self.offset = whole.offset + offset
        buffer = whole.buffer
        device = whole.device
        region = whole.region
        ranges = whole.ranges
    }

    /// Copies bytes out of the memory. See ``Verbs/Memory/read(into:at:)``.
    public func read(into bytes: inout MutableRawSpan, at offset: Int) throws(PeerMRError) {
        let place = try place(offset, bytes.byteCount)
        do throws(Errno) {
            var done = 0
            for piece in Self.pieces(of: ranges, place, UInt64(bytes.byteCount)) {
                let count = Int(piece.byteCount)
                var part = bytes._mutatingExtracting(done..<done + count)
                try DescriptorBytes.read(device.descriptor, into: &part, at: region.fileOffset + piece.offset)
                done += count
            }
        } catch {
            throw .regionBytes("pread", error, device.address, region.bar)
        }
    }

    /// Copies bytes into the memory. See ``Verbs/Memory/write(_:at:)``.
    public func write(_ bytes: RawSpan, at offset: Int) throws(PeerMRError) {
        let place = try place(offset, bytes.byteCount)
        do throws(Errno) {
            var done = 0
            for piece in Self.pieces(of: ranges, place, UInt64(bytes.byteCount)) {
                let count = Int(piece.byteCount)
                let part = bytes.extracting(done..<done + count)
                try DescriptorBytes.write(device.descriptor, part, at: region.fileOffset + piece.offset)
                done += count
            }
        } catch {
            throw .regionBytes("pwrite", error, device.address, region.bar)
        }
    }

    /// Where a part of the dma-buf lies in the BAR.
    static func pieces(
        of ranges: [VFIODevice.Range], _ offset: UInt64, _ byteCount: UInt64
    ) -> [VFIODevice.Range] {
        var found: [VFIODevice.Range] = []
        var skip = offset
        var left = byteCount
        for range in ranges where left > 0 {
            guard skip < range.byteCount else {
                skip -= range.byteCount
                continue
            }
            let count = min(left, range.byteCount - skip)
            found.append(VFIODevice.Range(offset: range.offset + skip, byteCount: count))
            left -= count
            skip = 0
        }
        return found
    }
}
