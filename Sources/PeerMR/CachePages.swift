// SPDX-License-Identifier: Apache-2.0

internal import Glibc

/// Pages that a child process finds zeroed (MADV_WIPEONFORK), so that it knows that they are not its own.
///
/// They stay where they are as long as the object lives, and cost memory only where they were touched.
@safe
struct CachePages: ~Copyable, @unchecked Sendable {
    let base: UnsafeMutableRawPointer
    let byteCount: Int
    private static let hugePage = 2 << 20
    /// From this size on it is worth that the first byte that is touched costs a huge page.
    private static let worthwhile = 16 << 20

    /// - Returns: nil without memory (ENOMEM).
    init?(byteCount: Int) {
        let page = Int(getpagesize())
        guard byteCount > 0 else { return nil }
        let isLarge = byteCount >= Self.worthwhile
        let unit = isLarge ? Self.hugePage : page
        guard byteCount <= Int.max - 2 * unit else { return nil }
        let rounded = (byteCount + unit - 1) / unit * unit
        guard let mapped = unsafe Self.map(rounded, boundary: unit, page) else { return nil }
        guard unsafe madvise(mapped, rounded, Int32(MADV_WIPEONFORK)) == 0 else {
            _ = unsafe munmap(mapped, rounded)
            return nil
        }
        // A lookup among many regions reads random pages, of which processors remember fewer than of cache lines.
        if isLarge { _ = unsafe madvise(mapped, rounded, Int32(MADV_HUGEPAGE)) }
        unsafe base = mapped
        self.byteCount = rounded
    }

    /// Maps pages from a boundary on, a multiple of a page: what stands over at both ends is given back.
    @unsafe private static func map(_ byteCount: Int, boundary: Int, _ page: Int) -> UnsafeMutableRawPointer? {
        let slack = boundary - page
        let mapped = unsafe mmap(
            nil, byteCount + slack, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0)
        guard let mapped = unsafe mapped, unsafe mapped != MAP_FAILED else { return nil }
        let before = (boundary - Int(bitPattern: mapped) % boundary) % boundary
        if before > 0 { _ = unsafe munmap(mapped, before) }
        if slack > before { _ = unsafe munmap(mapped + before + byteCount, slack - before) }
        return unsafe mapped + before
    }

    deinit {
        _ = unsafe munmap(base, byteCount)
    }
}
