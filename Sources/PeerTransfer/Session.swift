// SPDX-License-Identifier: Apache-2.0

import PeerMR
import PeerStorage
import SystemPackage

/// A client that is served, to the end of its connection. It has a part of the slots, and a lane to the drive.
final class Session: Guest {
    let plan: TransferPlan
    let lane: Int
    private let context: TransferContext
    private let drive: SharedDrive
    private let options: DriveServer.Options
    private let attention: Attention
    private var transfer: (any Transfer)?
    /// What is done now: what has been put may be read back.
    private var operation: Operation
    private let tell: (DriveServer.Event) -> Void
    /// Since when the client, and the drive, have been waited for.
    private var clientClock = Clock()
    private var driveClock = Clock()
    private var meter = Meter()
    private var started: UInt64 = 0
    /// Why it ended before its time; nil while all is well.
    private(set) var failure: PeerMRError?
    /// When the connection is taken down after a last message; nil while it is in use.
    private var closeAt: UInt64?
    private(set) var isDisconnected = false
    /// From the first credit to the last acknowledgement, for people.
    private(set) var seconds = 0.0

    /// Takes a client that has said what it wants, in place of its greeting, and offers it the slots.
    ///
    /// - Parameter region: the client's part of the slots, for it alone.
    /// - Throws: the refusal to answer with, after reporting what concerns the server alone.
    init(
        _ greeting: Greeting, _ plan: TransferPlan, _ options: DriveServer.Options, _ region: consuming PeerRegion,
        _ drive: SharedDrive, lane: Int, _ attention: Attention, report: @escaping (DriveServer.Event) -> Void
    ) throws(PeerMRError) {
        self.plan = plan
        self.lane = lane
        operation = plan.hello.operation
        self.drive = drive
        self.options = options
        self.attention = attention
        tell = report
        let seesBytes = options.checksDigests && region.kind == .host
        let welcome = Self.welcome(region, plan, options, seesBytes)
        context = TransferContext(
            link: greeting.link, region: region, plan: plan, seesBytes: seesBytes, drive: drive, lane: lane)
        super.init(client: greeting.client, connection: greeting.connection, link: greeting.link)
        try link.open()
        try greeting.answer(plan.hello, with: welcome)
    }

    private static func welcome(
        _ region: borrowing PeerRegion, _ plan: TransferPlan, _ options: DriveServer.Options, _ seesBytes: Bool
    ) -> Welcome {
        Welcome(
            slotCount: UInt16(plan.chunks.slotCount), slotBytes: UInt32(plan.chunks.slotBytes),
            capacity: plan.range.upperBound - plan.range.lowerBound, blockBytes: UInt32(plan.chunks.blockBytes),
            buffer: RemoteAddress(address: region.keys.address, key: region.keys.remoteKey),
            memory: region.kind, method: region.choice.method, nic: region.nic,
            isBounce: region.bounceReason != nil, hasDigests: seesBytes,
            limits: TransferLimits(
                clientSeconds: UInt32(plan.timeoutSeconds), driveSeconds: UInt32(options.driveTimeoutSeconds),
                minimumRate: options.minimumRate))
    }

    override func take(_ tag: Tag, _ completion: Completion) throws(PeerMRError) {
        clientClock.reset()
        guard failure == nil, !isDisconnected, let transfer else { return }
        try transfer.handle(tag, completion)
        progressed(transfer)
    }

    /// Ends it with a reason; the client is told where that can still reach it.
    override func fail(_ error: PeerMRError) { fail(error, telling: nil) }
}

extension Session {
    /// How it went, for the application.
    var report: TransferReport {
        TransferReport(
            operation: operation, client: client, byteCount: plan.hello.byteCount, count: context.count,
            seconds: seconds, failure: failure)
    }
    /// Whether the transfer has been done to its end.
    var isComplete: Bool { transfer?.isComplete ?? false }
    /// Whether its transfer is over, one way or the other, and only its connection is left to take down.
    var isEnding: Bool { failure != nil || isComplete && !mayReadBack }
    /// Whether no work of it is outstanding, so that it can be destroyed.
    var isOver: Bool { isDisconnected && drive.inFlight(lane) == 0 }
    /// Whether what it has put is still to come back.
    private var mayReadBack: Bool { plan.hello.isReadBack && operation == .put && !isDisconnected }

    /// The transfer begins, if the path is fit for the slots.
    func begin() {
        started = monotonicNanoseconds()
        do throws(PeerMRError) {
            do throws(PeerMRError) { try link.checkPath(context.region.keys.constraint) } catch {
                throw error.from(.operator)
            }
            let transfer: any Transfer =
                operation == .put
                ? try PutTransfer(context, ensureArrival: options.mustFlush(context.region))
                : GetTransfer(context)
            self.transfer = transfer
            try transfer.begin()
        } catch { fail(error) }
    }

