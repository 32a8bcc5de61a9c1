// SPDX-License-Identifier: Apache-2.0

public import PeerMRCore

/// A machine's PCI tree with what the kernel's peer-to-peer decision depends on: plain values, judged by
/// ``route(from:to:)``.
public struct Topology: Sendable {
    /// The functions, by address.
    public let functions: [PCIFunction]
    /// The first device of each root bus, which the kernel knows a host bridge by; absent where the bus has none.
    public let firstDevices: [RootBus: PCIAddress]
    /// The processor; nil where it cannot be read.
    public let cpu: CPU?
    /// Which kernel it is; nil where its release cannot be read.
    public let kernelIdentity: KernelIdentity?
    /// The kernel's version; nil where its release cannot be read.
    public var kernel: KernelRelease? { kernelIdentity?.release }
    /// Whether the kernel was built with peer-to-peer DMA (CONFIG_PCI_P2PDMA); nil where that cannot be read.
    public let hasPeerToPeer: Bool?
    /// What told so, for a sentence.
    package let peerToPeerSource: String
    /// What the kernel itself tells of its code; nil where it has no type information.
    public let evidence: KernelEvidence?
    /// What besides the route stands against DMA from device to device.
    public let platform: PlatformDMA
    /// Whether sysfs shows PCI devices at all: a container may hide them.
    public let isShown: Bool
    /// RDMA devices, with what does their DMA.
    public let rdmaDevices: [String: Attachment]
    /// Block devices, with what does their DMA.
    public let blockDevices: [String: Attachment]
    /// Addresses that sysfs lists, and whose place in the tree it does not show; in a copy also the 00.0 of a host
    /// bridge that the list lacks and something else has.
    public let unlocated: Set<PCIAddress>

    let nodes: [Node]
    private let indices: [PCIAddress: Int]
    /// Bridges that sysfs names in the paths of others, and does not list: number n of them is the index -1 - n.
    private let unlistedBridges: [PCIAddress]
    let bridges: [HostBridgePolicy]
    /// Whether the kernel allows every host bridge of this processor; nil where that is not known.
    let isAnyBridgeAllowed: Bool?
    /// Whether what the list does not have may be allowed by a rule for guests.
    let mayAllowGuests: Bool
    /// Whether the kernel has, or may have, another rule about ACS; nil where it may.
    let hasOtherACSRule: Bool?
    /// Whether nothing of the platform stands against any route.
    let isPlain: Bool

    /// A machine given by its facts. Facts that contradict each other are kept, and make answers unknown.
    public init(
        functions: [PCIFunction], firstDevices: [RootBus: PCIAddress]? = nil, cpu: CPU?,
        kernel: KernelIdentity?, hasPeerToPeer: Bool? = true, evidence: KernelEvidence? = nil,
        platform: PlatformDMA = PlatformDMA(), rdmaDevices: [String: Attachment] = [:],
        blockDevices: [String: Attachment] = [:], unlocated: Set<PCIAddress> = []
    ) {
        self.init(
            functions: functions, firstDevices: firstDevices, cpu: cpu, kernel: kernel,
            build: (hasPeerToPeer, "as is given"), evidence: evidence, platform: platform, rdmaDevices: rdmaDevices,
            blockDevices: blockDevices, unlocated: unlocated, isShown: true)
    }

    init(
        functions: [PCIFunction], firstDevices: [RootBus: PCIAddress]?, cpu: CPU?, kernel: KernelIdentity?,
        build: (hasPeerToPeer: Bool?, source: String), evidence: KernelEvidence?, platform: PlatformDMA,
        rdmaDevices: [String: Attachment], blockDevices: [String: Attachment], unlocated: Set<PCIAddress>,
        isShown: Bool
    ) {
        let functions = functions.sorted { $0.address < $1.address }
        self.functions = functions
        self.cpu = cpu
        let rules = HostBridgeRules(kernel: kernel, layout: evidence?.hostBridges)
        isAnyBridgeAllowed = cpu.flatMap { $0.allowsAnyHostBridge ? rules.asksProcessor : false }
        mayAllowGuests =
            [.vmware, .hyperV, .unknown].contains(platform.hypervisor) && cpu?.vendor != "AuthenticAMD"
            && rules.isNewerThanRead
        hasOtherACSRule = evidence?.hasDirectionalACS ?? (rules.isNewerThanRead ? nil : false)
        isPlain = platform.isPlain
        kernelIdentity = kernel
        (hasPeerToPeer, peerToPeerSource) = build
        self.evidence = evidence
        self.platform = platform
        self.isShown = isShown
        self.rdmaDevices = rdmaDevices
        self.blockDevices = blockDevices
        self.unlocated = unlocated
        let first = firstDevices ?? Self.lowestDevices(functions)
        self.firstDevices = first
        let indices = Dictionary(
            functions.enumerated().map { ($1.address, $0) }, uniquingKeysWith: { a, _ in a })
        self.indices = indices
        let buses = Set(functions.map(\.rootBus)).sorted()
        let busIndices = Dictionary(uniqueKeysWithValues: buses.enumerated().map { ($1, $0) })
        bridges = buses.map { bus in
            HostBridgePolicy(
                of: bus, first: first[bus].flatMap { indices[$0] }.map { functions[$0] },
                zero: indices[bus.zero].map { functions[$0] }, isZeroHidden: unlocated.contains(bus.zero), rules: rules)
        }
        let unlistedBridges = Set(functions.flatMap(\.chain).filter { indices[$0] == nil }).sorted()
        self.unlistedBridges = unlistedBridges
        let unlistedIndices = Dictionary(
            uniqueKeysWithValues: unlistedBridges.enumerated().map { ($1, -1 - $0) })
        nodes = functions.map { function in
            Node(
                ancestors: function.chain.map { Int32(indices[$0] ?? unlistedIndices[$0] ?? -1) },
                bridge: Int32(busIndices[function.rootBus] ?? 0),
                redirect: .init(function.accessControl.redirects))
        }
    }

    /// Without hot-plugging the kernel finds a bus's devices in the order of their numbers.
    private static func lowestDevices(_ functions: [PCIFunction]) -> [RootBus: PCIAddress] {
        var lowest: [RootBus: PCIAddress] = [:]
        for function in functions where function.isOnRootBus {
            if let found = lowest[function.rootBus], found < function.address { continue }
            lowest[function.rootBus] = function.address
        }
        return lowest
    }

    /// The function at an address; nil where there is none.
    public func function(at address: PCIAddress) -> PCIFunction? {
        indices[address].map { functions[$0] }
    }

    func index(of address: PCIAddress) -> Int? { indices[address] }

    /// The address of a place in a chain of ``Node/ancestors``.
    func address(at index: Int32) -> PCIAddress {
        index >= 0 ? functions[Int(index)].address : unlistedBridges[-1 - Int(index)]
    }
}

/// What the fast walk needs of a function: numbers only.
struct Node: Sendable {
    enum Redirect: UInt8, Sendable {
        case no, yes, unknown
        init(_ known: Bool?) { self = known.map { $0 ? .yes : .no } ?? .unknown }
    }

    /// The function itself, then the bridges above it, as indices; negative for one that sysfs names but does not list.
    let ancestors: [Int32]
    let bridge: Int32
    let redirect: Redirect
}
