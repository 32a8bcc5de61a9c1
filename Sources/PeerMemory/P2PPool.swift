// SPDX-License-Identifier: Apache-2.0

internal import Glibc
public import PeerMRCore

/// The peer-to-peer memory that a PCI function publishes: an NVMe controller memory buffer, for example.
///
/// The kernel keeps it in `/sys/bus/pci/devices/BDF/p2pmem` (drivers/pci/p2pdma.c), where programs may
/// allocate from it since Linux 6.2. The figures change at any time: every process allocates from the same pool.
public struct P2PPool: Hashable, Sendable {
    /// The function whose memory it is.
    public let provider: PCIAddress
    /// All of it, in bytes.
    public let byteCount: UInt64
    /// What was free when this was read, in bytes; it may be in pieces.
    public let availableBytes: UInt64
    /// Whether programs can allocate from it, as a file `allocate` shows: Linux 6.2 and newer, and RHEL 9.3.
    public let isAllocatable: Bool

    /// Reads the pool of a function; nil where it has none.
    public init?(of provider: PCIAddress, root: SystemRoot = .live) {
        let folder = Self.folder(of: provider)
        guard let size = root.attribute("\(folder)/size").flatMap({ UInt64($0) }),
            let available = root.attribute("\(folder)/available").flatMap({ UInt64($0) })
        else { return nil }
        self.provider = provider
        byteCount = size
        availableBytes = available
        isAllocatable = root.exists("\(folder)/allocate")
    }

    /// Why this user cannot allocate from it; nil where the file to map can be opened as for that.
    /// Nothing is allocated.
    package func refusal(root: SystemRoot = .live) -> PeerMRError? {
        do {
            _ = try OwnedDescriptor(opening: root.appending("\(Self.folder(of: provider))/allocate"), flags: O_RDWR)
            return nil
        } catch {
            return .openPool(error, provider)
        }
    }

    package static func folder(of provider: PCIAddress) -> String {
        "sys/bus/pci/devices/\(provider)/p2pmem"
    }

    /// The pools of a machine, by address.
    public static func all(root: SystemRoot = .live) -> [P2PPool] {
        (root.entries("sys/bus/pci/devices") ?? [])
            .compactMap { PCIAddress($0) }
            .compactMap { P2PPool(of: $0, root: root) }
            .sorted { $0.provider < $1.provider }
    }
}
