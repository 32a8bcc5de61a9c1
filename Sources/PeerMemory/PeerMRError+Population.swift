// SPDX-License-Identifier: Apache-2.0

internal import SystemPackage
package import PeerMRCore

extension PeerMRError {
    package static let populationErrors = ErrorSection("Populating host memory", [populate])

    /// See: man 2 madvise, MADV_POPULATE_WRITE
    static let populate = ErrorTable("madvise", facts: .bytes("byte count"), "address") { size, address in
        ErrorRow(
            [.badAddress], .invalidArgument,
            "\(size) at \(address) cannot be populated: there is nothing behind some of the pages",
            "map no more of a file than it has")
        ErrorRow(
            [.noMemory], .resourceLimit,
            "\(size) at \(address) cannot be populated: some of it is not mapped, or the machine or the memory cgroup "
                + "has no memory for it",
            "map it; see memory.events of the cgroup")
        ErrorRow(.system, "\(size) at \(address) cannot be populated", "see the kernel log (dmesg)")
    }
}
