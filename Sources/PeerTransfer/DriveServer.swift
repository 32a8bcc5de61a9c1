// SPDX-License-Identifier: Apache-2.0

public import PeerMR
public import PeerStorage
import SystemPackage

/// A client that may connect, and what it wants.
private struct Request {
    let connection: Connection
    let client: String
    let grant: Grant
    let hello: Hello
}

/// Serves a range of a drive to clients over RDMA, through slots in peer memory; one client at a time.
///
/// `put`: the client's NIC writes into a slot, the drive writes the slot to its blocks; acknowledged after a flush.
/// `get`: the drive reads into a slot, the NIC writes it into the client's memory. No CPU of this host touches the
/// bytes. Belongs to one thread.
public final class DriveServer {
    private let options: Options
    private let drive: any Drive
    private let events: EventChannel
    private let listener: Connection
    private let domain: ProtectionDomain
    private let stop: Int32
    private let report: (Event) -> Void
    private var session: Session?
    /// A client that asked while the last one's connection was being taken down: served when that is over.
    private var waiting: Request?
    private var isStopping = false
    /// What ends the server: its device or its drive is gone.
    private var loss: PeerMRError?
    private var isStopWatched = true
    private var isBusy = false
    private var lookedAt: UInt64 = 0
    private var failures = 0

    /// Listens on an address; allocates and registers slots once, so that what cannot work is said at once.
    ///
    /// - Parameters:
    ///   - options: the memory of the slots, their size and number, and the clients that are served.
    ///   - queue: the drive and the range that is offered, and nothing else of it; the server becomes its owner.
    ///   - address: one of an interface that an RDMA device stands on.
    ///   - stop: a descriptor that becomes readable when the server is to stop, and again when it is to leave the drive
    ///     alone with what it has not finished; negative for none. Read from, not closed.
    ///   - report: is told what happens, on the thread that calls ``run()``.
    /// - Throws: `notFound` where no RDMA device has the address, and what allocation and registration throw.
    public convenience init(
        _ options: Options, queue: consuming StorageQueue, address: SocketAddress, stop: Int32,
        report: @escaping (Event) -> Void
    ) throws(PeerMRError) {
        try self.init(options, drive: BlockDrive(queue), address: address, stop: stop, report: report)
    }

    package init(
        _ options: Options, drive: any Drive, address: SocketAddress, stop: Int32,
        report: @escaping (Event) -> Void
    ) throws(PeerMRError) {
        try options.check(drive)
        self.options = options
        self.stop = stop
        self.report = report
        self.drive = drive
        events = try EventChannel()
        listener = try Connection(events)
        try listener.listen(on: address)
        guard let context = listener.context else {
            throw .wildcardAddress(address.host, ((try? Device.all()) ?? []).map(\.name))
        }
        domain = try ProtectionDomain(context)
        try context.makeEventsNonBlocking()
        let trial = try options.allocateSlots(on: domain)
        if let reason = trial.bounceReason { report(.bouncing(reason)) }
        report(
            .serving(
                Offer(
                    path: drive.path, range: drive.range, address: address,
                    device: context.device, nic: trial.nic, memory: trial.kind, provider: trial.provider,
                    choice: trial.choice, slotBytes: options.slotBytes, slotCount: options.slotCount)))
    }

    /// Serves until it is told to stop, or for one transfer.
    ///
    /// - Returns: how many transfers failed.
    /// - Throws: what ends the server: the RDMA device or the drive is gone (`disconnected`), the connection manager or
    ///   poll(2) fails, or it was told to stop a second time while the drive did not finish (`busy`).
    public func run() throws(PeerMRError) -> Int {
        while try step() {}
        return failures
    }

    /// Whether nobody is served.
    package var isIdle: Bool { session == nil }

    /// Does what there is to do, or waits a moment for something.
    ///
    /// - Returns: false when it has been told to stop, and nobody is served any more.
    package func step() throws(PeerMRError) -> Bool {
        guard !(isStopping && session == nil) else {
            if let loss { throw loss }
            return false
        }
        try wait(isBusy ? 0 : 200)
        // First what tells why requests may have failed.
        while let event = domain.context.nextEvent() { handle(event) }
        while let event = try events.next() { handle(event) }
        lookAtDrive()
        isBusy = session?.poll() ?? false
        session?.checkTimeouts()
        if session?.isOver ?? false { finish() }
        return true
    }

