// SPDX-License-Identifier: Apache-2.0

public import PCITopology
public import PeerMemory
public import PeerMRCore
package import Verbs

/// One of the four answers: yes, no or unknown, why, and what changes it.
public struct Answer: Hashable, Sendable {
    /// What is answered.
    public enum Outcome: String, Hashable, Sendable, CaseIterable {
        case yes, no, unknown
    }

    /// What is answered.
    public let outcome: Outcome
    /// Why, in a sentence.
    public let reason: String
    /// What changes it, as an instruction or a command; nil where nothing does, or nothing needs to.
    public let remedy: String?

    /// An answer given by its parts.
    public init(_ outcome: Outcome, _ reason: String, remedy: String? = nil) {
        self.outcome = outcome
        self.reason = reason
        self.remedy = remedy
    }
}

/// A device that would read or write another one's memory.
public enum Client: Hashable, Sendable, CustomStringConvertible {
    /// An RDMA device, by its kernel name.
    case rdmaDevice(String)
    /// A disk, by its kernel name.
    case blockDevice(String)
    /// An NVMe controller, by its kernel name.
    case controller(String)
    /// A PCI function.
    case function(PCIAddress)

    /// Its name or address.
    public var description: String {
        switch self {
        case .rdmaDevice(let name), .blockDevice(let name), .controller(let name): name
        case .function(let address): "\(address)"
        }
    }

    /// What does its DMA, looked up in sysfs; nil where there is no such device.
    public func attachment(root: SystemRoot = .live) -> Attachment? {
        switch self {
        case .rdmaDevice(let name): DeviceLinks.attachment(ofRDMADevice: name, root: root)
        case .blockDevice(let name): DeviceLinks.attachment(ofBlockDevice: name, root: root)
        case .controller(let name): DeviceLinks.attachment(ofController: name, root: root)
        case .function(let address): .function(address)
        }
    }
}

/// Whether a client can use a provider's memory: four questions, each with an answer of its own.
///
/// They are independent on purpose. A route that the kernel allows is of no use when nobody hands the memory out, and
/// a registration that succeeds proves no data.
public struct Capability: Hashable, Sendable {
    /// Do the kernel, the libraries and the client's driver have the calls?
    public let api: Answer
    /// Does the provider hand its memory out?
    public let exporter: Answer
    /// Would the kernel let the client do DMA to the provider?
    public let route: Answer
    /// Did bytes arrive?
    public let data: Answer
    /// The route that ``route`` is about, with the kernel's map type and what led to it.
    public let path: Route

    /// The four answers for a client and a provider.
    ///
    /// - Parameters:
    ///   - provider: the function whose memory it is.
    ///   - client: the device that would read or write it.
    ///   - memory: how the memory is to be had; nil for p2pmem where the provider publishes any, else for a dma-buf
    ///     where its driver may export one. It decides what ``api`` is about.
    ///   - topology: the machine that both are in; nil to read what is needed from `root`.
    ///   - root: where sysfs is. The calls of a device can be asked for on the running machine only.
    public init(
        of provider: PCIAddress, for client: Client, memory: MemoryKind? = nil, topology: Topology? = nil,
        root: SystemRoot = .live
    ) {
        self.init(of: provider, for: client, memory, topology, root, open: nil)
    }

    /// The same for an RDMA device that is open, which is asked itself.
    package init(of provider: PCIAddress, for context: Context) {
        self.init(of: provider, for: .rdmaDevice(context.device.name), nil, nil, .live, open: context)
    }

    private init(
        of provider: PCIAddress, for client: Client, _ memory: MemoryKind?, _ topology: Topology?, _ root: SystemRoot,
        open context: Context?
    ) {
        let attachment = client.attachment(root: root) ?? .unreadable
        let around = [provider] + attachment.functions
        let topology = topology ?? Topology(root: root, around: around)
        path = topology.route(from: attachment, called: "\(client)", to: provider)
        route = Self.answer(path)
        exporter = Self.exporter(provider, topology, root)
        let memory = memory ?? Self.likelyMemory(of: provider, topology, root)
        api = Self.api(of: client, attachment, memory, topology, root, open: context)
        data = Answer(
            .unknown, "not proven: no data was moved",
            remedy: "move data through a region and compare it on the other side")
    }

    /// The route alone, with the answer that it comes to.
    package static func path(
        of provider: PCIAddress, for client: Client, root: SystemRoot = .live
    ) -> (route: Route, answer: Answer) {
        let attachment = client.attachment(root: root) ?? .unreadable
        let topology = Topology(root: root, around: [provider] + attachment.functions)
        let path = topology.route(from: attachment, called: "\(client)", to: provider)
        return (path, answer(path))
    }

    /// Only whether the kernel would let a client do DMA to a provider, without the other three answers.
    public static func route(
        of provider: PCIAddress, for client: Client, root: SystemRoot = .live
    ) -> Answer {
        path(of: provider, for: client, root: root).answer
    }

    private static func answer(_ path: Route) -> Answer {
        let findings = path.findings
        switch path.verdict.isSupported {
        case true?:
            let how =
                switch path.verdict.mapType {
                case .busAddress: "the kernel maps it by bus address: requests stay below the root complex"
                case .throughHostBridge: "the kernel maps it through the host bridge"
                case .notSupported, .unknown:
                    "the kernel allows it, by bus address or through the host bridge: which one could not be read"
                }
            return Answer(.yes, how)
        case false?:
            let reasons = findings.filter { $0.isBlocking }
            let reason = (reasons.isEmpty ? findings : reasons).map(\.detail).joined(separator: "; ")
            return Answer(.no, reason, remedy: reasons.compactMap(\.remedy).first)
        case nil:
            let reasons = findings.filter { $0.isInconclusive }
            let reason = (reasons.isEmpty ? findings : reasons).map(\.detail).joined(separator: "; ")
            return Answer(.unknown, reason, remedy: reasons.compactMap(\.remedy).first)
        }
    }
}
