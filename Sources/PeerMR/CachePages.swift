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

    /// - Returns: nil without memory (ENOMEM).
    init?(byteCount: Int) {
        let page = Int(getpagesize())
        guard byteCount > 0, byteCount <= Int.max - page else { return nil }
        let rounded = (byteCount + page - 1) / page * page
        let mapped = unsafe mmap(
            nil, rounded, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0)
        guard let mapped = unsafe mapped, unsafe mapped != MAP_FAILED else { return nil }
        guard unsafe madvise(mapped, rounded, Int32(MADV_WIPEONFORK)) == 0 else {
            _ = unsafe munmap(mapped, rounded)
            return nil
        }
        // A lookup among many regions reads random pages, of which processors remember fewer than of cache lines.
        if rounded > Self.hugePage { _ = unsafe madvise(mapped, rounded, Int32(MADV_HUGEPAGE)) }
        unsafe base = mapped
        self.byteCount = rounded
    }

    deinit {
        _ = unsafe munmap(base, byteCount)
    }
}
