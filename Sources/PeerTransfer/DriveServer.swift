// SPDX-License-Identifier: Apache-2.0

public import PeerMR
public import PeerStorage
import SystemPackage

/// Serves a range of a drive to clients over RDMA, through slots in peer memory; many clients at once.
///
/// `put`: the client's NIC writes into a slot, the drive writes the slot to its blocks; acknowledged after a flush.
/// `get`: the drive reads into a slot, the NIC writes it into the client's memory. No CPU of this host touches the
/// bytes.
///
/// Every client that is served has an equal part of the slots, and its turn at the drive, by bytes. Clients beyond that
/// wait in a queue; a client whose blocks another one writes, or writes while it reads them, is refused. Belongs to one
/// thread, and makes no other.
public final class DriveServer {
    let options: Options
    let drive: SharedDrive
    let shared: SharedQueue
    let pool: SlotPool
    let domain: ProtectionDomain
    let report: (Event) -> Void
    let attention = Attention()
    private let events: EventChannel
    private let listener: Connection
    private let stop: Int32
    /// The clients that are served, by their lanes to the drive.
    var sessions: [Session?]
    /// The memory that each has.
    var parts: [(any SlotPart)?]
    /// Clients that wait for their turn, the first in front.
    var queue: [Waiting] = []
    /// Clients that have not said yet what they want, or were refused.
    var greetings: [Greeting] = []
    var isStopping = false
    var failures = 0
    /// What ends the server: its device or its drive is gone.
    private var loss: PeerMRError?
    private var isDeviceLost = false
    /// Since when the drive has finished nothing at all.
    var driveClock = Clock()
    private var isStopWatched = true
    /// Whether the last step had something to do, and when it was last looked for what only the kernel tells.
    private var isBusy = false
    private var lookedAroundAt: UInt64 = 0
    /// Whether the next completion makes the channel readable.
    private var isArmed = false
    private var checkedAt: UInt64 = 0
    private var lookedAtDriveAt: UInt64 = 0

    /// Listens on an address; allocates and registers slots once, so that what cannot work is said at once.
    ///
    /// - Parameters:
    ///   - options: the memory of the slots, their size and number, and the clients that are served.
    ///   - queue: the drive and the range that is offered, and nothing else of it; the server becomes its owner. Its
    ///     depth is how many operations of all clients are at the drive at once.
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
        events = try EventChannel()
        listener = try Connection(events)
        // The kernel holds requests that have not been looked at yet.
        try listener.listen(on: address, backlog: Int32(clamping: options.greetingRoom))
        guard let context = listener.context else {
            throw .wildcardAddress(address.host, ((try? Device.all()) ?? []).map(\.name))
        }
        domain = try ProtectionDomain(context)
        try context.makeEventsNonBlocking()
        let others = options.queueRoom + options.greetingRoom
        pool = try options.pool(on: domain, seats: options.seats(besides: others, on: context))
        shared = try SharedQueue(
            context, seats: pool.count + others + 1,
            capacity: pool.count * options.completions + (others + 1) * Link.earlyCompletions)
        self.drive = SharedDrive(
            drive, lanes: pool.count, slotCount: Int(options.slotCount), slotBytes: Int(options.slotBytes))
        sessions = Array(repeating: nil, count: pool.count)
        parts = Array(repeating: nil, count: pool.count)
        try offer(on: address)
    }

    /// Says what is served, after a region that proves it.
    private func offer(on address: SocketAddress) throws(PeerMRError) {
        guard let part = pool.take() else { return }
        defer { pool.giveBack(part, isSoiled: false) }
        let trial = try pool.register(part)
        if let reason = trial.bounceReason { report(.bouncing(reason)) }
        report(
            .serving(
                Offer(
                    path: drive.drive.path, range: drive.drive.range, address: address,
                    device: domain.context.device, nic: trial.nic, memory: trial.kind, provider: trial.provider,
                    choice: trial.choice, slotBytes: options.slotBytes, slotCount: options.slotCount,
                    clientCount: pool.count, isOpen: options.key == nil && !options.allow.isEmpty)))
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
    package var isIdle: Bool { !isServing && queue.isEmpty && greetings.isEmpty }

    var isServing: Bool { sessions.contains { $0 != nil } }

    func eachSession(_ body: (Session) -> Void) {
        for lane in sessions.indices { if let session = sessions[lane] { body(session) } }
    }
}

// MARK: - The loop

extension DriveServer {
    /// How long a busy server may take what comes from NIC and drive alone, and how often it looks at the clock for all
    /// clients, in nanoseconds.
    private static let lookInterval: UInt64 = 200_000
    private static let checkInterval: UInt64 = 50_000_000

    /// Does what there is to do, or waits a moment for something.
    ///
    /// - Returns: false when it has been told to stop, and nobody is served any more.
    package func step() throws(PeerMRError) -> Bool {
        if isStopping, !isServing, isDeviceLost || greetings.isEmpty {
            if let loss { throw loss }
            return false
        }
        let now = monotonicNanoseconds()
        if !isBusy || now - lookedAroundAt >= Self.lookInterval {
            lookedAroundAt = now
            try lookAround()
        }
        isBusy = serve()
        if pool.soiledCount > 0, !isStopping { wipe() }
        if !isBusy, !isArmed { arm() }
        if attention.hasGreeting { hearGreetings() }
        if now - checkedAt >= Self.checkInterval { check(now) }
        if attention.isDue { finishSessions() }
        return true
    }

