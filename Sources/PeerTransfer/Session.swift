// SPDX-License-Identifier: Apache-2.0

import PeerMR
import PeerStorage
import SystemPackage

/// One client, from its request to the end of its connection. The slots are allocated, and wiped, for it alone.
final class Session {
    let client: String
    let hello: Hello
    let connection: Connection
    private let link: Link
    private let context: TransferContext
    private let drive: any Drive
    private let options: DriveServer.Options
    private var transfer: (any Transfer)?
    /// What is done now: what has been put may be read back.
    private var operation: Operation
    private let tell: (DriveServer.Event) -> Void
    /// Since when the client, and the drive, have been waited for.
    private var clientClock = Clock()
    private var driveClock = Clock()
    private var started: UInt64 = 0
    /// Why it ended before its time; nil while all is well.
    private(set) var failure: PeerMRError?
    /// When the connection is taken down after a last message; nil while it is in use.
    private var closeAt: UInt64?
    /// Messages that are faster than the news of the connection wait in the queue until the transfer can take them.
    private var isEstablished = false
    private var isDisconnected = false
    /// From the first credit to the last acknowledgement, for people.
    private(set) var seconds = 0.0

    /// Takes a client that has said what it wants: checks it, allocates the slots, and offers them.
    ///
    /// - Throws: the refusal to answer with, after reporting what concerns the server alone.
    init(
        _ greeting: Greeting, _ hello: Hello, _ options: DriveServer.Options, _ drive: any Drive,
        _ domain: ProtectionDomain, report: @escaping (DriveServer.Event) -> Void
    ) throws(Refusal) {
        client = greeting.client
        operation = hello.operation
        self.hello = hello
        connection = greeting.connection
        link = greeting.link
        self.drive = drive
        self.options = options
        tell = report
        let grant = greeting.grant
        guard hello.operation == .get || !(options.isReadOnly || grant.isReadOnly) else { throw Refusal(.readOnly) }
        let range = grant.range ?? 0..<drive.range.byteCount
        let chunks = try Self.chunks(hello, options, range, UInt64(drive.blockBytes))
        do {
            let region = try options.allocateSlots(on: domain)
            let seesBytes = options.checksDigests && region.kind == .host
            let welcome = Self.welcome(region, chunks, range, seesBytes)
            context = TransferContext(
                link: link, region: region, chunks: chunks, hello: hello, base: range.lowerBound + hello.offset,
                seesBytes: seesBytes, drive: drive)
            try greeting.answer(hello, with: welcome)
        } catch {
            report(.unable(client: client, error))
            throw Refusal(.noMemory, detail: UInt64(error.errno?.rawValue ?? 0))
        }
    }

    private static func chunks(
        _ hello: Hello, _ options: DriveServer.Options, _ range: Range<UInt64>, _ block: UInt64
    ) throws(Refusal) -> Chunks {
        let capacity = range.upperBound - range.lowerBound
        guard hello.byteCount > 0 else { throw Refusal(.empty) }
        guard hello.offset <= capacity, hello.byteCount <= capacity - hello.offset
        else { throw Refusal(.outOfRange, detail: capacity) }
        guard hello.offset % block == 0 else { throw Refusal(.offBlock, detail: block) }
        let slotBytes = UInt64(min(hello.slotBytes, options.slotBytes))
        // A slot that ended inside a block would let the drive touch the next slot.
        guard slotBytes % block == 0 else { throw Refusal(.badSlots, detail: block) }
        return Chunks(
            byteCount: hello.byteCount, slotBytes: slotBytes,
            slotCount: Int(min(hello.slotCount, options.slotCount)), blockBytes: block)
    }

    private static func welcome(
        _ region: borrowing PeerRegion, _ chunks: Chunks, _ range: Range<UInt64>, _ seesBytes: Bool
    ) -> Welcome {
        Welcome(
            slotCount: UInt16(chunks.slotCount), slotBytes: UInt32(chunks.slotBytes),
            capacity: range.upperBound - range.lowerBound, blockBytes: UInt32(chunks.blockBytes),
            buffer: RemoteAddress(address: region.keys.address, key: region.keys.remoteKey),
            memory: region.kind, method: region.choice.method, nic: region.nic,
            isBounce: region.bounceReason != nil, hasDigests: seesBytes)
    }
}

extension Session {
    /// How it went, for the application.
    var report: TransferReport {
        TransferReport(
            operation: operation, client: client, byteCount: hello.byteCount, count: context.count,
            seconds: seconds, failure: failure)
    }
    /// Whether the transfer has been done to its end.
    var isComplete: Bool { transfer?.isComplete ?? false }
    /// Whether its transfer is over, one way or the other, and only its connection is left to take down.
    var isEnding: Bool { failure != nil || isComplete }
    /// Whether no work of it is outstanding, so that it can be destroyed.
    var isOver: Bool { isDisconnected && drive.inFlight == 0 }

