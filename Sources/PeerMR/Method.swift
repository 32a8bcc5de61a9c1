// SPDX-License-Identifier: Apache-2.0

/// How memory becomes a region.
public enum Method: String, Hashable, Sendable, CaseIterable {
    /// `ibv_reg_mr`: the kernel locks the pages down.
    case pinned
    /// `ibv_reg_mr` with on-demand paging: the device faults pages in when it needs them.
    case onDemand
    /// `ibv_reg_dmabuf_mr`: another driver's buffer, by descriptor.
    case dmaBuf
    /// `ibv_reg_dm_mr`: memory of the device itself.
    case deviceMemory
}
