// SPDX-License-Identifier: Apache-2.0

public import PCITopology
public import PeerMRCore
public import Verbs

/// Whether a client can use memory: four answers, and the plan that a registration follows.
///
/// The answers are independent on purpose. A route that the kernel allows is of no use when nothing exports the memory,
/// and a registration that succeeds proves no data.
public struct Assessment: Sendable {
    /// Do the kernel, the libraries and the client's driver have the calls?
    public internal(set) var api: Answer
    /// Does the provider export its memory?
    public internal(set) var exporter: Answer
    /// Would the kernel let the client do DMA to the provider?
    public internal(set) var route: Answer
    /// Did bytes arrive?
    public internal(set) var data = Answer(
        .unknown, "not proven: no data was moved",
        remedy: "move data through a region and compare it on the other side")
    /// The route that ``route`` is about, with the kernel's map type and what led to it; nil where the memory has no
    /// provider that is known.
    public let path: Route?
    /// The PCI function whose route it is, where that is another one than the client's own: the data-direct function of
    /// an mlx5 NIC, which dma-bufs of the provider are registered for.
    public private(set) var dataDirectFunction: PCIAddress?
    /// How the memory is registered, or why it cannot be; nil for a client that is no open RDMA device.
    public let plan: Result<RegistrationPlan, PeerMRError>?
    /// What kind of memory it is about.
    public let kind: MemoryKind
}

// MARK: - A provider

extension Assessment {
    /// A client and a provider, here or on a captured machine.
    ///
    /// On the running machine an RDMA device is opened, once, and asked.
    ///
    /// - Parameters:
    ///   - provider: the function whose memory it is.
    ///   - client: the device that would read or write it.
    ///   - memory: what kind of memory; nil for p2pmem where the provider publishes any, otherwise for a dma-buf where
    ///     its driver may export one. It decides what ``api`` is about.
    ///   - topology: the machine that both are in; nil to read what is needed from `root`.
    ///   - root: where sysfs is. The calls of a device can be asked for on the running machine only.
    public init(
        of provider: PCIAddress, for client: Client, memory: MemoryKind? = nil, topology: Topology? = nil,
        root: SystemRoot = .live
    ) {
        let device: Result<Context, PeerMRError>? =
            if case .rdmaDevice(let name) = client, root.isLive { Self.open(name) } else { nil }
        self.init(of: provider, for: client, memory, topology, root, device)
    }

    /// The same for an RDMA device that is open.
    package init(of provider: PCIAddress, for context: Context) {
        self.init(of: provider, for: .rdmaDevice(context.device.name), nil, nil, .live, .success(context))
    }

    private init(
        of provider: PCIAddress, for client: Client, _ memory: MemoryKind?, _ topology: Topology?, _ root: SystemRoot,
        _ device: Result<Context, PeerMRError>?
    ) {
        let attachment = client.attachment(root: root) ?? .unreadable
        // Where the device is not here to be asked, any such function of the machine may be its own.
        let direct = DataDirect.candidates(client, device, root)
        let topology = topology ?? Topology(root: root, around: [provider] + attachment.functions + direct.functions)
        let kind = memory ?? Self.likelyKind(of: provider, topology, root)
        var path = Self.path(of: provider, for: client, attachment, topology, kind)
        if kind == .dmabuf {
            (path, dataDirectFunction) = direct.better(than: path, to: provider, "\(client)", topology)
        }
        let plan = device?.flatMap { context in
            Self.plan(for: kind, of: kind == .p2pmem ? provider : nil, on: context)
        }
        self.path = path
        self.kind = kind
        self.plan = plan
        route = Answer(path)
        exporter = Self.exporter(provider, topology, root)
        api = Self.api(of: client, attachment, kind, provider, topology, root, device, plan)
    }

    /// Only whether the kernel would let a client do DMA to a provider, without the other three answers.
    public static func route(
        of provider: PCIAddress, for client: Client, root: SystemRoot = .live
    ) -> Answer {
        Answer(path(of: provider, for: client, root: root))
    }

