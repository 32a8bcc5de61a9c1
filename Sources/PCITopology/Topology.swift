// SPDX-License-Identifier: Apache-2.0

public import SystemSupport

/// A machine's PCI tree with what the kernel's peer-to-peer decision depends on: plain values, judged by ``route(from:to:)``.
public struct Topology: Sendable {
    /// The functions, by address.
    public let functions: [PCIFunction]
    /// The first device of each root bus, which the kernel knows a host bridge by; absent where the bus has none.
    public let firstDevices: [RootBus: PCIAddress]
    /// The processor; nil where it cannot be read.
    public let cpu: CPU?
    /// The kernel; nil where its release cannot be read.
    public let kernel: KernelRelease?
    /// Whether the kernel was built with peer-to-peer DMA (CONFIG_PCI_P2PDMA); nil where that cannot be read.
    public let hasPeerToPeer: Bool?
    /// RDMA devices, with the function that does their DMA; nil for software devices.
    public let rdmaDevices: [String: PCIAddress?]
    /// Block devices, with the function that does their DMA; nil for those on no PCI function.
    public let blockDevices: [String: PCIAddress?]

    let nodes: [Node]
    private let indices: [PCIAddress: Int]
    let bridges: [HostBridgeJudgement]

    /// A machine given by its facts. Facts that contradict each other are kept, and make answers unknown.
    public init(
        functions: [PCIFunction], firstDevices: [RootBus: PCIAddress]? = nil, cpu: CPU?,
        kernel: KernelRelease?, hasPeerToPeer: Bool? = true,
        rdmaDevices: [String: PCIAddress?] = [:], blockDevices: [String: PCIAddress?] = [:]
    ) {
        let functions = functions.sorted { $0.address < $1.address }
        self.functions = functions
        self.cpu = cpu
        self.kernel = kernel
        self.hasPeerToPeer = hasPeerToPeer
        self.rdmaDevices = rdmaDevices
        self.blockDevices = blockDevices
        let first = firstDevices ?? Self.lowestDevices(functions)
        self.firstDevices = first
        let indices = Dictionary(
            functions.enumerated().map { ($1.address, $0) }, uniquingKeysWith: { a, _ in a })
        self.indices = indices
        let buses = Set(functions.map(\.rootBus)).sorted()
        let busIndices = Dictionary(uniqueKeysWithValues: buses.enumerated().map { ($1, $0) })
        bridges = buses.map { bus in
            HostBridgeJudgement(
                of: bus, first: first[bus].flatMap { indices[$0] }.map { functions[$0] },
                kernel: kernel)
        }
        nodes = functions.map { function in
            Node(
                ancestors: function.chain.map { Int32(indices[$0] ?? -1) },
                bridge: Int32(busIndices[function.rootBus] ?? 0),
                redirect: .init(function.accessControl.redirects))
        }
    }

    /// Without hot-plugging the kernel finds a bus's devices in the order of their numbers.
    private static func lowestDevices(_ functions: [PCIFunction]) -> [RootBus: PCIAddress] {
        var lowest: [RootBus: PCIAddress] = [:]
        for function in functions where function.chain.count == 1 {
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
}

/// What the fast walk needs of a function: numbers only.
struct Node: Sendable {
    enum Redirect: UInt8, Sendable {
        case no, yes, unknown
        init(_ known: Bool?) { self = known.map { $0 ? .yes : .no } ?? .unknown }
    }

    /// The function itself, then the bridges above it, as indices; -1 for one that sysfs names but does not show.
    let ancestors: [Int32]
    let bridge: Int32
    let redirect: Redirect
}

/// What the kernel's list says of a host bridge.
struct HostBridgeJudgement: Hashable, Sendable {
    let bus: RootBus
    /// Allowed between functions under this bridge; nil where that depends on a kernel version that is not known.
    let allowsWithin: Bool?
    /// Allowed from and to another bridge that is too.
    let allowsAcross: Bool?
    /// Why, for people.
    let reason: String

    init(of bus: RootBus, first: PCIFunction?, kernel: KernelRelease?) {
        self.bus = bus
        guard let first else {
            (allowsWithin, allowsAcross) = (false, false)
            reason = "host bridge \(bus) has no first device that the kernel could know it by"
            return
        }
        let known = first.address.device == 0 && first.address.function == 0
        // Without privilege a root port is known by its children (TopologyReader); at 00.0 it does not matter.
        guard known || first.portType == .rootPort else {
            (allowsWithin, allowsAcross) = first.portType == nil && first.isBridge ? (nil, nil) : (false, false)
            reason =
                "the first device of host bridge \(bus) is \(first.address), which is neither 00.0 nor a root port"
            return
        }
        guard let vendor = first.vendor, let device = first.device else {
            (allowsWithin, allowsAcross) = (nil, nil)
            reason = "the identity of \(first.address), the first device of host bridge \(bus), cannot be read"
            return
        }
        let name = "\(Self.hexadecimal(vendor)):\(Self.hexadecimal(device))"
        let found = HostBridgeList.lookUp(vendor: vendor, device: device, kernel: kernel)
        guard let row = found.row else {
            (allowsWithin, allowsAcross) = (false, false)
            reason = "host bridge \(bus) (\(name)) is not on the kernel's list"
            return
        }
        guard found.isCertain else {
            (allowsWithin, allowsAcross) = (nil, nil)
            reason = "host bridge \(bus) (\(name)) came onto the kernel's list between two versions, and this kernel lies between them or is not known"
            return
        }
        allowsWithin = true
        allowsAcross = !row.sameBridgeOnly
        reason =
            "host bridge \(bus) (\(name)) is on the kernel's list"
            + (row.sameBridgeOnly ? ", but only for functions under this one bridge" : "")
    }

    private static func hexadecimal(_ value: UInt16) -> String {
        let text = String(value, radix: 16)
        return String(repeating: "0", count: 4 - text.count) + text
    }
}
