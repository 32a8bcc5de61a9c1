// SPDX-License-Identifier: Apache-2.0

import PeerMR

/// What one end is made of.
struct EndpointOptions {
    /// Nil for memory of the host.
    var memory: MemoryArgument?
    /// The longest message, in bytes.
    var sizeLimit: Int
    /// Receives that are kept posted.
    var depth: Int
    /// Sleep until completions come, instead of polling.
    var waits: Bool
}

/// One end: a queue pair with its completions, and memory with room for a message to send and one to receive.
struct Endpoint: ~Copyable {
    let context: Context
    let domain: ProtectionDomain
    let channel: CompletionChannel
    let queue: CompletionQueue
    let region: PeerRegion
    /// For the processor, where the memory is a dma-buf; else nil.
    let staging: StagingBuffer?
    /// Where the second of the two areas begins: the size limit, rounded up to pages.
    let areaBytes: Int
    let options: EndpointOptions
    var queuePair: QueuePair
    var batch: CompletionBatch
    var state = LoopState()

    /// Registers the memory and makes the queues.
    ///
    /// - Parameter connection: for a queue pair that the connection manager connects; nil for one that is connected by
    ///   hand.
    init(_ context: Context, connection: Connection?, _ options: EndpointOptions) throws(PeerMRError) {
        let domain = try ProtectionDomain(context)
        let channel = try CompletionChannel(context)
        let capacity = QueuePairCapacity(sends: 16, receives: options.depth)
        let queue = try CompletionQueue(context, capacity: capacity.sends + capacity.receives + 16, channel: channel)
        let areaBytes = (options.sizeLimit + pageBytes - 1) / pageBytes * pageBytes
        let specification =
            try options.memory?.specification(byteCount: UInt64(2 * areaBytes))
            ?? MemorySpecification(.host, byteCount: UInt64(2 * areaBytes))
        let region = try PeerRegion(
            registering: try specification.open(), on: domain, access: [.localWrite, .remoteRead, .remoteWrite])
        guard region.byteCount >= 2 * areaBytes else { throw .tooSmall(region.byteCount, 2 * areaBytes) }
        let staging = region.kind == .dmabuf ? try StagingBuffer(byteCount: 2 * areaBytes) : nil
        let queuePair =
            if let connection {
                try QueuePair(
                    for: connection, domain: domain, sendQueue: queue, receiveQueue: queue, capacity: capacity)
            } else {
                try QueuePair(domain: domain, sendQueue: queue, receiveQueue: queue, capacity: capacity)
            }
        do { if options.waits { try channel.makeWaiting() } } catch { throw .loop(.refused(error)) }
        self.context = context
        self.domain = domain
        self.channel = channel
        self.queue = queue
        self.areaBytes = areaBytes
        self.options = options
        self.staging = staging
        self.region = region
        self.queuePair = queuePair
        batch = CompletionBatch(capacity: 16)
    }

    // A queue with events that were taken and not acknowledged would never be destroyed.
    deinit { channel.acknowledge(state.events, of: queue) }

    /// The part of the memory for messages that go out, or for those that come in: for the NIC, and for the
    /// processor as an address, that of the staging buffer where there is one.
    func area(incoming: Bool, count: Int) throws(PeerMRError) -> (entry: ScatterGatherElement, address: UInt) {
        let entry: ScatterGatherElement
        do {
            entry = try region.keys.element(at: UInt64(incoming ? areaBytes : 0), count: UInt64(count))
        } catch { throw .partOfMemory(count) }
        if let staging { return (entry, staging.address + UInt(incoming ? areaBytes : 0)) }
        return (entry, try slice(incoming: incoming, count: count).address)
    }

    /// The same, for a drive.
    func slice(incoming: Bool, count: Int) throws(PeerMRError) -> IOVector {
        do { return try region.slice(at: incoming ? areaBytes : 0, count: count) } catch { throw .partOfMemory(count) }
    }

    /// What the other end has to know to read or write this end's memory.
    func remote(incoming: Bool) -> RemoteAddress {
        RemoteAddress(
            address: region.keys.address + UInt64(incoming ? areaBytes : 0), key: region.keys.remoteKey)
    }
}

extension Context {
    /// Opens the device that was named, or the first.
    static func open(_ name: String?) throws(PeerMRError) -> Context {
        if let name { return try Device(name: name).open() }
        guard let first = try Device.all().first else { return try Device(name: "of any name").open() }
        return try first.open()
    }

    /// Checks what can be known of a message before anything is registered for it.
    func checkPort(_ number: UInt8, size: UInt64) throws(PeerMRError) {
        let ports = Int(try attributes().portCount)
        guard number >= 1, Int(number) <= ports else {
            throw PeerMRError(
                .invalidArgument, reason: "\(device) has no port \(number): it has \(ports)",
                remedy: "name one of them with --device-port; they are counted from 1")
        }
        guard try port(number).isActive else {
            throw PeerMRError(
                .disconnected, reason: "port \(number) of \(device) is down",
                remedy: "see rdma link show, and bring the interface up (ip link set IFNAME up)")
        }
        let limit = try messageLimit(port: number)
        guard size <= limit else {
            throw PeerMRError(
                .resourceLimit, reason: "\(device) has no messages of \(size) bytes: its longest have \(limit)",
                remedy: "take a smaller --size")
        }
    }

    /// The GID to be reached by: the one that was named, or the one of the address that leads to the peer.
    ///
    /// - Returns: nil on InfiniBand, where LIDs do and the port demands no more.
    func chooseGID(_ index: Int?, port: UInt8, preferring address: [UInt8]?) throws(PeerMRError) -> GIDEntry? {
        let all = try gids(port: port)
        if let index {
            if let found = all.first(where: { $0.index == index && !$0.gid.isEmpty }) { return found }
            let names = all.prefix(8).map { "\($0.index) (\($0.gid))" }.joined(separator: ", ")
            throw PeerMRError(
                .notFound, reason: "GID index \(index) of \(device) holds no address",
                remedy: names.isEmpty
                    ? "give its network interface an address (ip addr add)"
                    : "name one with --gid-index that does: \(names)")
        }
        let state = try self.port(port)
        if state.localIdentifier != 0, !state.requiresGID { return nil }
        let usable = all.filter { !$0.gid.isEmpty }
        let found =
            usable.first { $0.isRoutable && $0.gid.bytes == address } ?? usable.first {
                $0.isRoutable && $0.gid.isMappedIPv4
            }
            ?? usable.first { $0.gid.bytes == address } ?? usable.first
        guard let found else {
            throw PeerMRError(
                .notFound, reason: "port \(port) of \(device) has neither a LID nor a GID with an address",
                remedy: "give its network interface an address (ip addr add)")
        }
        return found
    }
}

extension PeerMRError {
    fileprivate static func tooSmall(_ found: Int, _ needed: Int) -> PeerMRError {
        PeerMRError(
            .resourceLimit, reason: "the memory has \(found) bytes, and two messages need \(needed)",
            remedy: "take a smaller --size, or more memory")
    }

    static let noTextInBuffers = PeerMRError(
        .notSupported,
        reason: "with --cm the processor looks at bytes in memory that has an address, and no dma-buf has",
        remedy: "leave --cm out, or --validate as a server; or take host memory or p2pmem at this end")

    fileprivate static func partOfMemory(_ count: Int) -> PeerMRError {
        PeerMRError(
            .unsafeConfiguration, reason: "the memory cannot be used in parts of \(count) bytes",
            remedy: "take another --size, or host memory")
    }
}
