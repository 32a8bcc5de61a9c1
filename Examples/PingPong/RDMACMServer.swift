// SPDX-License-Identifier: Apache-2.0

import CommandSupport
import Glibc
import PeerMR
import PeerMRCore
import Synchronization

/// A server for `rping`: one client, or with `--persistent` any number, each in a thread of its own.
final class RDMACMServer {
    private let path: PathArguments
    private let options: EndpointOptions
    private let runs: RunOptions
    private let waits: Bool
    private var sessions: [Connection.Identity: Session] = [:]

    /// The longest ping that `rping` sends.
    private static let sizeLimit = 65_536

    init(_ path: PathArguments, _ endpoint: EndpointOptions, _ runs: RunOptions) {
        var options = endpoint
        options.depth = 4
        options.waits = false
        options.sizeLimit = max(endpoint.sizeLimit, Self.sizeLimit)
        self.options = options
        self.path = path
        self.runs = runs
        waits = endpoint.waits
    }

    /// Serves until the one client has ended, or for ever.
    func run() throws(PeerMRError) -> Int32 {
        let events = try EventChannel()
        let listener = try Connection(events)
        let address = try SocketAddress(resolving: path.bind ?? "0.0.0.0", port: path.tcpPort)
        try listener.listen(on: address)
        say("waiting for clients on \(address)")
        while true {
            let event = try events.next(within: 200)
            if let event { handle(event) }
            if let status = reap(), !path.persistent { return status }
        }
    }

    private func handle(_ event: ConnectionEvent) {
        switch event.kind {
        case .connectRequest:
            guard let connection = event.request else { return }
            let status = program.status { () throws(PeerMRError) in
                sessions[connection.identity] = try Session(connection, options, runs, waits: waits)
                return 0
            }
            // What cannot be served is told so, by a refusal.
            if status != 0 { connection.reject(privateData: []) }
        case .established: sessions[event.identity]?.start()
        case .disconnected: sessions[event.identity]?.connection.disconnect()
        case .connectError, .unreachable, .rejected, .deviceRemoval:
            say("error: \(PeerMRError.notEstablished(event))")
            sessions[event.identity]?.abandon()
        default: break
        }
    }

    /// Destroys the sessions that have ended.
    ///
    /// - Returns: the exit status of one of them; nil where none has ended.
    private func reap() -> Int32? {
        var status: Int32?
        for (identity, session) in sessions {
            guard let ended = session.ended else { continue }
            session.join()
            sessions[identity] = nil
            status = max(status ?? 0, ended)
        }
        return status
    }
}

/// One client of a server.
private final class Session: @unchecked Sendable {
    let connection: Connection
    private var end: PingEndpoint
    private let plan: LoopPlan
    private let result = Mutex<Int32?>(nil)
    private var thread: SystemThread?

    /// Makes the queue pair and accepts the connection.
    init(_ connection: Connection, _ options: EndpointOptions, _ runs: RunOptions, waits: Bool) throws(PeerMRError) {
        let context = try connection.openContext()
        try context.checkPort(connection.portNumber, size: UInt64(options.sizeLimit))
        var end = try PingEndpoint(Endpoint(context, connection: connection, options))
        plan = try .ping(end.endpoint, size: options.sizeLimit, runs, waits: waits, isClient: false, peerSocket: -1)
        try end.prepare(plan)
        try connection.accept(privateData: [])
        self.end = end
        self.connection = connection
    }

    /// The exit status of a session that has ended.
    var ended: Int32? { result.withLock { $0 } }

    /// Serves in a thread of its own; it ends when the connection is disconnected.
    func start() {
        guard thread == nil else { return }
        thread = try? SystemThread { [self] in serve() }
        if thread == nil { abandon() }
    }

    /// Ends a session that has not begun.
    func abandon() { result.withLock { $0 = $0 ?? 1 } }

    /// Waits for the thread, which has ended or is about to.
    func join() {
        thread?.join()
    }

    private func serve() {
        let status = program.status { () throws(PeerMRError) in
            try end.endpoint.queuePair.check(end.endpoint.region.keys.constraint)
            let client = connection.peerAddress.map { "\($0)" } ?? "a client"
            say(
                "serving \(client); memory here: \(end.endpoint.region.kind.rawValue), "
                    + end.endpoint.region.choice.reason)
            var pings = 0
            var ended = LoopEnd.complete
            while case .complete = ended { ended = end.pong(plan, &pings) }
            // Between two pings a client may go: what was posted is flushed then.
            guard case .failed(.flushed, _) = ended else { throw .loop(ended) }
            say("\(client) has gone after \(pings) pings")
            return 0
        }
        connection.disconnect()
        result.withLock { $0 = status }
    }
}
