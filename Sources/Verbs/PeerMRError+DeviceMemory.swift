// SPDX-License-Identifier: Apache-2.0

internal import SystemPackage
package import PeerMRCore

extension PeerMRError {
    package static let deviceMemoryErrors = ErrorSection(
        "Memory of the NIC", [emptyDeviceMemory, outsideDeviceMemory, deviceMemory])
}

extension PeerMRError {
    static let emptyDeviceMemory = ErrorTable(facts: "byte count") { size in
        ErrorRow(.invalidArgument, "\(size) bytes of a NIC's memory cannot be allocated")
            .with(remedy: "ask for at least one byte, and for no more than the device has")
    }
    static let outsideDeviceMemory = ErrorTable(facts: "count", "offset", "whole") { count, offset, whole in
        ErrorRow(.invalidArgument, "\(count) bytes at offset \(offset) are not inside a NIC's memory of \(whole) bytes")
            .with(remedy: "name a part that is")
    }

    /// See: man 3 ibv_alloc_dm, ibv_dm_export_dmabuf_fd
    static let deviceMemory = ErrorTable(
        "ibv_alloc_dm", "ibv_dm_export_dmabuf_fd", "ibv_memcpy_from_dm", "ibv_memcpy_to_dm", "ibv_reg_dm_mr",
        facts: .bytes("byte count"), "device"
    ) { size, device in
        ErrorRow(
            [.noFunction], .notSupported, "the libibverbs of this system does not export a NIC's memory as a dma-buf",
            "use rdma-core 62 or newer on Linux 7.0 or newer")
        ErrorRow(
            call: "ibv_dm_export_dmabuf_fd", [.notSupported, .notSupportedOnSocket, .protocolNotSupported],
            .notSupported, "\(device) does not export its memory as a dma-buf",
            "use a NIC that does, such as one of mlx5, or another kind of memory")
        ErrorRow(
            [.notSupported, .notSupportedOnSocket, .protocolNotSupported], .notSupported,
            "\(device) has no memory of its own for programs",
            "use a NIC that does, such as one of mlx5, or another kind of memory")
        ErrorRow(
            [.noMemory, .noSpace, .invalidArgument], .resourceLimit, "\(device) does not give \(size) of its memory",
            "ask for less: ibv_devinfo -v -d \(device) prints max_dm_size")
        ErrorRow(.system, "the memory of \(device) cannot be used")
            .with(remedy: "see the kernel log (dmesg): the device may have been removed or reset")
    }
}
