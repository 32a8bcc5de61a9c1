// SPDX-License-Identifier: Apache-2.0

internal import Glibc
internal import SystemPackage
internal import PeerMRCore
internal import PeerMemory
internal import Verbs

/// The sort of pages that host memory is made of.
package enum PageSort: String, Hashable, Sendable {
    /// The machine's ordinary pages.
    case base
    /// Huge pages of the pool that the administrator set aside (MAP_HUGETLB).
    case hugeTLB
    /// Transparent huge pages, by madvise(2), and all of the memory is made of such.
    case transparent
    /// Transparent huge pages were asked for, and some of the memory is made of such.
    case someTransparent
    /// Huge pages were asked for, and none were had.
    case hugeRefused
    /// The memory is not mapped from the host's pages, or its pages are the exporter's affair.
    case notOurs
}

/// A mapping of host memory, of ordinary or huge pages.
@safe
final class HostPages: MappingBacked, @unchecked Sendable {
    let baseAddress: UnsafeMutableRawPointer
    let byteCount: Int
    let kind = MemoryKind.host
    private let mappedAddress: UnsafeMutableRawPointer
    private let mappedBytes: Int
    private let isHugeTLB: Bool
    private let isHuge: Bool

    static let hugeBytes = 2 << 20

    /// Maps memory, and touches none of it.
    ///
    /// Huge pages come from the pool where that has enough, else from the kernel's good will, which shows when the
    /// pages have been touched; see ``sort()``.
    ///
    /// - Throws: `resourceLimit` (ENOMEM).
    init(_ byteCount: Int, huge: Bool) throws(PeerMRError) {
        let unit = huge ? Self.hugeBytes : pageBytes
        let rounded = (byteCount + unit - 1) / unit * unit
        let flags = MAP_PRIVATE | MAP_ANONYMOUS
        var mapped: UnsafeMutableRawPointer?
        var extra = 0
        if huge {
            // From <linux/mman.h>: MAP_HUGETLB. The default size of the pool is meant.
            unsafe mapped = unsafe mmap(nil, rounded, PROT_READ | PROT_WRITE, flags | 0x40000, -1, 0)
            if unsafe mapped == MAP_FAILED { unsafe mapped = nil }
        }
        isHugeTLB = unsafe mapped != nil
        if unsafe mapped == nil {
            // A transparent huge page begins at a multiple of its size.
            extra = huge ? Self.hugeBytes : 0
            unsafe mapped = unsafe mmap(nil, rounded + extra, PROT_READ | PROT_WRITE, flags, -1, 0)
        }
        guard let mapped = unsafe mapped, unsafe mapped != MAP_FAILED else {
            throw .noHostPages(currentErrno(), rounded)
        }
        unsafe mappedAddress = mapped
        mappedBytes = rounded + extra
        self.byteCount = byteCount
        isHuge = huge
        let inner = extra == 0 ? 0 : (extra - Int(UInt(bitPattern: mapped) % UInt(extra))) % extra
        unsafe baseAddress = unsafe mapped + inner
        _ = unsafe madvise(mapped, mappedBytes, Int32(MADV_DONTFORK))
        if huge, !isHugeTLB {
            // From <linux/mman.h>: MADV_HUGEPAGE. A kernel without it refuses, and sort() tells.
            _ = unsafe madvise(baseAddress, rounded, 14)
        }
    }

    deinit {
        _ = unsafe munmap(mappedAddress, mappedBytes)
    }

    /// Writes into each page, so that it is there.
    ///
    /// - Parameter stop: asked now and then; true leaves the rest as it is.
    func touch(until stop: () -> Bool) {
        var offset = 0
        while offset < byteCount {
            if offset % (64 << 20) == 0, stop() { return }
            unsafe baseAddress.storeBytes(of: 1, toByteOffset: offset, as: UInt8.self)
            offset += pageBytes
        }
    }

    /// What the pages are, once they are touched: for huge ones the kernel is asked (`/proc/self/smaps`).
    ///
    /// - Parameter populated: whether they were populated, which asks for huge ones where there is room.
    func sort(populated: Bool = false) -> PageSort {
        guard isHuge || populated else { return .base }
        if isHugeTLB { return .hugeTLB }
        let huge = transparentBytes()
        if huge == 0 { return isHuge ? .hugeRefused : .base }
        return huge >= byteCount ? .transparent : .someTransparent
    }

    private func transparentBytes() -> Int {
        let start = UInt(bitPattern: unsafe mappedAddress)
        let end = start + UInt(mappedBytes)
        var isInside = false
        var bytes = 0
        for line in SystemRoot.live.text("proc/self/smaps") {
            if let dash = line.firstIndex(of: "-"), let first = UInt(line[..<dash], radix: 16) {
                let rest = line[line.index(after: dash)...].prefix { $0 != " " }
                let last = UInt(rest, radix: 16) ?? 0
                isInside = first < end && last > start
            } else if isInside, line.hasPrefix("AnonHugePages:") {
                let words = line.split(separator: " ")
                bytes += words.count > 1 ? (Int(words[1]) ?? 0) * 1024 : 0
            }
        }
        return bytes
    }
}

extension SystemRoot {
    /// The lines of a file of any length.
    fileprivate func text(_ relative: String) -> [Substring] {
        let bytes = contents(relative, limit: 16 << 20) ?? []
        return String(decoding: bytes, as: UTF8.self).split(separator: "\n")
    }
}

/// A part of such a mapping, which it keeps.
@safe
final class HostPagesPart: MappingBacked, @unchecked Sendable {
    let baseAddress: UnsafeMutableRawPointer
    let byteCount: Int
    let kind = MemoryKind.host
    private let pages: HostPages

    init(of pages: HostPages, at offset: Int, byteCount: Int) {
        unsafe baseAddress = unsafe pages.baseAddress + offset
        self.byteCount = byteCount
        self.pages = pages
    }
}