    private func wait(_ milliseconds: Int32) throws(PeerMRError) {
        let ready: UInt8
        do {
            ready = try waitReadable(
                [
                    isStopWatched ? stop : -1, events.descriptor, session?.descriptor ?? -1, drive.descriptor,
                    domain.context.eventDescriptor, -1,
                ], milliseconds: milliseconds)
        } catch {
            throw .waitFailed(error, "server")
        }
        if ready & 1 != 0 { try hearStop() }
    }

    /// The first time ends what is served in an orderly way; the second does not wait for the drive.
    private func hearStop() throws(PeerMRError) {
        isStopWatched = takeSignal(from: stop)
        guard isStopping else {
            isStopping = true
            report(.stopping)
            session?.fail(.serverStopped())
            return
        }
        guard isStopWatched, drive.inFlight > 0 else { return }
        throw .driveAbandoned(drive.path, drive.inFlight)
    }

    /// Looks once a second whether the drive is still there: nobody tells of one that is idle.
    private func lookAtDrive() {
        let now = monotonicNanoseconds()
        guard loss == nil, now - lookedAt > 1_000_000_000 else { return }
        lookedAt = now
        guard !drive.isPresent else { return }
        let error = PeerMRError.gone(drive.path)
        loss = error
        isStopping = true
        session?.fail(error)
    }

    private func handle(_ event: DeviceEvent) {
        if event == .deviceFatal { loseDevice() }
    }

    private func loseDevice() {
        guard loss == nil else { return }
        let error = PeerMRError.deviceRemoved(domain.context.device)
        loss = error
        isStopping = true
        session?.lose(error)
    }

    private func handle(_ event: ConnectionEvent) {
        if let connection = event.request {
            answer(connection) { () throws(Refusal) in
                try admit(try examine(connection, event.privateData))
            }
            return
        }
        if event.kind == .deviceRemoval { return loseDevice() }
        guard let session, event.identity == session.connection.identity else { return }
        switch event.kind {
        case .established: session.establish()
        case .disconnected, .unreachable, .connectError, .rejected, .addressChange: session.peerDisconnected()
        default: break
        }
    }

    /// Does what leads to a session; a refusal is sent to the client.
    private func answer(_ connection: Connection, _ body: () throws(Refusal) -> Void) {
        do throws(Refusal) {
            try body()
        } catch {
            report(.refused(client: connection.peerAddress?.host ?? "?", reason: error.words))
            connection.reject(privateData: error.bytes)
        }
    }

    private func examine(
        _ connection: Connection, _ privateData: [UInt8]
    ) throws(Refusal) -> Request {
        let grant = try grant(connection)
        return Request(
            connection: connection, client: connection.peerAddress?.host ?? "?", grant: grant,
            hello: try Hello(parsing: privateData))
    }

    /// What a client may do: by the path of its queue pair, because it has written its address itself.
    private func grant(_ connection: Connection) throws(Refusal) -> Grant {
        let claim = connection.peerAddress.flatMap { HostAddress($0) }
        let own = connection.localAddress.flatMap { HostAddress($0) }
        let applicant: Applicant
        do {
            applicant = Applicant(
                claim: claim, path: try connection.path(), isOverTCP: connection.context?.isIWARP ?? false,
                isInfiniBand: try connection.context?.port(connection.portNumber).isInfiniBand ?? false,
                isFromHere: claim != nil && claim == own)
        } catch {
            report(.unable(client: connection.peerAddress?.host ?? "?", error))
            throw Refusal(.noPath)
        }
        do { return try options.allow.admit(applicant) } catch { throw Refusal(error) }
    }

    private func admit(_ request: Request) throws(Refusal) {
        guard !isStopping else { throw Refusal(.stopping) }
        if let session, session.isHeldByDrive {
            throw Refusal(.driveFailed, detail: UInt64(Errno.timedOut.rawValue))
        }
        if let session, session.isEnding, waiting == nil {
            waiting = request
            return
        }
        guard session == nil else { throw Refusal(.busy) }
        session = try Session(
            request.connection, client: request.client, grant: request.grant, hello: request.hello, options: options,
            drive: drive, domain: domain, report: report)
    }

    /// Ends a session, with its queue pair, region and slots.
    private func finish() {
        guard let ended = session else { return }
        if ended.failure != nil { failures += 1 }
        report(.ended(ended.report))
        session = nil
        if options.once { isStopping = true }
        lookedAt = 0
        lookAtDrive()
        guard let next = waiting else { return }
        waiting = nil
        answer(next.connection) { () throws(Refusal) in try admit(next) }
    }
}
