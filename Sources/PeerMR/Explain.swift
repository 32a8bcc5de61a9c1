// SPDX-License-Identifier: Apache-2.0

internal import PCITopology
internal import PeerMemory
internal import SystemPackage
internal import PeerMRCore
internal import Verbs

// The one place of this module that turns refusals into words.
extension PeerMRError {
    /// A peer mapping that was tried without on-demand paging: what the kernel said, and what would work.
    static func pinnedPeerMemory(_ error: PeerMRError, _ choice: MethodChoice) -> PeerMRError {
        PeerMRError(
            .notSupported, call: error.call, errno: error.errno,
            reason: "p2pmem cannot be registered: \(choice.reason), and the kernel does not pin p2pmem for long",
            remedy:
                "use a device with on-demand paging (mlx5 on Linux \(MethodChoice.firstCheckingKernel) or newer, "
                + "or Soft-RoCE on Linux 6.16 or newer), or host memory"
        )
    }

    /// A dma-buf that the kernel refused, with what the check of the route had said before.
    static func bufferRefused(
        _ error: PeerMRError, _ route: Answer?, _ memory: any Memory, _ device: Device
    ) -> PeerMRError {
        let aboutTheRoute: [Errno] = [.invalidArgument, .notPermitted, .noMemory, Errno(rawValue: 121)]
        guard let route, error.code == .notSupported || error.code == .notPermitted, let errno = error.errno,
            aboutTheRoute.contains(errno), let provider = memory.provider
        else { return error }
        let between = "between \(device) and \(provider) (\(memory.exporter ?? "?"))"
        switch route.outcome {
        case .no:
            return PeerMRError(
                .notSupported, call: error.call, errno: errno,
                reason: "the kernel refuses DMA \(between), as was to be expected: \(route.reason)",
                remedy: route.remedy ?? "put both devices under one PCIe switch")
        case .yes:
            return PeerMRError(
                error.code, call: error.call, errno: errno,
                reason: "\(error.reason). The route \(between) is not what stands in the way: \(route.reason)",
                remedy: error.remedy)
        case .unknown:
            return PeerMRError(
                error.code, call: error.call, errno: errno,
                reason: "\(error.reason). What lies \(between) is not known: \(route.reason)",
                remedy: route.remedy ?? error.remedy)
        }
    }

    static func outsideRegion(_ offset: Int, _ count: Int, _ keys: RegionKeys) -> PeerMRError {
        PeerMRError(
            .invalidArgument,
            reason: "\(count) bytes from \(offset) on do not lie inside a region of \(keys.byteCount) bytes",
            remedy: "name a part that does")
    }

    static func noProviderLibrary(_ device: Device) -> PeerMRError {
        PeerMRError(
            .notSupported, reason: "libibverbs has no provider library for \(device)",
            remedy: "install it: apt install ibverbs-providers")
    }
}
