// SPDX-License-Identifier: Apache-2.0

internal import CLinux
internal import Glibc
internal import SystemPackage
public import PeerMRCore
internal import Verbs

/// A dma-buf over new host memory, by `/dev/udmabuf`: for tests, and for machines without a device that exports any.
///
/// The memory is a sealed file in memory, which is the owner's way to the bytes: nothing is mapped, so nothing can
/// fault.
public final class UDMABufMemory: DMABufBacked {
    /// The dma-buf.
    public let buffer: DMABuf
    /// Where the memory begins in its dma-buf, in bytes.
    public var offset: UInt64 { 0 }
    /// The length in bytes.
    public let byteCount: Int
    private let file: OwnedDescriptor

    /// Makes the memory, and its dma-buf.
    ///
    /// udmabuf locks the pages down at once; they are zero. Kernels before 7.2 allow 64 MiB for each buffer unless
    /// told otherwise (`/sys/module/udmabuf/parameters/size_limit_mb`).
    ///
    /// - Parameters:
    ///   - byteCount: how much, in bytes; rounded up to pages.
    ///   - root: where `/dev` and `/sys` are; tests put another there.
    /// - Throws: `notFound` (ENOENT) without the udmabuf driver, `notPermitted` (EACCES) without rights on its device,
    ///   `resourceLimit` (EINVAL, ENOMEM) over its limit or without that much memory. The corresponding request is
    ///   `UDMABUF_CREATE`.
    public init(allocating byteCount: UInt64, root: SystemRoot = .live) throws(PeerMRError) {
        let rounded = try HostAllocation.available(byteCount, root)
        let device: OwnedDescriptor
        do {
            device = try OwnedDescriptor(opening: root.appending("dev/udmabuf"), flags: O_RDWR)
        } catch {
            throw .openUDMABuffer(error)
        }
        let memory = unsafe peermr_sealed_memory("peermr", rounded)
        guard memory >= 0 else { throw .sealedMemory(currentErrno(), rounded) }
        file = OwnedDescriptor(adopting: memory)
        let descriptor = peermr_udmabuf_create(device.rawValue, memory, 0, rounded)
        guard descriptor >= 0 else {
            let errno = currentErrno()
            let limit = root.attribute("sys/module/udmabuf/parameters/size_limit_mb").flatMap { UInt64($0) }
            throw .createUDMABuffer(errno, rounded, limitMiB: limit)
        }
        buffer = try DMABuf(new: descriptor)
        self.byteCount = Int(rounded)
    }

    /// Copies bytes out of the memory. See ``Verbs/Memory/read(into:at:)``.
    public func read(into bytes: inout MutableRawSpan, at offset: Int) throws(PeerMRError) {
        let place = try place(offset, bytes.byteCount)
        do throws(Errno) {
            try DescriptorBytes.read(file.rawValue, into: &bytes, at: place)
        } catch {
            throw .ownerBytes("pread", error, "the memory behind a udmabuf")
        }
    }

    /// Copies bytes into the memory. See ``Verbs/Memory/write(_:at:)``.
    public func write(_ bytes: RawSpan, at offset: Int) throws(PeerMRError) {
        let place = try place(offset, bytes.byteCount)
        do throws(Errno) {
            try DescriptorBytes.write(file.rawValue, bytes, at: place)
        } catch {
            throw .ownerBytes("pwrite", error, "the memory behind a udmabuf")
        }
    }
}
