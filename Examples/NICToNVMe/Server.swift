// SPDX-License-Identifier: Apache-2.0

import CLinux
import PeerMR
import PeerStorage
import SystemPackage

/// Tries of 4.096 µs times 2 to the power of 16, about a quarter of a second: a lost peer is found in 2 to 4 seconds.
let acknowledgeExponent: UInt8 = 16

/// What the server was told on its command line.
struct ServerOptions {
    var memory: MemoryRequest
    var fallback: Fallback
    var slotBytes: UInt32
    var slotCount: UInt16
    var alwaysFlush: Bool
    var timeoutSeconds: Int
    var allow: AllowList
    var json: Bool
    /// Whether to stop after one transfer.
    var once: Bool

    /// The slots of one client: peer memory comes wiped, host memory zero.
    func allocateSlots(on domain: ProtectionDomain) throws(CallError) -> PeerRegion {
        var access: Access = [.localWrite, .remoteWrite]
        if alwaysFlush || NICKind(of: domain.context.device) == .device { access.insert(.remoteRead) }
        return try PeerRegion.allocate(
            Int(slotBytes) * Int(slotCount), of: memory, on: domain, access: access,
            fallback: fallback)
    }

    /// Whether arrivals must be made sure of before the drive is started on them.
    func mustFlush(_ region: borrowing PeerRegion) -> Bool {
        alwaysFlush || PeerWriteFlush.isNeeded(for: region)
    }
}

/// A client that may connect, and what it wants.
private struct Request {
    let connection: Connection
    let client: String
    let hello: Hello
}

/// Listens, and serves one client at a time, until it is told to stop.
final class Server {
    private let options: ServerOptions
    private let drive: Drive
    private let events: EventChannel
    private let listener: Connection
    private let domain: ProtectionDomain
    private let signals: OwnedDescriptor
    private var session: Session?
    /// A client that asked while the last one's connection was being taken down: served when that is over.
    private var waiting: Request?
    private var isStopping = false
    private var exitStatus: Int32 = 0

    /// Listens on an address; allocates and registers slots once, so that what cannot work is said at once.
    init(
        _ options: ServerOptions, queue: consuming StorageQueue, address: SocketAddress
    ) throws(CallError) {
        self.options = options
        drive = Drive(queue)
        events = try EventChannel()
        listener = try Connection(events)
        try listener.listen(on: address)
        guard let context = listener.context else {
            throw CallError(.notFound, reason: "no RDMA device has the address \(address.host)")
        }
        domain = try ProtectionDomain(context)
        signals = OwnedDescriptor(adopting: peermr_termination_descriptor())
        let trial = try options.allocateSlots(on: domain)
        announce(trial, on: context.device, at: address)
    }

    private func announce(
        _ region: borrowing PeerRegion, on device: Device, at address: SocketAddress
    ) {
        if let reason = region.bounceReason { say("bouncing through host memory: \(reason)") }
        let owner = region.provider.map { " of \($0)" } ?? ""
        let range = drive.queue.range
        say(
            "\(options.slotCount) slots of \(ByteCount.describe(options.slotBytes)) in \(region.kind.rawValue)\(owner), \(region.choice.method.rawValue) because \(region.choice.reason)"
        )
        if region.nic == .software {
            say("\(device) is a software device: the CPU copies in the kernel, no NIC does DMA")
        }
        say(
            "serving \(drive.queue.device.path), bytes \(range.offset) to \(range.offset + range.byteCount), on \(address) over \(device)"
        )
    }

    /// Serves until SIGINT, SIGTERM or SIGHUP, or for one transfer.
    ///
    /// - Returns: the exit status: 0, or 1 when the one transfer failed.
    func run() throws(CallError) -> Int32 {
        while !(isStopping && session == nil) {
            let isBusy = session?.pump() ?? false
            try wait(isBusy ? 0 : 200)
            while let event = try events.next() { handle(event) }
            session?.watch()
            if session?.isOver ?? false { finish() }
        }
        return exitStatus
    }

    private func wait(_ milliseconds: Int32) throws(CallError) {
        let ready: UInt8
        do {
            ready = try waitReadable(
                [
                    signals.rawValue, events.descriptor, session?.descriptor ?? -1,
                    drive.queue.descriptor,
                ], milliseconds: milliseconds)
        } catch {
            throw CallError(.system, call: "poll", errno: error, reason: "the server cannot wait")
        }
        if ready & 1 != 0, !isStopping {
            isStopping = true
            say("stopping")
            session?.fail(CallError(.refused, reason: "the server was told to stop"))
        }
    }

    private func handle(_ event: ConnectionEvent) {
        if let connection = event.request {
            answer(connection) { () throws(Refusal) in
                try admit(try examine(connection, event.privateData))
            }
            return
        }
        guard let session, event.identity == session.connection.identity else { return }
        switch event.kind {
        case .established: session.establish()
        case .disconnected, .unreachable, .connectError, .rejected, .deviceRemoval, .addressChange:
            session.peerDisconnected()
        default: break
        }
    }

    /// Does what leads to a session; a refusal is sent to the client.
    private func answer(_ connection: Connection, _ body: () throws(Refusal) -> Void) {
        do throws(Refusal) {
            try body()
        } catch {
            say("refused \(connection.peerAddress?.host ?? "?"): \(error.code.words)")
            connection.reject(privateData: error.bytes)
        }
    }

    private func examine(
        _ connection: Connection, _ privateData: [UInt8]
    ) throws(Refusal) -> Request {
        guard options.allow.admits(connection.peerAddress, local: connection.localAddress) else {
            throw Refusal(.notAllowed)
        }
        return Request(
            connection: connection, client: connection.peerAddress?.host ?? "?",
            hello: try Hello(parsing: privateData))
    }

    private func admit(_ request: Request) throws(Refusal) {
        guard !isStopping else { throw Refusal(.stopping) }
        if let session, session.isEnding, waiting == nil {
            waiting = request
            return
        }
        guard session == nil else { throw Refusal(.busy) }
        session = try Session(
            request.connection, client: request.client, hello: request.hello, options: options,
            drive: drive, domain: domain)
    }

    /// Lets go of a session: queue pair, region and slots go with it.
    private func finish() {
        guard let ended = session else { return }
        report(ended)
        session = nil
        if options.once {
            isStopping = true
            exitStatus = ended.failure == nil ? 0 : 1
        }
        guard let next = waiting else { return }
        waiting = nil
        answer(next.connection) { () throws(Refusal) in try admit(next) }
    }

    private func report(_ session: Session) {
        let verb = session.hello.operation == .put ? "put" : "get"
        let count = session.count
        if let failure = session.failure {
            say("\(verb) by \(session.client) failed: \(failure); its slots and queue pair are free again")
        } else {
            say("\(verb) by \(session.client): \(session.hello.byteCount) bytes, \(count.peerToPeer) through peer memory, \(count.bounced) bounced")
        }
        guard options.json else { return }
        printJSON([
            ("event", .text("transfer")), ("operation", .text(verb)),
            ("client", .text(session.client)), ("bytes", .count(session.hello.byteCount)),
            ("complete", .flag(session.isComplete && session.failure == nil)),
            ("bytesPeerToPeer", .count(count.peerToPeer)),
            ("bytesBounced", .count(count.bounced)), ("bytesHost", .count(count.host)),
            ("seconds", .number(session.seconds)),
            ("error", session.failure.map { .text($0.description) } ?? .null),
        ])
    }
}
