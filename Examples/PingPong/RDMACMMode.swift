// SPDX-License-Identifier: Apache-2.0

import PeerMR

/// Either end of the protocol of `rping`, over the connection manager.
struct RDMACMMode {
    private let path: PathArguments
    private let endpoint: EndpointOptions
    private let runs: RunOptions
    private let report: Report

    init(_ path: PathArguments, _ messages: MessageArguments, _ endpoint: EndpointOptions, _ output: OutputArguments)
        throws(PeerMRError)
    {
        self.path = path
        self.endpoint = endpoint
        runs = messages.runs(output.timeout, usesCM: true)
        report = try output.report()
    }

    func run(_ host: String?) throws(PeerMRError) -> Int32 {
        if let host { return try client(host) }
        return try RDMACMServer(path, endpoint, runs).run()
    }

    /// One run for each size, over one connection.
    private func client(_ host: String) throws(PeerMRError) -> Int32 {
        let events = try EventChannel()
        let connection = try Connection(events)
        let server = try SocketAddress(resolving: host, port: path.tcpPort)
        let source = try path.bind.map { name throws(PeerMRError) in try SocketAddress(resolving: name, port: 0) }
        try connection.resolve(server, from: source)
        let context = try connection.openContext()
        try context.checkPort(connection.portNumber, size: UInt64(endpoint.sizeLimit))
        var end = try PingEndpoint(Endpoint(context, connection: connection, options))
        let first = try plan(end, size: runs.sizes[0], peerSocket: events.descriptor)
        try end.prepare(first)
        try connection.connect(privateData: [])
        try wait(for: events)
        try end.endpoint.queuePair.check(end.endpoint.region.keys.constraint)
        say(
            "connected to \(server); memory here: \(end.endpoint.region.kind.rawValue), "
                + end.endpoint.region.choice.reason)
        for size in runs.sizes {
            let plan = try plan(end, size: size, peerSocket: events.descriptor)
            end.advertise(count: size)
            let timestamps = Timestamps(count: runs.count)
            let ended = unsafe end.ping(plan, timestamps.times)
            guard case .complete = ended else { throw .loop(ended) }
            report.add(
                Run(
                    "ping", ways: 2, timestamps.intervals(after: runs.warmUp, count: runs.count), plan, runs,
                    end.endpoint.region))
        }
        connection.disconnect()
        try report.finish()
        return 0
    }

    /// A message for each of the few that are outstanding: `rping` keeps one receive.
    private var options: EndpointOptions {
        var options = endpoint
        options.depth = 4
        // An event is waited for together with news of the connection: the channel itself must not wait.
        options.waits = false
        return options
    }

    private func plan(_ end: borrowing PingEndpoint, size: Int, peerSocket: Int32) throws(PeerMRError) -> LoopPlan {
        try .ping(end.endpoint, size: size, runs, waits: endpoint.waits, isClient: true, peerSocket: peerSocket)
    }

    private func wait(for events: EventChannel) throws(PeerMRError) {
        guard let event = try events.next(within: Int32(clamping: runs.timeout * 1000)) else {
            throw PeerMRError(
                .disconnected, reason: "the server does not answer the request for a connection",
                remedy: "see whether ping-pong --cm or rping -s runs there, and the link is up")
        }
        guard event.kind == .established else { throw .notEstablished(event) }
    }
}

extension LoopPlan {
    /// The plan of a ping of `rping`; a server's is for the longest that it takes.
    static func ping(
        _ endpoint: borrowing Endpoint, size: Int, _ runs: RunOptions, waits: Bool, isClient: Bool, peerSocket: Int32
    ) throws(PeerMRError) -> LoopPlan {
        let outgoing = try endpoint.area(incoming: false, count: size)
        let incoming = try endpoint.area(incoming: true, count: size)
        // A client writes the text of its pings by the processor.
        guard endpoint.staging == nil || (!isClient && !runs.validates) else { throw .noTextInBuffers }
        return LoopPlan(
            operation: .send, isClient: isClient, count: runs.count, size: UInt32(size), waits: waits,
            isInline: false, outgoing: outgoing.entry, incoming: incoming.entry,
            remote: RemoteAddress(address: 0, key: 0),
            check: PatternCheck(
                isOn: runs.validates, mayEcho: false, isStaged: false, outgoing: outgoing.address,
                incoming: incoming.address),
            timeout: UInt64(runs.timeout) * 1_000_000_000, peerSocket: peerSocket)
    }
}

extension Connection {
    /// The device of a connection that has one.
    func openContext() throws(PeerMRError) -> Context {
        guard let context else {
            throw PeerMRError(
                .notFound, reason: "the connection has no RDMA device", remedy: "see rdma link show at both ends")
        }
        return context
    }
}

extension PeerMRError {
    static func notEstablished(_ event: ConnectionEvent) -> PeerMRError {
        PeerMRError(
            event.kind == .rejected ? .refused : .disconnected,
            reason: event.kind == .rejected
                ? "the server refuses the connection (\(event.kind), reason \(event.status))"
                : "the connection cannot be made (\(event.kind), status \(event.status))",
            remedy: "see whether ping-pong --cm or rping -s runs there on the same --port")
    }
}
