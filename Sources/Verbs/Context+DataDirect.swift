// SPDX-License-Identifier: Apache-2.0

internal import CVerbs

extension Context {
    /// Where sysfs has the function that does the DMA for dma-bufs registered for data direct: a PCI function beside
    /// that of an mlx5 NIC, near a GPU. The path is below `/sys`.
    ///
    /// - Returns: nil where the device has none, is not one of mlx5, or the running libmlx5 (before rdma-core 54) or
    ///   kernel (before Linux 6.12) lacks the call. The corresponding C function is
    ///   `mlx5dv_get_data_direct_sysfs_path`.
    package func dataDirectPath() -> String? {
        let limit = 4096
        return unsafe withUnsafeTemporaryAllocation(of: CChar.self, capacity: limit) { path in
            guard let start = path.baseAddress else { return nil }
            unsafe start.initialize(repeating: 0, count: limit)
            guard unsafe peermr_data_direct_path(raw, start, limit - 1) == 0 else { return nil }
            return unsafe String(validatingCString: start)
        }
    }
}