    /// Wipes some more of what clients have left in their slots.
    private func wipe() {
        isBusy = true
        do throws(PeerMRError) {
            if try pool.wipeSome() { advance() }
        } catch {
            end(error, Refusal(.noMemory, detail: UInt64(error.errno?.rawValue ?? 0)))
        }
    }

    /// Takes what NIC and drive have done, and hands the drive more.
    private func serve() -> Bool {
        let hasPolled = poll()
        let hasStored = takeStorage()
        do throws(Errno) {
            try drive.start { lane, completion in sessions[lane]?.take(completion) }
        } catch {
            // These pass; what was prepared is begun the next time.
            guard ![.interrupted, .resourceTemporarilyUnavailable, .resourceBusy].contains(error) else { return true }
            eachSession { $0.fail(starting: error) }
        }
        return hasPolled || hasStored
    }

    @discardableResult
    func poll() -> Bool {
        do throws(PeerMRError) { return try shared.poll() } catch {
            // All connections have lost their device.
            lose(error)
            return false
        }
    }

    private func takeStorage() -> Bool {
        var any = false
        while let (lane, completion) = drive.next() {
            any = true
            sessions[lane]?.take(completion)
        }
        if any { driveClock.reset() }
        return any
    }

    /// Asks to be woken, and looks once more: what came before that makes no event.
    private func arm() {
        // Where the device refuses, the queue is looked at every now and then all the same.
        do { try shared.request() } catch { return }
        isArmed = true
        isBusy = true
    }

    /// Takes what only the kernel tells; waits for it, or for NIC and drive, where there is nothing else to do.
    private func lookAround() throws(PeerMRError) {
        let ready: UInt8
        do {
            ready = try waitReadable(
                [
                    isStopWatched ? stop : -1, events.descriptor, shared.channel.descriptor, drive.drive.descriptor,
                    domain.context.eventDescriptor,
                ], milliseconds: isBusy ? 0 : isArmed ? 200 : 1)
        } catch {
            throw .waitFailed(error, "server")
        }
        if ready & 1 != 0 { try hearStop() }
        if ready & 4 != 0 {
            shared.channel.drain()
            isArmed = false
        }
        // First what tells why requests may have failed.
        while let event = domain.context.nextEvent() { if event == .deviceFatal { loseDevice() } }
        while let event = try events.next() { handle(event) }
        lookAtDrive()
    }

    /// Looks after all clients' time limits.
    private func check(_ now: UInt64) {
        checkedAt = now
        driveClock.run(drive.drive.inFlight > 0, now)
        if driveClock.strikes(now) {
            report(.waitingForDrive(seconds: driveClock.seconds(now), operations: drive.drive.inFlight))
        }
        eachSession { $0.checkTimeouts(now) }
        hearGreetings()
        checkQueue(monotonicNanoseconds())
    }

    /// The first time ends what is served in an orderly way; the second does not wait for the drive.
    private func hearStop() throws(PeerMRError) {
        isStopWatched = takeSignal(from: stop)
        guard isStopping else {
            isStopping = true
            report(.stopping)
            eachSession { $0.fail(.serverStopped()) }
            sendAway(Refusal(.stopping))
            return
        }
        guard isStopWatched, drive.drive.inFlight > 0 else { return }
        throw .driveAbandoned(drive.drive.path, drive.drive.inFlight)
    }

    /// Looks once a second whether the drive is still there: nobody tells of one that is idle.
    private func lookAtDrive() {
        let now = monotonicNanoseconds()
        guard loss == nil, now - lookedAtDriveAt > 1_000_000_000 else { return }
        lookedAtDriveAt = now
        guard !drive.drive.isPresent else { return }
        let error = PeerMRError.gone(drive.drive.path)
        end(error, Refusal(.driveFailed, detail: UInt64(error.errno?.rawValue ?? 0)))
    }

    /// Ends the server: nothing can be served any more.
    private func end(_ error: PeerMRError, _ refusal: Refusal) {
        loss = loss ?? error
        isStopping = true
        eachSession { $0.fail(error) }
        sendAway(refusal)
    }

    /// Looks at the drive when a session has ended, whenever it was last looked at.
    func lookAtDriveAgain() {
        lookedAtDriveAt = 0
        lookAtDrive()
    }

    private func loseDevice() { lose(.deviceRemoved(domain.context.device)) }

    private func lose(_ error: PeerMRError) {
        guard !isDeviceLost else { return }
        isDeviceLost = true
        loss = loss ?? error
        isStopping = true
        eachSession { $0.lose(error) }
    }

    private func handle(_ event: ConnectionEvent) {
        if let connection = event.request { return greet(connection, event.privateData) }
        if event.kind == .deviceRemoval { return loseDevice() }
        if hearOfGreeting(event) { return }
        guard let session = sessions.first(where: { $0?.connection.identity == event.identity }) ?? nil else { return }
        switch event.kind {
        case .disconnected, .unreachable, .connectError, .rejected, .addressChange:
            // What came before the end is still in the queue: it may be all that was missing.
            poll()
            session.peerDisconnected()
        default: break
        }
    }
}
