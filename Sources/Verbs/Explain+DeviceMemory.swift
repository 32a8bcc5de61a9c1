// SPDX-License-Identifier: Apache-2.0

internal import SystemPackage
internal import PeerMRCore

// What memory of a NIC can say, in words.
extension PeerMRError {
    static func emptyDeviceMemory(_ byteCount: UInt64) -> PeerMRError {
        PeerMRError(
            .invalidArgument, reason: "\(byteCount) bytes of a NIC's memory cannot be allocated",
            remedy: "ask for one byte or more, and for what the device has")
    }

    static func outsideDeviceMemory(_ count: Int, _ offset: UInt64, _ whole: UInt64) -> PeerMRError {
        PeerMRError(
            .invalidArgument,
            reason: "\(count) bytes from \(offset) on do not lie inside a NIC's memory of \(whole) bytes",
            remedy: "name a part that does")
    }

    /// See: man 3 ibv_alloc_dm, ibv_dm_export_dmabuf_fd
    static func deviceMemory(_ call: String, _ errno: Errno, _ byteCount: UInt64, _ device: Device) -> PeerMRError {
        switch errno {
        case .noFunction:
            PeerMRError(
                .notSupported, call: call, errno: errno,
                reason: "the libibverbs of this system does not hand a NIC's memory out as a dma-buf",
                remedy: "use rdma-core 62 or newer on Linux 7.0 or newer")
        case .notSupported, .notSupportedOnSocket, .protocolNotSupported:
            PeerMRError(
                .notSupported, call: call, errno: errno,
                reason: call == "ibv_dm_export_dmabuf_fd"
                    ? "\(device) does not hand its memory out as a dma-buf"
                    : "\(device) gives programs no memory of its own",
                remedy: "use a NIC that does, such as one of mlx5, or another kind of memory")
        case .noMemory, .noSpace, .invalidArgument:
            PeerMRError(
                .resourceLimit, call: call, errno: errno,
                reason: "\(device) does not give \(ByteCount.describe(byteCount)) of its memory",
                remedy: "ask for less: ibv_devinfo -v -d \(device) tells max_dm_size")
        default:
            PeerMRError(
                .system, call: call, errno: errno, reason: "the memory of \(device) cannot be used",
                remedy: "see the kernel log (dmesg): the device may have been removed or reset")
        }
    }
}
