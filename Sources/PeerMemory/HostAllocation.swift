// SPDX-License-Identifier: Apache-2.0

internal import PeerMRCore

/// What memory that is allocated has in common.
enum HostAllocation {
    /// A size in whole pages.
    ///
    /// - Throws: `invalidArgument` for 0, and beyond the address space.
    static func rounded(_ byteCount: Int) throws(PeerMRError) -> Int {
        guard byteCount > 0, byteCount <= Int.max - pageBytes else { throw .impossibleAllocation(byteCount) }
        return (byteCount + pageBytes - 1) / pageBytes * pageBytes
    }

    /// A size in whole pages that the machine has free, for a dma-buf of host memory: asked for more, the kernel would
    /// kill processes rather than refuse.
    ///
    /// - Throws: `invalidArgument` for an impossible size, `resourceLimit` for more than is available.
    static func available(_ byteCount: UInt64, _ root: SystemRoot) throws(PeerMRError) -> UInt64 {
        let page = UInt64(pageBytes)
        guard byteCount > 0, byteCount <= UInt64(Int64.max) - page else { throw .impossibleBuffer(byteCount) }
        let rounded = (byteCount + page - 1) / page * page
        if let available = root.availableMemoryBytes, rounded > available {
            throw .bufferBeyondMemory(rounded, available)
        }
        return rounded
    }
}

extension SystemRoot {
    /// What the kernel thinks can be allocated without swapping, in bytes (`MemAvailable` of `/proc/meminfo`); nil
    /// where it does not say.
    package var availableMemoryBytes: UInt64? {
        for line in attribute("proc/meminfo")?.split(separator: "\n") ?? [] where line.hasPrefix("MemAvailable:") {
            let words = line.split(separator: " ")
            return words.count > 1 ? UInt64(words[1]).flatMap { $0 <= .max / 1024 ? $0 * 1024 : nil } : nil
        }
        return nil
    }
}
