// SPDX-License-Identifier: Apache-2.0

/// How a device gets at memory: one case for each way to register it.
public enum MemoryBacking: Sendable {
    /// A mapping of this process, for `ibv_reg_mr`.
    case mapped(IOVector)
    /// A range of a dma-buf, for `ibv_reg_dmabuf_mr`.
    case dmaBuf(DMABufRange)
    /// Memory of the RDMA device, for `ibv_reg_dm_mr`.
    case deviceMemory(DeviceMemory)
}
