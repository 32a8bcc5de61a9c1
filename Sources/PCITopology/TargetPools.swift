// SPDX-License-Identifier: Apache-2.0

internal import PeerMRCore

/// The p2pmem that a target may take, chosen as the kernel chooses it (drivers/pci/p2pdma.c, `pci_p2pmem_find_many`):
/// of those in reach of all clients the one whose distances from them add up to the least.
struct TargetPools {
    typealias Refusal = NVMeTargetJudge.Refusal

    struct Choice {
        let providers: [PCIAddress]
        let sentence: String
    }

    private struct Pool {
        let address: PCIAddress
        /// Nil where it is not shown.
        let isPublished: Bool?
        let free: UInt64?
    }

    private struct Candidate {
        let pool: Pool
        let isInReach: Bool?
        let distance: Int
        let findings: [Finding]
    }

    private let topology: Topology
    private let pools: [Pool]
    /// The smallest piece that a pool gives.
    private static let pageBytes: UInt64 = 4096

    init(_ topology: Topology, _ root: SystemRoot) {
        self.topology = topology
        pools = topology.functions.filter { $0.poolBytes != nil }.map { function in
            let folder = "sys/bus/pci/devices/\(function.address)/p2pmem"
            return Pool(
                address: function.address,
                isPublished: root.attribute("\(folder)/published").flatMap { ["0": false, "1": true][$0] },
                free: root.attribute("\(folder)/available").flatMap { UInt64($0) })
        }
    }

    /// Whose memory the target takes for a namespace on a drive, served by an RDMA device.
    func choice(
        _ asked: NVMeTarget.Switch, nic: PCIAddress, drive: PCIAddress, _ device: String
    ) -> Result<Choice, Refusal> {
        var pools = pools.filter { $0.isPublished != false }
        if case .provider(let wanted) = asked {
            pools = pools.filter { $0.address == wanted }
            if pools.isEmpty {
                return .failure(
                    Refusal(
                        code: .notPublished, reason: "\(wanted) publishes no p2pmem",
                        remedy: "disable the namespace and write 1, or the address of a device that does"))
            }
        }
        if pools.isEmpty {
            return .failure(
                Refusal(
                    code: .noPool, reason: "no device publishes p2pmem",
                    remedy: "use a drive with a controller memory buffer that may hold data"))
        }
        let candidates = pools.map { candidate($0, nic, drive) }
        let certain = candidates.filter { $0.isInReach == true }
        let unsure = candidates.filter { $0.isInReach == nil }
        guard let least = certain.map(\.distance).min() else {
            return .failure(unsure.isEmpty ? refusal(candidates, device, drive) : unknown(unsure))
        }
        // What is not known to be in reach may be nearer.
        let nearest = certain.filter { $0.distance == least } + unsure.filter { $0.distance <= least }
        return chosen(nearest, device)
    }

    private func candidate(_ pool: Pool, _ nic: PCIAddress, _ drive: PCIAddress) -> Candidate {
        let routes = [nic, drive].map { topology.route(from: $0, to: pool.address) }
        let supports = routes.map(\.verdict.isSupported)
        let isInReach: Bool? =
            supports.contains(false) ? false : supports.contains(nil) || pool.isPublished == nil ? nil : true
        return Candidate(
            pool: pool, isInReach: isInReach, distance: routes.reduce(0) { $0 + max(0, $1.verdict.distance) },
            findings: routes.filter { $0.verdict.isSupported != true }.flatMap(\.findings))
    }

    private func chosen(_ nearest: [Candidate], _ device: String) -> Result<Choice, Refusal> {
        let names = nearest.map { "\($0.pool.address)" }
        let joined = names.joined(separator: " or ")
        let empty = nearest.filter { ($0.pool.free ?? .max) < Self.pageBytes }
        if empty.count == nearest.count {
            return .failure(
                Refusal(
                    code: .exhausted,
                    reason: "the p2pmem of \(joined) is all taken: requests go through host memory until some is given "
                        + "back",
                    remedy: "cat /sys/bus/pci/devices/\(names[0])/p2pmem/available, and end what holds it"))
        }
        if !empty.isEmpty {
            return .failure(
                Refusal(
                    code: .unreadable,
                    reason: "the kernel takes p2pmem of \(joined), which are equally near, at random, and that of "
                        + "\(empty.map { "\($0.pool.address)" }.joined(separator: " and ")) is all taken"))
        }
        let free = nearest.count == 1 ? nearest[0].pool.free.map { ", \(ByteCount.describe($0)) free" } ?? "" : ""
        let which =
            nearest.count == 1
            ? "\(joined)\(free)" : "\(joined), which the kernel takes one of at random for each controller"
        return .success(
            Choice(
                providers: nearest.map(\.pool.address),
                sentence: "p2pmem of \(which); what it has no room for goes through host memory without a word"))
    }

    private func refusal(_ candidates: [Candidate], _ device: String, _ drive: PCIAddress) -> Refusal {
        let names = candidates.map { "\($0.pool.address)" }
        let whose =
            names.count == 1 ? "the p2pmem of \(names[0]) is not" : "none of the p2pmem of \(names.count) devices is"
        let blocking = candidates.flatMap(\.findings).filter(\.isBlocking)
        let cause = blocking.first { $0.code != .noCommonUpstream } ?? blocking.first
        return Refusal(
            code: .noRoute,
            reason: "\(whose) in reach of both \(device) and the drive \(drive)"
                + (cause.map { ": \($0.detail)" } ?? ""),
            remedy: cause?.remedy ?? "peermr check \(names[0]) \(device), and peermr check \(names[0]) \(drive)")
    }

    private func unknown(_ unsure: [Candidate]) -> Refusal {
        let first = unsure[0]
        let cause = first.findings.first(where: \.isInconclusive)
        let detail = cause?.detail ?? (first.pool.isPublished == nil ? "whether it is published is not shown" : "")
        return Refusal(
            code: .unreadable,
            reason: "whether the p2pmem of \(first.pool.address) is in reach cannot be told"
                + (detail.isEmpty ? "" : ": \(detail)"),
            remedy: cause?.remedy)
    }
}
