// SPDX-License-Identifier: Apache-2.0

import CommandSupport
import PCITopology
import PeerMRCore

/// How large a machine may be that is shown. Captured trees may claim anything: what exceeds these is refused with a
/// sentence, in memory and time that are known before.
enum MachineLimits {
    /// The most pairs of which a matrix keeps verdicts: those of 4,096 functions with each other, in 32 MiB.
    static let pairs = 1 << 24
    /// The most pairs whose findings are printed.
    static let printedPairs = 1 << 20
    /// The most routes that the doctor looks at, which keeps what it found of each.
    static let examinedRoutes = 1 << 16
    /// The most boxes that Graphviz gets to draw: it takes minutes for more.
    static let boxes = 1000
    /// The most cells of a map in a picture.
    static let cells = 1 << 14

    /// Refuses a machine of more functions than are read: the rest would be missing from every answer.
    static func validate(_ root: SystemRoot) throws(PeerMRError) {
        let count = root.entries("sys/bus/pci/devices")?.count ?? 0
        guard count > Topology.functionLimit else { return }
        throw exceeded("PCI functions", count, Topology.functionLimit, "capture one machine, and no more")
    }

    /// Refuses a matrix that is too large.
    static func validate(clients: Int, providers: Int, isByPlaces: Bool) throws(PeerMRError) {
        let (pairs, isMore) = clients.multipliedReportingOverflow(by: providers)
        guard !isMore, pairs <= Self.pairs else {
            throw exceeded("pairs of client and provider", pairs, Self.pairs, "leave --all out, or name a --client")
        }
        let ends = clients + providers
        guard isByPlaces, ends * ends > Self.pairs * 4 else { return }
        throw exceeded("clients and providers", ends, 8192, "ask for --json, or leave --all out")
    }

    static func exceeded(_ what: String, _ count: Int, _ limit: Int, _ remedy: String) -> PeerMRError {
        PeerMRError(
            .resourceLimit, reason: "the machine has \(count) \(what), and at most \(limit) are looked at",
            remedy: remedy)
    }
}
