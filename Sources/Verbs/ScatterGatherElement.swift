// SPDX-License-Identifier: Apache-2.0

/// A piece of local memory in a work request. The corresponding C type is `struct ibv_sge`, whose layout it has.
public struct ScatterGatherElement: BitwiseCopyable, Hashable, Sendable {
    let address: UInt64
    /// The length in bytes.
    public let count: UInt32
    let key: UInt32
}
