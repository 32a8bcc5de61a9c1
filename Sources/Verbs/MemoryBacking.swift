// SPDX-License-Identifier: Apache-2.0

/// How a device gets at memory: one case for each way to register it.
public enum MemoryBacking: Sendable {
    /// A mapping of this process, for `ibv_reg_mr`.
    case mapped(IOVector)
    /// A range of a dma-buf, for `ibv_reg_dmabuf_mr`.
    case dmaBuf(DMABufRange)
    /// Memory of the RDMA device, for `ibv_reg_dm_mr`.
    case deviceMemory(DeviceMemory)

    /// A mapping of this process, by its bytes.
    ///
    /// - Parameter bytes: mapped as long as the memory lives that this is the backing of; nothing can check that.
    @unsafe public static func mapped(_ bytes: UnsafeMutableRawBufferPointer) -> MemoryBacking {
        .mapped(IOVector(address: UInt(bitPattern: bytes.baseAddress), byteCount: bytes.count))
    }
}
