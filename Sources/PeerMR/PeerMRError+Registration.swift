// SPDX-License-Identifier: Apache-2.0

internal import PeerMemory
internal import SystemPackage
package import PeerMRCore
internal import Verbs

extension PeerMRError {
    package static let registrationErrors = ErrorSection(
        "Registering peer memory",
        [
            pinnedPeer, routeRefused, routeWithoutRemedy, routeFine, routeUnknown, noOnDemandImport, noImport,
            softwareImport, largePages, partOutsideRegion, noProviderLibrary, nothingToProve,
        ])
}

// Choosing how.
extension PeerMRError {
    static let noOnDemandImport = ErrorTable(facts: "device") { device in
        ErrorRow(.notSupported, "\(device) imports dma-bufs only with on-demand paging, which it lacks here")
            .with(remedy: "turn it on in the firmware's settings (ODP), or use host memory")
    }

    /// What is known about a device that imports no dma-bufs.
    static let noImport = ErrorTable(
        "ibv_reg_dmabuf_mr", facts: "reason", .optional("", "remedy")
    ) { reason, remedy in
        ErrorRow(.notSupported, "\(reason)", "\(remedy)")
    }

    static let softwareImport = ErrorTable(
        "ibv_reg_dmabuf_mr", facts: "reason", .optional("", "remedy")
    ) { reason, remedy in
        ErrorRow(.notSupported, "\(reason): it is a software device, whose bytes the CPU moves", "\(remedy)")
    }

    static func importRefused(_ found: DMABufSupport, isSoftware: Bool) -> PeerMRError {
        let table = isSoftware ? softwareImport : noImport
        return found.errno.map { table($0, found.reason, found.remedy) } ?? table(found.reason, found.remedy)
    }

    static let largePages = ErrorTable(facts: "device", "page size", "largest packet") { device, page, packet in
        ErrorRow(
            .unsafeConfiguration,
            "the on-demand paging of \(device), a software device, puts each packet at the beginning of a page: with "
                + "pages of \(page) bytes and packets of at most \(packet) it corrupts data and reports success",
            "boot a kernel with pages of \(packet) bytes, or use host memory that is pinned")
    }
    static let noProviderLibrary = ErrorTable(facts: "device") { device in
        ErrorRow(.notSupported, "libibverbs has no provider library for \(device)")
            .with(remedy: "install it: apt install ibverbs-providers")
    }
    static let partOutsideRegion = ErrorTable(facts: "count", "offset", "size") { count, offset, whole in
        ErrorRow(.invalidArgument, "\(count) bytes at offset \(offset) are not inside a region of \(whole) bytes")
            .with(remedy: "name a part that is")
    }

    static func outsideRegion(_ offset: Int, _ count: Int, _ keys: RegionKeys) -> PeerMRError {
        partOutsideRegion(count, offset, keys.byteCount)
    }

    static let nothingToProve = ErrorTable {
        ErrorRow(.invalidArgument, "a region of 0 bytes cannot be proven", "register at least one byte")
    }
}

// What the kernel refused, where more is known.
extension PeerMRError {
    static let pinnedPeer = ErrorTable("ibv_reg_mr", facts: "reason", "first kernel") { reason, kernel in
        ErrorRow(
            .notSupported, "p2pmem cannot be registered: \(reason), and the kernel does not pin p2pmem for long",
            "use a device with on-demand paging (mlx5 on Linux \(kernel) or newer, or Soft-RoCE on Linux 6.16 or "
                + "newer), or host memory")
    }

    /// A peer mapping that was tried without on-demand paging: what the kernel said, and what would work.
    static func pinnedPeerMemory(_ error: PeerMRError, _ choice: MethodChoice) -> PeerMRError {
        pinnedPeer(of: error, choice.reason, MethodChoice.firstCheckingKernel)
    }

    /// How exporters say that a route is refused, which is in ``PeerMemory/Exporter/all``; EFAULT with on-demand
    /// regions (hmm_dma_map_pfn in the kernel's mm/hmm.c).
    private static let aboutTheRoute: [Errno] = [
        .invalidArgument, .notPermitted, .notSupportedOnSocket, .remoteIO, .badAddress,
    ]
    /// Of exporters that are not known: those of the verbs and of mapping.
    private static let usualRefusals: [Errno] = [.invalidArgument, .notPermitted, .remoteIO]

