// SPDX-License-Identifier: Apache-2.0

internal import PCITopology
internal import PeerMemory
internal import PeerMRCore
internal import SystemPackage
internal import Verbs

/// Data-direct functions: PCI functions beside those of mlx5 NICs (ConnectX-8), each of which does the DMA for dma-bufs
/// that are registered for it. The route of a dma-buf is then that of this function, and not the NIC's.
enum DataDirect {
    /// What the kernel binds to mlx5_ib as such (drivers/infiniband/hw/mlx5/data_direct.c).
    private static let identity: (vendor: String, device: String) = ("0x15b3", "0x2100")

    /// The function of an open device; nil where it has none, or cannot be asked.
    static func function(of context: Context, _ root: SystemRoot) -> PCIAddress? {
        guard RegistrationInfo.driver(ofRDMADevice: context.device.name, root: root) == "mlx5_core" else { return nil }
        return context.dataDirectPath().flatMap { DeviceLinks.function(of: FilePath($0)) }
    }

    /// The functions of a machine whose devices cannot be asked which of them is theirs; none where the device is not
    /// one of mlx5.
    static func functions(for client: Client, _ root: SystemRoot) -> [PCIAddress] {
        guard case .rdmaDevice(let name) = client,
            RegistrationInfo.driver(ofRDMADevice: name, root: root) == "mlx5_core"
        else { return [] }
        let folder = "sys/bus/pci/devices"
        return (root.entries(folder) ?? []).compactMap { name in
            guard root.attribute("\(folder)/\(name)/device") == identity.device,
                root.attribute("\(folder)/\(name)/vendor") == identity.vendor
            else { return nil }
            return PCIAddress(name)
        }
    }

    /// The functions that may do a client's DMA for dma-bufs: its own where that is known, or any of its machine.
    struct Candidates {
        let functions: [PCIAddress]
        let isKnown: Bool

        /// The route that dma-bufs take, and by which function where that is another one than the client's.
        func better(
            than path: Route, to provider: PCIAddress, _ name: String, _ topology: Topology
        ) -> (Route, PCIAddress?) {
            let routes = functions.compactMap { function in
                DataDirect.route(by: function, of: name, to: provider, topology).map { (function, $0) }
            }
            let better = routes.filter { DataDirect.isBetter($0.1, than: path) }
            guard let first = better.first else { return (path, nil) }
            if isKnown { return (first.1, first.0) }
            // What the NIC reaches by itself it reaches, by whichever function.
            if path.verdict.isSupported == true { return (path, nil) }
            return (path.orByDataDirect(better.map(\.0), of: name), nil)
        }
    }

    static func candidates(
        _ client: Client, _ device: Result<Context, PeerMRError>?, _ root: SystemRoot
    ) -> Candidates {
        guard case .success(let context)? = device else {
            return Candidates(functions: functions(for: client, root), isKnown: false)
        }
        return Candidates(functions: function(of: context, root).map { [$0] } ?? [], isKnown: true)
    }

    /// The route to a provider's dma-bufs by a data-direct function; nil where their exporter lets nobody pin them.
    static func route(
        by function: PCIAddress, of name: String, to provider: PCIAddress, _ topology: Topology
    ) -> Route? {
        let owner = topology.function(at: provider)
        let exporter = owner?.driver.flatMap { Exporter.exporting(memoryOf: $0) }
        guard exporter?.allowsPinning != false else { return nil }
        return topology.route(from: function, to: provider).forBuffers(of: owner).byDataDirect(function, of: name)
    }

    /// Whether a route is worth taking instead of another: one that is allowed, and by bus address rather than through
    /// the host bridge. Of two that are alike the NIC's own is the better one, as its regions can be revoked.
    static func isBetter(_ route: Route, than other: Route) -> Bool { rank(route) > rank(other) }

    private static func rank(_ route: Route) -> Int {
        switch route.verdict.isSupported {
        case true?: route.verdict.mapType == .busAddress ? 3 : 2
        case nil: 1
        case false?: 0
        }
    }
}

extension Route {
    /// A route that dma-bufs take by a function which is not the NIC's own.
    func byDataDirect(_ function: PCIAddress, of name: String) -> Route {
        let finding = Finding(
            .dataDirect, "\(function)",
            "\(name) reaches this memory by its data-direct function \(function), which is registered for dma-bufs")
        return Route(verdict: verdict, findings: [finding] + findings)
    }

    /// A route that may be another function's: which devices have one can be asked on the machine alone.
    func orByDataDirect(_ functions: [PCIAddress], of name: String) -> Route {
        let names = functions.map { "\($0)" }.joined(separator: ", ")
        let finding = Finding(
            .dataDirectUnknown, functions.first.map { "\($0)" },
            "whether dma-bufs of \(name) go by a data-direct function (\(names)), which reaches this memory, can be asked "
                + "on its own machine only", remedy: "run peermr check there, as a user who may open the device")
        return Route(
            verdict: Verdict(mapType: .unknown, isSupported: nil, distance: verdict.distance),
            findings: findings + [finding])
    }
}
