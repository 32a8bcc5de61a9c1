// SPDX-License-Identifier: Apache-2.0

/// Whose memory it is, as far as that is known.
///
/// A registration that succeeds does not tell: some drivers export a buffer of their device's, and hand out memory of
/// the host instead where the two devices may not reach each other.
public enum MemoryOwner: String, Hashable, Sendable, CaseIterable {
    /// The host's.
    case host
    /// Another device's.
    case peer
    /// The RDMA device's own.
    case nic
    /// Not known: the host's or a device's.
    case unknown
}
