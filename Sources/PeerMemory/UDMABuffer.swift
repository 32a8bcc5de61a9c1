// SPDX-License-Identifier: Apache-2.0

internal import CLinux
internal import Glibc
internal import PCITopology
internal import SystemPackage
public import PeerMRCore

extension DMABufMemory {
    /// Makes a dma-buf over new host memory: for tests, and for machines without a device that exports any.
    ///
    /// The memory is a sealed file in memory, whose pages `/dev/udmabuf` locks down at once; it is zero. Kernels
    /// before 7.2 allow 64 MiB apiece unless told otherwise (`/sys/module/udmabuf/parameters/size_limit_mb`).
    ///
    /// - Parameters:
    ///   - byteCount: how much, in bytes; rounded up to pages.
    ///   - root: where `/dev` and `/sys` are; tests put another there.
    /// - Throws: `notFound` (ENOENT) without the udmabuf driver, `notPermitted` (EACCES) without rights on its device,
    ///   `resourceLimit` (EINVAL, ENOMEM) over its limit or where so much memory is not to be had. The corresponding
    ///   request is `UDMABUF_CREATE`.
    public static func udmabuf(
        allocating byteCount: UInt64, root: SystemRoot = .live
    ) throws(PeerMRError) -> DMABufMemory {
        let rounded = try HostBuffer.rounded(byteCount, root)
        let device: OwnedDescriptor
        do {
            device = try OwnedDescriptor(opening: root.appending("dev/udmabuf"), flags: O_RDWR)
        } catch {
            throw .openUDMABuffer(error)
        }
        let memory = unsafe peermr_sealed_memory("peermr", rounded)
        guard memory >= 0 else { throw .sealedMemory(currentErrno(), rounded) }
        let owner = SealedMemoryOwner(OwnedDescriptor(adopting: memory), byteCount: rounded)
        let descriptor = peermr_udmabuf_create(device.rawValue, memory, 0, rounded)
        guard descriptor >= 0 else {
            let errno = currentErrno()
            let limit = root.attribute("sys/module/udmabuf/parameters/size_limit_mb").flatMap { UInt64($0) }
            throw .createUDMABuffer(errno, rounded, limitMiB: limit)
        }
        return try DMABufMemory(HostBuffer.adopt(descriptor), owner: owner)
    }
}

/// What udmabuf and dma-heap have in common: host memory, handed out as a dma-buf.
enum HostBuffer {
    /// A size in whole pages that the machine has, or an error: asked for more, the kernel would kill processes
    /// rather than say no.
    static func rounded(_ byteCount: UInt64, _ root: SystemRoot) throws(PeerMRError) -> UInt64 {
        let page = UInt64(pageBytes)
        guard byteCount > 0, byteCount <= UInt64(Int64.max) - page else {
            throw .impossibleBuffer(byteCount)
        }
        let rounded = (byteCount + page - 1) / page * page
        if let available = availableBytes(root), rounded > available {
            throw .bufferBeyondMemory(rounded, available: available)
        }
        return rounded
    }

    /// What the kernel thinks can be had without swapping, in bytes.
    private static func availableBytes(_ root: SystemRoot) -> UInt64? {
        for line in root.attribute("proc/meminfo")?.split(separator: "\n") ?? [] {
            guard line.hasPrefix("MemAvailable:") else { continue }
            let words = line.split(separator: " ")
            return words.count > 1 ? UInt64(words[1]).flatMap { $0 <= .max / 1024 ? $0 * 1024 : nil } : nil
        }
        return nil
    }

    /// A descriptor that the kernel has just given us: nobody else would close it.
    static func adopt(_ descriptor: Int32) throws(PeerMRError) -> DMABuf {
        let file = OwnedDescriptor(adopting: descriptor)
        let facts = try DMABufInfo(of: file.rawValue)
        return DMABuf(file: file, facts: facts)
    }
}

/// Host memory in a sealed file, read and written as a file: no mapping, so nothing that could fault.
final class SealedMemoryOwner: DMABufOwner {
    private let file: OwnedDescriptor
    private let byteCount: UInt64

    init(_ file: consuming OwnedDescriptor, byteCount: UInt64) {
        self.file = file
        self.byteCount = byteCount
    }

    var provider: PCIAddress? { nil }

    func read(into bytes: inout MutableRawSpan, at offset: UInt64) throws(PeerMRError) {
        guard !bytes.isEmpty else { return }
        try DMABufInfo.validatePart(offset, UInt64(bytes.byteCount), of: byteCount)
        do throws(Errno) {
            try DescriptorBytes.read(file.rawValue, into: &bytes, at: offset)
        } catch {
            throw .ownerBytes("pread", error, "the memory behind a udmabuf")
        }
    }

    func write(_ bytes: RawSpan, at offset: UInt64) throws(PeerMRError) {
        guard !bytes.isEmpty else { return }
        try DMABufInfo.validatePart(offset, UInt64(bytes.byteCount), of: byteCount)
        do throws(Errno) {
            try DescriptorBytes.write(file.rawValue, bytes, at: offset)
        } catch {
            throw .ownerBytes("pwrite", error, "the memory behind a udmabuf")
        }
    }
}

/// Whole reads and writes at a place of a descriptor.
enum DescriptorBytes {
    /// - Throws: the errno of pread(2); EIO where the end is reached before all is read.
    static func read(_ descriptor: Int32, into bytes: inout MutableRawSpan, at offset: UInt64) throws(Errno) {
        try unsafe bytes.withUnsafeMutableBytes { (local) throws(Errno) in
            try all(local.count, offset) { done, place in
                unsafe pread(descriptor, local.baseAddress.map { unsafe $0 + done }, local.count - done, place)
            }
        }
    }

    /// - Throws: the errno of pwrite(2); EIO where the end is reached before all is written.
    static func write(_ descriptor: Int32, _ bytes: RawSpan, at offset: UInt64) throws(Errno) {
        try unsafe bytes.withUnsafeBytes { (local) throws(Errno) in
            try all(local.count, offset) { done, place in
                unsafe pwrite(descriptor, local.baseAddress.map { unsafe $0 + done }, local.count - done, place)
            }
        }
    }

    private static func all(_ count: Int, _ offset: UInt64, _ step: (Int, off_t) -> Int) throws(Errno) {
        var done = 0
        while done < count {
            guard let place = off_t(exactly: offset + UInt64(done)) else { throw .invalidArgument }
            let moved = step(done, place)
            if moved < 0 {
                let error = currentErrno()
                if error == .interrupted { continue }
                throw error
            }
            if moved == 0 { throw .ioError }
            done += moved
        }
    }
}