    static let routeRefused = ErrorTable(
        "ibv_reg_dmabuf_mr", "ibv_reg_mr", "mlx5dv_reg_dmabuf_mr", facts: "device", "provider", "exporter", "reason",
        "remedy"
    ) { device, provider, exporter, reason, remedy in
        ErrorRow(
            aboutTheRoute, .notSupported,
            "the kernel refuses DMA between \(device) and \(provider) (\(exporter)), as expected: \(reason)",
            "\(remedy)")
    }
    static let routeWithoutRemedy = ErrorTable(
        "ibv_reg_dmabuf_mr", "ibv_reg_mr", "mlx5dv_reg_dmabuf_mr", facts: "device", "provider", "exporter", "reason"
    ) { device, provider, exporter, reason in
        ErrorRow(
            aboutTheRoute, .notSupported,
            "the kernel refuses DMA between \(device) and \(provider) (\(exporter)), as expected: \(reason)",
            "put both devices under one PCIe switch")
    }

    /// The class is that of the error that the kernel's answer gave.
    static let routeFine = ErrorTable(
        "ibv_reg_dmabuf_mr", "ibv_reg_mr", "mlx5dv_reg_dmabuf_mr",
        facts: "error", "device", "provider", "exporter", "reason", .optional("", "remedy of the error")
    ) { error, device, provider, exporter, reason, remedy in
        ErrorRow(
            aboutTheRoute, nil,
            "\(error). The route between \(device) and \(provider) (\(exporter)) is not the cause: \(reason)",
            "\(remedy)")
    }

    static let routeUnknown = ErrorTable(
        "ibv_reg_dmabuf_mr", "ibv_reg_mr", "mlx5dv_reg_dmabuf_mr",
        facts: "error", "device", "provider", "exporter", "reason", .optional("", "remedy")
    ) { error, device, provider, exporter, reason, remedy in
        ErrorRow(
            aboutTheRoute, nil,
            "\(error). The route between \(device) and \(provider) (\(exporter)) is not known: \(reason)", "\(remedy)")
    }

    /// A dma-buf that the kernel refused, with what the check of the route had said before, where the exporter has
    /// asked about that.
    static func bufferRefused(
        _ error: PeerMRError, _ plan: RegistrationPlan, _ memory: any Memory, _ device: Device
    ) -> PeerMRError {
        let asking = memory.exporter.flatMap { Exporter.exporting(as: $0, driver: plan.driver) }
        guard let route = plan.route, let errno = error.errno, (asking?.refusals ?? usualRefusals).contains(errno),
            error.code == .notSupported || error.code == .notPermitted, let provider = memory.provider
        else { return error }
        return refused(error, route, device, provider, memory.exporter ?? "?")
    }

    /// P2pmem that the kernel did not map for the device. The route is looked at only now.
    static func onDemandRefused(_ error: PeerMRError, _ memory: any Memory, _ device: Device) -> PeerMRError {
        guard memory.kind == .p2pmem, error.errno == .badAddress, let provider = memory.provider else { return error }
        let route = Answer(Assessment.path(of: provider, for: .rdmaDevice(device.name)))
        return refused(error, route, device, provider, "p2pmem")
    }

    private static func refused(
        _ error: PeerMRError, _ route: Answer, _ device: Device, _ provider: PCIAddress, _ exporter: String
    ) -> PeerMRError {
        let reason = route.reason
        return switch route.outcome {
        case .no:
            route.remedy.map { routeRefused(of: error, device, provider, exporter, reason, $0) }
                ?? routeWithoutRemedy(of: error, device, provider, exporter, reason)
        case .yes: routeFine(of: error, error.reason, device, provider, exporter, reason, error.remedy)
        case .unknown:
            routeUnknown(of: error, error.reason, device, provider, exporter, reason, route.remedy ?? error.remedy)
        }
    }
}