    /// Whether messages are taken: not before the connection stands, nor after its end.
    private var isListening: Bool { isEstablished && !isDisconnected }

    /// The connection stands: the transfer begins, if the path is fit for the slots.
    func establish() {
        isEstablished = true
        started = monotonicNanoseconds()
        do throws(PeerMRError) { try begin() } catch { fail(error) }
    }

    private func begin() throws(PeerMRError) {
        do throws(PeerMRError) { try link.checkPath(context.region.keys.constraint) } catch {
            throw error.from(.operator)
        }
        let transfer: any Transfer =
            hello.operation == .put
            ? try PutTransfer(context, ensureArrival: options.mustFlush(context.region))
            : GetTransfer(context)
        self.transfer = transfer
        try transfer.begin()
        try context.submit()
    }

    /// Handles all that has completed.
    ///
    /// - Returns: whether there was anything.
    func poll() -> Bool {
        let hasStored = takeStorage()
        if hasStored { driveClock.reset() }
        let hasPolled = isListening && takeMessages()
        if hasPolled { clientClock.reset() }
        // After a failure too: what has been prepared must not wait in the queue for the next client's slots.
        do { try context.submit() } catch { fail(error) }
        guard hasStored || hasPolled else { return false }
        progressed()
        return true
    }

    private func takeStorage() -> Bool {
        var any = false
        while let completion = drive.next() {
            any = true
            guard failure == nil, let transfer else { continue }
            do { try transfer.handle(completion) } catch { fail(error) }
        }
        return any
    }

    private func takeMessages() -> Bool {
        let transfer = failure == nil ? transfer : nil
        do {
            return try link.take { tag, completion throws(PeerMRError) in
                try transfer?.handle(tag, completion)
            }
        } catch {
            fail(error)
            return true
        }
    }

    private func progressed() {
        if isComplete, seconds == 0 {
            seconds = Double(monotonicNanoseconds() - started) / 1e9
            close(within: hello.isReadBack && operation == .put ? UInt64(options.timeoutSeconds) : 5)
        }
        if transfer?.wantsReadBack ?? false { readBack() }
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
        do throws(PeerMRError) {
            try transfer.begin()
            try context.submit()
        } catch { fail(error) }
    }

    /// Looks after silence: a dead client, one that makes no headway, a drive that does not, and the end of a last
    /// message's time.
    func checkTimeouts() {
        let now = monotonicNanoseconds()
        if let closeAt, now >= closeAt { disconnect() }
        driveClock.run(drive.inFlight > 0, now)
        if driveClock.strikes(now) {
            tell(.waitingForDrive(seconds: driveClock.seconds(now), operations: drive.inFlight))
        }
        guard !isDisconnected, failure == nil, !isComplete else { return }
        do {
            if isEstablished { try link.probe(afterSeconds: 2) }
            if driveClock.beats(now) { try link.send(.waiting) }
        } catch { fail(error) }
        clientClock.run(transfer?.awaitsClient ?? true, now)
        if driveClock.seconds(now) > options.driveTimeoutSeconds {
            fail(.driveStuck(.timedOut, drive.path, options.driveTimeoutSeconds, drive.inFlight))
        } else if clientClock.seconds(now) > options.timeoutSeconds {
            fail(.clientStuck(options.timeoutSeconds))
        }
    }

    /// Whether its connection is down, and the drive keeps it from being over.
    var isHeldByDrive: Bool { isDisconnected && driveClock.seconds(monotonicNanoseconds()) >= 2 }

    /// Ends it with a reason; the client is told where that can still reach it.
    func fail(_ error: PeerMRError) {
        guard failure == nil, !isComplete else { return disconnect() }
        // A drive that is pulled out takes its memory along, and the connection with it.
        let error = drive.isPresent ? error.from(.client) : .gone(drive.path)
        failure = error
        guard let (code, detail) = farewell(error) else { return disconnect() }
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
            case .disconnected where error == .clientStuck(options.timeoutSeconds): (.tooSlow, options.timeoutSeconds)
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

    /// The client has ended the connection, or is gone.
    func peerDisconnected() {
        // What came before the end is still in the queue: it may be all that was missing.
        _ = poll()
        if failure == nil, !isComplete {
            failure = drive.isPresent ? .clientGone() : .gone(drive.path)
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
        connection.disconnect()
    }
}
