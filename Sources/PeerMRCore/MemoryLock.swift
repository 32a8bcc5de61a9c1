// SPDX-License-Identifier: Apache-2.0

internal import Glibc

/// What this process may lock of memory, as the kernel asks when it pins memory for a device (drivers/infiniband/core/
/// umem.c, `ib_umem_get`): the bytes that are pinned already and the new ones against RLIMIT_MEMLOCK, unless
/// `capable(CAP_IPC_LOCK)`.
package struct MemoryLock: Sendable {
    /// RLIMIT_MEMLOCK in bytes; nil where there is none, or it cannot be asked.
    package let limit: UInt64?
    /// What is pinned already, in bytes.
    package let pinned: UInt64
    /// Whether CAP_IPC_LOCK lifts the limit.
    package let isLifted: Bool

    package init(limit: UInt64?, pinned: UInt64, isLifted: Bool) {
        self.limit = limit
        self.pinned = pinned
        self.isLifted = isLifted
    }

    /// That of this process, now.
    package static func current(root: SystemRoot = .live) -> MemoryLock {
        var limit = rlimit()
        // RLIMIT_MEMLOCK is 8 on every architecture that Swift is on.
        let isKnown = unsafe getrlimit(__rlimit_resource_t(8), &limit) == 0 && limit.rlim_cur != .max
        let status = Self.values(root.attribute("proc/self/status") ?? "")
        let capabilities = status["CapEff"].flatMap { UInt64($0, radix: 16) } ?? 0
        return MemoryLock(
            limit: isKnown ? UInt64(limit.rlim_cur) : nil,
            pinned: status["VmPin"].flatMap { UInt64($0.prefix { $0.isNumber }) }.map { $0 << 10 } ?? 0,
            isLifted: capabilities >> 14 & 1 == 1 && Self.isInitialNamespace(root))
    }

    /// capable() asks for the capability in the initial user namespace: that of a container's own does not count.
    private static func isInitialNamespace(_ root: SystemRoot) -> Bool {
        guard let map = root.attribute("proc/self/uid_map") else { return true }
        return map.split(separator: " ").map(String.init) == ["0", "0", "4294967295"]
    }

    private static func values(_ text: String) -> [Substring: Substring] {
        Dictionary(
            text.split(separator: "\n").compactMap { line in
                let parts = line.split(separator: ":", maxSplits: 1)
                guard parts.count == 2 else { return nil }
                return (parts[0], parts[1].drop { $0 == " " || $0 == "\t" })
            }, uniquingKeysWith: { first, _ in first })
    }

    /// Whether the limit is what refuses so many bytes; nil for a number that is not known.
    package func refuses(_ byteCount: Int?) -> Bool {
        guard let limit, !isLifted else { return false }
        guard let byteCount else { return true }
        return pinned &+ UInt64(max(0, byteCount)) > limit
    }

    /// For a sentence.
    package var description: String {
        if isLifted { return "lifted by CAP_IPC_LOCK" }
        guard let limit else { return "unlimited" }
        return "\(ByteCount.describe(limit)), of which \(ByteCount.describe(pinned)) are used"
    }
}