    /// The route alone, with what led to it.
    package static func path(of provider: PCIAddress, for client: Client, root: SystemRoot = .live) -> Route {
        let attachment = client.attachment(root: root) ?? .unreadable
        let topology = Topology(root: root, around: [provider] + attachment.functions)
        return path(of: provider, for: client, attachment, topology, .dmabuf)
    }

    /// The route as it counts for a kind of memory: exporters of dma-bufs differ, and drives import none.
    private static func path(
        of provider: PCIAddress, for client: Client, _ attachment: Attachment, _ topology: Topology, _ kind: MemoryKind
    ) -> Route {
        let path = topology.route(from: attachment, called: "\(client)", to: provider)
        guard kind == .dmabuf, client.mayImportBuffers else { return path }
        return path.forBuffers(of: topology.function(at: provider))
    }

    static func plan(
        for kind: MemoryKind, of provider: PCIAddress?, on context: Context
    ) -> Result<RegistrationPlan, PeerMRError> {
        Result { () throws(PeerMRError) in
            try DeviceCache.of(context).plan(for: kind, of: provider, on: context)
        }
    }

    static func open(_ name: String) -> Result<Context, PeerMRError> {
        Result { () throws(PeerMRError) in
            let device = Device(name: name)
            guard try Device.all().contains(device) else { throw .noProviderLibrary(device) }
            return try device.open()
        }
    }
}

// MARK: - Memory

extension Assessment {
    /// What can be said of a kind of memory before any is opened: whether the device has the call.
    public init(of kind: MemoryKind, on context: Context) {
        let plan = Self.plan(for: kind, of: nil, on: context)
        self.kind = kind
        self.plan = plan
        path = nil
        api = Self.api(of: kind, on: context, plan)
        exporter = Answer(.unknown, "not asked: the device lacks the call")
        route = Answer(.unknown, "not asked")
    }

    /// Memory that is open, for an RDMA device that is.
    public init(of memory: any Memory, on context: Context) {
        // What a driver exports of the host's memory is behind no route to its device.
        let provider = memory.owner == .host ? nil : memory.provider
        let plan = Self.plan(for: memory.kind, of: provider, on: context)
        let size = ByteCount.describe(memory.byteCount)
        // The plan for a dma-buf has worked it out already.
        let path = (try? plan.get())?.path ?? provider.map { Self.path(of: $0, for: .rdmaDevice(context.device.name)) }
        kind = memory.kind
        self.plan = plan
        self.path = path
        api =
            memory.kind == .nic
            ? Answer(.yes, "\(context.device) gives programs memory of its own")
            : Self.api(of: memory.kind, on: context, plan)
        exporter =
            switch memory.kind {
            case .host: Answer(.yes, "\(size) of the host's memory")
            case .p2pmem: Answer(.yes, "\(provider.map { "\($0)" } ?? "the drive") gave \(size) of its p2pmem")
            case .dmabuf: Answer(.yes, "\(memory.exporter ?? "a driver") exports \(size)")
            case .nic: Answer(.yes, "\(context.device) gave \(size) of it")
            }
        route =
            if let path { Answer(path) } else { Self.routeWithoutProvider(memory, context.device) }
    }

    private static func routeWithoutProvider(_ memory: any Memory, _ device: Device) -> Answer {
        if memory.kind == .nic { return Answer(.yes, "it is the device's own: nothing lies between") }
        if memory.owner == .host { return Answer(.yes, "the memory is the host's: no other device lies between") }
        return Answer(
            .unknown, "the kernel does not tell whose memory a dma-buf is",
            remedy: "peermr check PROVIDER \(device), where you know")
    }

    /// Records why no memory could be opened.
    public mutating func record(refusal: PeerMRError) {
        let answer = Answer(.no, refusal.reason, remedy: refusal.remedy)
        if kind == .nic { api = answer } else { exporter = answer }
    }

    /// Records what a proof has found.
    public mutating func record(_ proof: Proof) { data = proof.answer }
}
