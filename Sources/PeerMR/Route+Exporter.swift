// SPDX-License-Identifier: Apache-2.0

internal import PeerMemory
package import PCITopology

extension Route {
    /// What a route comes to for dma-bufs of a function: a refusal counts where the driver that exports them asks.
    ///
    /// The map type stays the kernel's own. Where the exporter does not ask, a refusal makes the answer unknown.
    package func forBuffers(of function: PCIFunction?) -> Route {
        // Without a distance there was nothing to be asked about: no such device, or one that does no DMA. Drives
        // export no buffers.
        guard let function, let driver = function.driver, driver != "nvme", verdict.distance >= 0 else { return self }
        let exporter = Exporter.exporting(memoryOf: driver)
        switch exporter?.behavior {
        case .refuses?: return self
        case .doesNotAsk?:
            return Route(verdict: verdict.unlessAsked, findings: findings + [.exporterDoesNotAsk(driver)])
        case .fallsBack?:
            return verdict.isSupported == true ? self : adding(.exporterFallsBack(function, driver))
        case .isHost?: return adding(.exporterIsHost(function, driver))
        case nil: return verdict.isSupported == false ? adding(.exporterUnknown(function, driver)) : self
        }
    }

    private func adding(_ finding: Finding) -> Route { Route(verdict: verdict, findings: findings + [finding]) }
}

extension Verdict {
    /// The kernel's rule where nobody asks about it: what it refuses may work.
    fileprivate var unlessAsked: Verdict {
        isSupported == false && distance >= 0
            ? Verdict(mapType: mapType, isSupported: nil, distance: distance) : self
    }

    /// The verdict of ``PCITopology/Route/forBuffers(of:)``, without its findings.
    package func forBuffers(of function: PCIFunction?) -> Verdict {
        let exporter = function?.driver.flatMap { Exporter.exporting(memoryOf: $0) }
        return exporter?.behavior == .doesNotAsk ? unlessAsked : self
    }
}

extension Finding {
    private static let proveIt = "register it, and prove the region: move data and compare it on the memory's side"

    /// The same of all devices of a driver, so that it need not be said of each.
    fileprivate static func exporterDoesNotAsk(_ driver: String) -> Finding {
        Finding(
            .exporterDoesNotAsk, driver,
            "\(driver) does not ask the kernel about the route before it exports its device's memory: a registration may "
                + "succeed whatever the kernel's rule says, and only a proof tells whether bytes arrive",
            remedy: proveIt)
    }

    fileprivate static func exporterFallsBack(_ function: PCIFunction, _ driver: String) -> Finding {
        Finding(
            .exporterUsesHostMemory, "\(function.address)",
            "\(driver) exports memory of the host in place of that of \(function.address) where the kernel refuses the "
                + "route: a registration then succeeds, over memory that is no peer's")
    }

    fileprivate static func exporterIsHost(_ function: PCIFunction, _ driver: String) -> Finding {
        Finding(
            .exporterUsesHostMemory, "\(function.address)",
            "\(driver) exports memory of the host only, never that of \(function.address): a registration of its "
                + "buffers succeeds whatever the route")
    }

    fileprivate static func exporterUnknown(_ function: PCIFunction, _ driver: String) -> Finding {
        Finding(
            .exporterUnknown, "\(function.address)",
            "whether \(driver) asks the kernel about the route before it exports memory of \(function.address) is not "
                + "known: where it does not, a registration may succeed, and only a proof tells", remedy: proveIt)
    }
}
