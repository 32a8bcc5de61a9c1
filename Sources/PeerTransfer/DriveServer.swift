// SPDX-License-Identifier: Apache-2.0

public import PeerMR
public import PeerStorage
import SystemPackage

/// A client that has said what it wants.
private struct Request {
    let greeting: Greeting
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
    /// What tells of completions on all connections.
    private let channel: CompletionChannel
    private let stop: Int32
    private let report: (Event) -> Void
    private var session: Session?
    /// A client that asked while the last one's connection was being taken down: served when that is over.
    private var waiting: Request?
    private var greetings: [Greeting] = []
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
        channel = try CompletionChannel(context)
        let trial = try options.allocateSlots(on: domain)
        if let reason = trial.bounceReason { report(.bouncing(reason)) }
        report(
            .serving(
                Offer(
                    path: drive.path, range: drive.range, address: address,
                    device: context.device, nic: trial.nic, memory: trial.kind, provider: trial.provider,
                    choice: trial.choice, slotBytes: options.slotBytes, slotCount: options.slotCount,
                    isOpen: options.key == nil && !options.allow.isEmpty)))
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

    /// Whether nobody is served, or about to be.
    package var isIdle: Bool { session == nil && waiting == nil && greetings.isEmpty }

    /// Does what there is to do, or waits a moment for something.
    ///
    /// - Returns: false when it has been told to stop, and nobody is served any more.
    package func step() throws(PeerMRError) -> Bool {
        guard !(isStopping && session == nil) else {
            if let loss { throw loss }
            return false
        }
        try wait(isBusy ? 0 : 200)
        channel.drain()
        // First what tells why requests may have failed.
        while let event = domain.context.nextEvent() { handle(event) }
        while let event = try events.next() { handle(event) }
        lookAtDrive()
        isBusy = session?.poll() ?? false
        hearGreetings()
        session?.checkTimeouts()
        if session?.isOver ?? false { finish() }
        return true
    }

    private func wait(_ milliseconds: Int32) throws(PeerMRError) {
        let ready: UInt8
        do {
            ready = try waitReadable(
                [
                    isStopWatched ? stop : -1, events.descriptor, channel.descriptor, drive.descriptor,
                    domain.context.eventDescriptor,
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
        if let connection = event.request { return greet(connection, event.privateData) }
        if event.kind == .deviceRemoval { return loseDevice() }
        if hearOfGreeting(event) { return }
        guard let session, event.identity == session.connection.identity else { return }
        switch event.kind {
        case .established: session.establish()
        case .disconnected, .unreachable, .connectError, .rejected, .addressChange: session.peerDisconnected()
        default: break
        }
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
        let session = try Session(request.greeting, request.hello, options, drive, domain, report: report)
        self.session = session
        session.establish()
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
        do { try admit(next) } catch { refuse(next.greeting, error) }
    }
}

// MARK: - Clients before they are served

extension DriveServer {
    /// Looks at a connection request, and accepts it with a challenge, or refuses it.
    private func greet(_ connection: Connection, _ privateData: [UInt8]) {
        let client = connection.peerAddress?.host ?? "?"
        do throws(Refusal) {
            let (grant, path) = try look(at: connection, client)
            let preface = try Preface(parsing: privateData)
            guard !isStopping else { throw Refusal(.stopping) }
            guard greetings.count < Greeting.limit else { throw Refusal(.busy) }
            do {
                greetings.append(
                    try Greeting(
                        connection, client: client, grant: grant, preface: preface, path: path, key: options.key,
                        domain: domain, window: Int(options.slotCount), channel: channel))
            } catch {
                report(.unable(client: client, error))
                throw Refusal(.noMemory, detail: UInt64(error.errno?.rawValue ?? 0))
            }
        } catch {
            report(.refused(client: client, reason: error.words))
            connection.reject(privateData: error.bytes)
        }
    }

    /// What a client may do: by the path of its queue pair, because it has written its address itself.
    private func look(at connection: Connection, _ client: String) throws(Refusal) -> (Grant, ConnectionPath?) {
        let claim = connection.peerAddress.flatMap { HostAddress($0) }
        let own = connection.localAddress.flatMap { HostAddress($0) }
        let applicant: Applicant
        do {
            applicant = Applicant(
                claim: claim, path: try connection.path(), isOverTCP: connection.context?.isIWARP ?? false,
                isInfiniBand: try connection.context?.port(connection.portNumber).isInfiniBand ?? false,
                isFromHere: claim != nil && claim == own)
        } catch {
            report(.unable(client: client, error))
            throw Refusal(.noPath)
        }
        do { return (try options.allow.admit(applicant), applicant.path) } catch { throw Refusal(error) }
    }

    /// Takes what clients say that are not served yet.
    private func hearGreetings() {
        for greeting in greetings {
            do throws(PeerMRError) {
                switch try greeting.hear() {
                case .success(let hello)?:
                    greetings.removeAll { $0 === greeting }
                    do { try admit(Request(greeting: greeting, hello: hello)) } catch { refuse(greeting, error) }
                case .failure(let refusal)?:
                    greetings.removeAll { $0 === greeting }
                    refuse(greeting, refusal)
                case nil: break
                }
            } catch {
                if !greeting.isLeaving { report(.refused(client: greeting.client, reason: error.reason)) }
                end(greeting)
            }
        }
        for greeting in greetings where greeting.isOver { end(greeting) }
    }

    private func refuse(_ greeting: Greeting, _ refusal: Refusal) {
        report(.refused(client: greeting.client, reason: refusal.words))
        greeting.refuse(refusal)
        greetings.append(greeting)
    }

    private func end(_ greeting: Greeting) {
        greeting.connection.disconnect()
        greetings.removeAll { $0 === greeting }
    }

    /// - Returns: whether an event of the connection manager is about a client that is not served yet.
    private func hearOfGreeting(_ event: ConnectionEvent) -> Bool {
        let isOfWaiting = waiting?.greeting.connection.identity == event.identity
        let greeting = greetings.first { $0.connection.identity == event.identity }
        guard isOfWaiting || greeting != nil else { return false }
        switch event.kind {
        case .established: greeting?.establish()
        case .disconnected, .unreachable, .connectError, .rejected, .deviceRemoval, .addressChange:
            if isOfWaiting {
                waiting?.greeting.connection.disconnect()
                waiting = nil
            } else if let greeting {
                if !greeting.isLeaving { report(.refused(client: greeting.client, reason: "it has gone again")) }
                end(greeting)
            }
        default: break
        }
        return true
    }
}
