// SPDX-License-Identifier: Apache-2.0

import PeerMR
import PeerStorage
import SystemPackage

/// A client that has said what it wants, and waits for its turn.
struct Waiting {
    let greeting: Greeting
    let plan: TransferPlan
    /// When it has waited for long enough.
    let deadline: UInt64
    /// What it was told last, and when.
    var position = 0
    var toldAt: UInt64 = 0
}

// MARK: - Clients before they are served

extension DriveServer {
    /// Looks at a connection request, and accepts it with a challenge, or refuses it.
    func greet(_ connection: Connection, _ privateData: [UInt8]) {
        let client = connection.peerAddress?.host ?? "?"
        do throws(Refusal) {
            let (grant, path) = try look(at: connection, client)
            let preface = try Preface(parsing: privateData)
            guard !isStopping else { throw Refusal(.stopping) }
            guard greetings.count < options.greetingRoom, let seat = shared.freeSeat() else { throw Refusal(.busy) }
            do {
                let greeting = try Greeting(
                    connection, client: client, grant: grant, preface: preface, path: path, key: options.key,
                    domain: domain, window: Int(options.slotCount), shared: shared, seat: seat,
                    attention)
                greetings.append(greeting)
                shared.sit(greeting)
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
    func hearGreetings() {
        attention.hasGreeting = false
        guard !greetings.isEmpty else { return }
        let now = monotonicNanoseconds()
        for greeting in greetings {
            do throws(PeerMRError) {
                switch try greeting.hear(now) {
                case .success(let hello)?:
                    greetings.removeAll { $0 === greeting }
                    do { try admit(greeting, hello) } catch { refuse(greeting, error) }
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
        for greeting in greetings where greeting.isOver(now) { end(greeting) }
    }

    private func refuse(_ greeting: Greeting, _ refusal: Refusal) {
        report(.refused(client: greeting.client, reason: refusal.words))
        greeting.refuse(refusal)
        greetings.append(greeting)
    }

    private func end(_ greeting: Greeting) {
        greeting.connection.disconnect()
        greetings.removeAll { $0 === greeting }
        shared.dismiss(greeting)
    }

    /// Tells all that are not served why they will not be.
    func sendAway(_ refusal: Refusal) {
        let waiting = queue
        queue = []
        for client in waiting { refuse(client.greeting, refusal) }
        for greeting in greetings where !greeting.isLeaving {
            greetings.removeAll { $0 === greeting }
            refuse(greeting, refusal)
        }
    }

    /// - Returns: whether an event of the connection manager is about a client that is not served yet.
    func hearOfGreeting(_ event: ConnectionEvent) -> Bool {
        let place = queue.firstIndex { $0.greeting.connection.identity == event.identity }
        let greeting = greetings.first { $0.connection.identity == event.identity }
        guard place != nil || greeting != nil else { return false }
        switch event.kind {
        case .established: greeting?.establish()
        case .disconnected, .unreachable, .connectError, .rejected, .deviceRemoval, .addressChange:
            if let place {
                leaveQueue(place, "it has gone again")
            } else if let greeting {
                if !greeting.isLeaving { report(.refused(client: greeting.client, reason: "it has gone again")) }
                end(greeting)
            }
        default: break
        }
        return true
    }
}

// MARK: - The queue

extension DriveServer {
    /// How long a client is kept for a session that is about to be over, although it waits for no turn, in seconds.
    private static let graceSeconds: UInt64 = 10
    private static let beat: UInt64 = 10_000_000_000

    /// Serves a client, or lets it wait for its turn.
    private func admit(_ greeting: Greeting, _ hello: Hello) throws(Refusal) {
        guard !isStopping else { throw Refusal(.stopping) }
        let plan = try TransferPlan(hello, greeting.grant, options, drive.drive)
        let isStuck = driveClock.seconds(monotonicNanoseconds()) >= 2
        guard !isStuck || !sessions.contains(where: { $0?.isHeldByDrive ?? false }) else {
            throw Refusal(.driveFailed, detail: UInt64(Errno.timedOut.rawValue))
        }
        // Whoever comes first has the blocks, whether it is served already or not.
        let isTaken =
            queue.contains { $0.plan.conflicts(with: plan) }
            || sessions.contains { $0.map { !$0.isEnding && $0.plan.conflicts(with: plan) } ?? false }
        guard !isTaken else { throw Refusal(.overlapping) }
        let isFirst = queue.allSatisfy { isBlocked($0.plan) }
        guard isFirst, try serve(greeting, plan) else { return try enqueue(greeting, plan) }
    }

    /// Whether a session has some of these blocks. One that goes on keeps such clients out of the queue; this one ends.
    private func isBlocked(_ plan: TransferPlan) -> Bool {
        sessions.contains { $0?.plan.conflicts(with: plan) ?? false }
    }

    private func enqueue(_ greeting: Greeting, _ plan: TransferPlan) throws(Refusal) {
        // Whose part is being wiped has ended, too.
        let ending = sessions.count { $0?.isEnding ?? false } + pool.soiledCount
        let mayWait = plan.hello.queueSeconds > 0 && queue.count < options.queueRoom
        guard mayWait || queue.count < ending else { throw Refusal(.busy) }
        let now = monotonicNanoseconds()
        let seconds = mayWait ? UInt64(plan.hello.queueSeconds) : Self.graceSeconds
        queue.append(Waiting(greeting: greeting, plan: plan, deadline: now + seconds * 1_000_000_000))
        tellPosition(queue.count - 1, now)
        if mayWait, ending < queue.count {
            report(.queued(client: greeting.client, position: queue.count))
        }
    }

    /// - Returns: false where there is no part of the slots left, or a session that has its blocks is not over yet.
    /// - Throws: the refusal to answer with, after reporting what concerns the server alone.
    private func serve(_ greeting: Greeting, _ plan: TransferPlan) throws(Refusal) -> Bool {
        guard !isBlocked(plan), let lane = sessions.firstIndex(where: { $0 == nil }), let part = pool.take() else {
            return false
        }
        do throws(PeerMRError) {
            let session = try Session(
                greeting, plan, options, pool.register(part), drive, lane: lane, attention, report: report)
            sessions[lane] = session
            parts[lane] = part
            shared.sit(session)
            session.begin()
            return true
        } catch {
            pool.giveBack(part, isSoiled: true)
            report(.unable(client: greeting.client, error))
            throw Refusal(.noMemory, detail: UInt64(error.errno?.rawValue ?? 0))
        }
    }

    /// Serves those in the queue, the first first, as long as there is room. Only who waits for blocks that the drive
    /// still has of another client lets others pass.
    func advance() {
        var index = 0
        while !isStopping, index < queue.count {
            let client = queue[index]
            guard !isBlocked(client.plan) else {
                index += 1
                continue
            }
            do throws(Refusal) {
                guard try serve(client.greeting, client.plan) else { break }
                queue.remove(at: index)
            } catch {
                queue.remove(at: index)
                refuse(client.greeting, error)
            }
        }
        let now = monotonicNanoseconds()
        for index in queue.indices where queue[index].position != index + 1 { tellPosition(index, now) }
    }

    /// Looks after those who wait: who is gone, whose time is over, and who has heard nothing for a while.
    func checkQueue(_ now: UInt64) {
        var index = 0
        while index < queue.count {
            let client = queue[index]
            do throws(PeerMRError) { try client.greeting.checkLoss() } catch {
                leaveQueue(index, error.reason)
                continue
            }
            var refusal: Refusal?
            do throws(Refusal) { try client.greeting.checkPatience() } catch { refusal = error }
            if now >= client.deadline {
                let seconds = UInt64(client.plan.hello.queueSeconds)
                refusal = seconds > 0 ? Refusal(.waitedTooLong, detail: seconds) : Refusal(.busy)
            }
            if let refusal {
                queue.remove(at: index)
                refuse(client.greeting, refusal)
                continue
            }
            if now >= client.toldAt + Self.beat { tellPosition(index, now) }
            index += 1
        }
        if !queue.isEmpty { advance() }
    }

    private func leaveQueue(_ index: Int, _ reason: String) {
        let client = queue.remove(at: index)
        report(.refused(client: client.greeting.client, reason: reason))
        client.greeting.connection.disconnect()
        shared.dismiss(client.greeting)
    }

    /// Tells a client how many are before it. One that waits for no turn is served in a moment, and is not told.
    private func tellPosition(_ index: Int, _ now: UInt64) {
        queue[index].position = index + 1
        queue[index].toldAt = now
        let (greeting, deadline) = (queue[index].greeting, queue[index].deadline)
        // A client that confirms nothing is told nothing more.
        guard queue[index].plan.hello.queueSeconds > 0, greeting.link.messagesInFlight < 4 else { return }
        let seconds = deadline > now ? (deadline - now) / 1_000_000_000 : 0
        try? greeting.link.send(
            .queued(position: UInt16(clamping: index + 1), seconds: UInt16(clamping: seconds)))
    }
}

// MARK: - Sessions that end

extension DriveServer {
    /// Ends the sessions that are over, with their queue pairs and regions; their parts are then the next clients'.
    func finishSessions() {
        attention.isDue = false
        var hasEnded = false
        for lane in sessions.indices where sessions[lane]?.isOver ?? false {
            hasEnded = true
            finish(lane)
            guard let part = parts[lane] else { continue }
            parts[lane] = nil
            pool.giveBack(part, isSoiled: true)
        }
        guard hasEnded else { return }
        // The last completions of a queue pair stay in the queue: there must be room for those of the next.
        poll()
        if options.once, !isStopping {
            isStopping = true
            sendAway(Refusal(.stopping))
        }
        lookAtDriveAgain()
        advance()
    }

    private func finish(_ lane: Int) {
        guard let session = sessions[lane] else { return }
        if session.failure != nil { failures += 1 }
        report(.ended(session.report))
        sessions[lane] = nil
        shared.dismiss(session)
    }
}
