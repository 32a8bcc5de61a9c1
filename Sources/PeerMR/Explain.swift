// SPDX-License-Identifier: Apache-2.0

internal import PCITopology
internal import PeerMemory
internal import SystemPackage
internal import PeerMRCore
internal import Verbs

// The one place of this module that turns refusals into words.
extension PeerMRError {
    static var addressOfMapping: PeerMRError {
        PeerMRError(
            .invalidArgument, reason: "an I/O address can be chosen for a dma-buf only",
            remedy: "leave it out: mapped memory keeps the address of its mapping")
    }

    static var hintsOnDemand: PeerMRError {
        PeerMRError(
            .notSupported, reason: "memory that is paged on demand takes no hints",
            remedy: "register without a DMA handle")
    }

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

    /// A driver's own mapping: it has no pages that could be pinned (VM_PFNMAP, mm/gup.c).
    static func deviceMapping(_ error: PeerMRError, _ path: String) -> PeerMRError {
        guard error.code == .notSupported else { return error }
        let object = MappedObject.device(path: path)
        return PeerMRError(
            .notSupported, call: error.call, errno: error.errno,
            reason: "\(object) cannot be registered by its address: it is a device's, and has no pages to pin",
            remedy:
                "have the device's driver export it as a dma-buf and register that: for a BAR bind the function to "
                + "vfio-pci (Linux 6.19 or newer); GPUs' libraries have a call for theirs")
    }

    /// A dma-buf that the kernel refused, with what the check of the route had said before.
    static func bufferRefused(
        _ error: PeerMRError, _ route: Answer?, _ origin: BufferOrigin, _ device: Device
    ) -> PeerMRError {
        let aboutTheRoute: [Errno] = [.invalidArgument, .notPermitted, .noMemory, Errno(rawValue: 121)]
        guard let route, error.code == .notSupported || error.code == .notPermitted, let errno = error.errno,
            aboutTheRoute.contains(errno), let provider = origin.owner.provider
        else { return error }
        let between = "between \(device) and \(provider) (\(origin.exporter))"
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

    /// The kernel could not copy from or to a mapping.
    static func mappingLost(_ errno: Errno, _ provider: PCIAddress?) -> PeerMRError {
        let whose = provider.map { "the memory of \($0)" } ?? "the memory"
        guard errno == .badAddress else {
            return PeerMRError(
                .system, call: "copy", errno: errno, reason: "\(whose) cannot be copied",
                remedy: "free memory: the copy goes through a file in memory")
        }
        return PeerMRError(
            .memoryRevoked, call: "copy", errno: errno, reason: "\(whose) is gone: it was removed, or lost its driver",
            remedy: "let go of this memory, and allocate anew when the device is back")
    }
}
