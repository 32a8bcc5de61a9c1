// SPDX-License-Identifier: Apache-2.0

/// What a device may do with a memory region. The corresponding C type is `enum ibv_access_flags`.
public struct Access: OptionSet, Hashable, Sendable {
    /// The bits of `enum ibv_access_flags`.
    public let rawValue: UInt32
    /// Wraps bits of `enum ibv_access_flags`.
    public init(rawValue: UInt32) { self.rawValue = rawValue }

    /// The own device may write: needed for receives, reads into the region and every remote write.
    public static let localWrite = Access(rawValue: 1 << 0)
    /// A peer that has the remote key may write, at any time.
    public static let remoteWrite = Access(rawValue: 1 << 1)
    /// A peer that has the remote key may read, at any time.
    public static let remoteRead = Access(rawValue: 1 << 2)
    /// A peer that has the remote key may do atomic operations.
    public static let remoteAtomic = Access(rawValue: 1 << 3)
    /// Pages are faulted in when the device needs them, instead of pinned at registration.
    public static let onDemand = Access(rawValue: 1 << 6)
    /// Writes may pass each other on PCIe: faster on some machines, and only for programs that wait for completions.
    public static let relaxedOrdering = Access(rawValue: 1 << 20)

    /// Whether anything of it writes to the memory.
    package var isWriting: Bool { !isDisjoint(with: [.localWrite, .remoteWrite, .remoteAtomic]) }
    /// Whether a peer with the remote key may do anything.
    package var isRemote: Bool { !isDisjoint(with: [.remoteWrite, .remoteRead, .remoteAtomic]) }
}