    /// The drive has finished an operation of this session.
    func take(_ completion: StorageCompletion) {
        driveClock.reset()
        guard failure == nil, !isDisconnected, let transfer else { return attention.isDue = true }
        do { try transfer.handle(completion) } catch { return fail(error) }
        progressed(transfer)
    }

    /// The drive has not taken what it was told to begin.
    func fail(starting error: Errno) {
        if drive.inFlight(lane) > 0 { fail(context.failure(error, "start on")) }
    }

    /// Looks what has become of the transfer, which the caller holds: the property would be counted each time.
    private func progressed(_ transfer: any Transfer) {
        if seconds == 0, transfer.isComplete {
            seconds = Double(monotonicNanoseconds() - started) / 1e9
            close(within: mayReadBack ? UInt64(plan.timeoutSeconds) : 5)
        }
        if transfer.wantsReadBack { readBack() }
    }

    /// The second half of a put that is read back: a transfer of its own for those who count.
    private func readBack() {
        tell(.ended(report))
        operation = .get
        context.count = TransferCount()
        closeAt = nil
        seconds = 0
        started = monotonicNanoseconds()
        let transfer = GetTransfer(context)
        self.transfer = transfer
        meter = Meter()
        do throws(PeerMRError) { try transfer.begin() } catch { fail(error) }
    }

    /// Looks after silence: a dead client, one that makes no headway or too little, a drive that does not, and the end
    /// of a last message's time.
    func checkTimeouts(_ now: UInt64) {
        if let closeAt, now >= closeAt { disconnect() }
        driveClock.run(drive.outstanding(lane) > 0, now)
        guard !isDisconnected, failure == nil, !isComplete else { return }
        do {
            try link.probe(afterSeconds: 2)
            if driveClock.beats(now) { try link.send(.waiting) }
        } catch { fail(error) }
        let isOwing = transfer?.awaitsClient ?? true
        clientClock.run(isOwing, now)
        let rate = meter.rate(transfer?.clientBytes ?? 0, isOwing, over: plan.timeoutSeconds, now)
        if driveClock.seconds(now) > options.driveTimeoutSeconds {
            fail(.driveStuck(.timedOut, drive.drive.path, options.driveTimeoutSeconds, drive.outstanding(lane)))
        } else if clientClock.seconds(now) > plan.timeoutSeconds {
            fail(.clientStuck(plan.timeoutSeconds), telling: (.tooSlow, plan.timeoutSeconds))
        } else if let rate, rate < options.minimumRate {
            let least = Int(clamping: (options.minimumRate + 1023) >> 10)
            fail(.clientTrickles(rate, options.minimumRate, plan.timeoutSeconds), telling: (.belowRate, least))
        }
    }

    /// Whether its connection is down, and the drive keeps it from being over.
    var isHeldByDrive: Bool { isDisconnected && drive.inFlight(lane) > 0 }

    private func fail(_ error: PeerMRError, telling what: (Refusal.Code, Int)?) {
        guard failure == nil, !isComplete, !isDisconnected else { return disconnect() }
        // What the drive has not begun must not wait for the next client's slots.
        drive.drop(lane)
        // A drive that is pulled out takes its memory along, and the connection with it.
        let error = drive.drive.isPresent ? error.from(.client) : .gone(drive.drive.path)
        failure = error
        guard let (code, detail) = what ?? farewell(error) else { return disconnect() }
        do {
            try link.send(.failed(code, errno: UInt16(clamping: detail)))
            close(within: 1)
        } catch { disconnect() }
    }

    /// What a client is told; nil where nothing reaches it any more.
    private func farewell(_ error: PeerMRError) -> (Refusal.Code, Int)? {
        switch error.origin {
        case .drive: (.driveFailed, Int(error.errno?.rawValue ?? 5))
        case .operator where error.code == .unsafeConfiguration: (.smallPackets, link.usableMTU)
        case .operator: (.stopping, 0)
        case .nic: (.deviceFailed, Int(error.errno?.rawValue ?? 0))
        default:
            switch error.code {
            case .protocolViolation: (.outOfTurn, 0)
            case .dataMismatch: (.changed, 0)
            default: nil
            }
        }
    }

    /// Ends it without a word: there is no device that could carry one.
    func lose(_ error: PeerMRError) {
        // What failed just before was already its doing, and not the client's.
        let wasLost = failure == nil || failure?.code == .disconnected || failure?.origin == .nic
        if !isComplete, wasLost { failure = error }
        disconnect()
    }

    /// The client has ended the connection, or is gone. What it said before that has been taken.
    func peerDisconnected() {
        if failure == nil, !isComplete {
            failure = drive.drive.isPresent ? .clientGone() : .gone(drive.drive.path)
        }
        disconnect()
    }

    private func close(within seconds: UInt64) {
        closeAt = monotonicNanoseconds() + seconds * 1_000_000_000
    }

    /// Takes the connection down. The slots stay until the drive is through with them.
    func disconnect() {
        guard !isDisconnected else { return }
        isDisconnected = true
        attention.isDue = true
        drive.drop(lane)
        connection.disconnect()
    }
}
