// SPDX-License-Identifier: Apache-2.0

import CFakeVerbs
import PeerMR
import SystemPackage
import Testing

@testable import PeerTransfer

/// The server's sessions, step by step, without a kernel's RDMA.
@Suite struct ServerSessionTests {
    /// Connects, and lets all happen that can.
    func connected(_ bed: SessionBed, _ operation: PeerTransfer.Operation, _ byteCount: UInt64) throws
        -> ScriptedClient
    {
        let client = try ScriptedClient(bed)
        try client.connect(client.hello(operation, byteCount))
        try awaitAnswer(client, bed)
        try #require(client.welcome != nil)
        return client
    }

    /// Lets all happen that leads to an answer of the server.
    func awaitAnswer(_ client: ScriptedClient, _ bed: SessionBed) throws {
        for _ in 0..<3 {
            bed.settle()
            try client.listen()
        }
    }

    /// The client knows of its connection before the server does: a message may come before that news, and counts.
    @Test(arguments: [nil, Message.readBack, .credit(slot: 0), .done])
    func aMessageThatOvertakesTheNewsOfTheConnectionIsHeard(_ message: Message?) throws {
        try withSessionBed { bed in
            let client = try ScriptedClient(bed)
            try client.connect(message == nil ? client.hello(.get, 4096) : nil)
            fake_network_deliver(0)
            bed.step()
            // The challenge, but not yet the client's answer to it.
            fake_network_deliver(0)
            try client.listen()
            try #require(client.challenge != nil)
            if let message { try client.link.send(message) }
            fake_network_deliver_requests()
            for _ in 0..<3 { bed.step() }
            bed.settle(milliseconds: 3000)
            try client.listen()
            #expect(client.refusal?.code == (message == nil ? nil : .outOfTurn))
            #expect((client.welcome != nil) == (message == nil), "the server has not acted on it")
        }
    }

    /// The promise of a put: what is acknowledged is on stable storage.
    @Test func aPutIsAcknowledgedOnlyAfterTheDrivesFlush() throws {
        try withSessionBed { bed in
            let client = try connected(bed, .put, 2 * 4096)
            for chunk in 0..<2 { try client.write(slot: chunk, sequence: UInt64(chunk)) }
            bed.isDriveTelling = false
            bed.settle()
            #expect(bed.drive.held.map(\.operation) == [.write, .write])
            bed.drive.tell(1)
            bed.settle()
            #expect(bed.drive.held.map(\.operation) == [.write], "a flush before all is written is worth nothing")
            bed.drive.tell(0)
            bed.settle(milliseconds: 1000)
            #expect(bed.drive.held.map(\.operation) == [.flush])
            try client.listen()
            #expect(!client.messages.contains(.done), "acknowledged before the flush")
            bed.drive.tell(0)
            bed.settle()
            try client.listen()
            #expect(client.messages.last == .done)
            client.connection.disconnect()
            bed.settle()
            #expect(bed.reports.map(\.failure) == [nil])
        }
    }

    /// Said at once, and not to the first client.
    @Test(arguments: [(0, 512), (4095, 512), (6144, 512), (4096, 8192)] as [(UInt32, Int)])
    func slotsThatDoNotFitMakeNoServer(_ slotBytes: UInt32, _ blockBytes: Int) throws {
        try withFakeVerbs { _ in
            let error = #expect(throws: PeerMRError.self) {
                _ = try SessionBed(seed: 1, blockBytes: blockBytes) { $0.slotBytes = slotBytes }
            }
            #expect(error?.code == .invalidArgument)
        }
    }

    /// A slot that ended inside a block would let the drive touch the next slot.
    @Test func slotsThatEndInsideABlockAreRefused() throws {
        try withFakeVerbs { _ in
            let bed = try SessionBed(seed: 1, blockBytes: 8192) { $0.slotBytes = 16384 }
            defer { bed.finish() }
            let client = try ScriptedClient(bed)
            try client.connect(client.hello(.put, 8192))
            try awaitAnswer(client, bed)
            #expect(client.refusal == Refusal(.badSlots, detail: 8192) && client.welcome == nil)
        }
    }

    /// A completion may overtake the bytes on their way into another device's memory: the NIC reads from the slot
    /// before the drive does.
    @Test func aSlotIsReadWhenTheNICsBytesHaveArrived() throws {
        try withSessionBed(seed: 1, { $0.alwaysFlush = true }) { bed in
            let client = try connected(bed, .put, 2 * 4096)
            fake_network_hold_reads(1)
            for chunk in 0..<2 { try client.write(slot: chunk, sequence: UInt64(chunk)) }
            bed.settle(milliseconds: 1000)
            #expect(fake_network_held_reads() == 2)
            #expect(bed.drive.inFlight == 0, "the drive was told to read what may not have arrived")
            fake_network_hold_reads(0)
            bed.settle()
            try client.listen()
            #expect(client.messages.last == .done)
            #expect(bed.drive.log.map(\.operation) == [.write, .write, .flush])
            client.connection.disconnect()
            bed.settle()
            #expect(bed.reports.map(\.failure) == [nil])
        }
    }

    /// A request says itself where it comes from; where its answers go is what counts.
    @Test(arguments: ["10.0.0.9", "10.0.0.2", "192.0.2.1"])
    func aForgedRequestIsRefused(_ claim: String) throws {
        for list in [["10.0.0.9", "192.0.2.1"], ["0.0.0.0/0"], []] {
            try withSessionBed {
                $0.allow = AllowList(list) ?? AllowList()
            } _: { bed in
                let client = try ScriptedClient(bed)
                try claim.withCString { text in
                    fake_network_claim(text)
                    try client.connect(client.hello(.put, 4096))
                    bed.settle()
                    fake_network_claim(nil)
                }
                try client.listen()
                #expect(client.refusal?.code == .otherAddress)
                #expect(client.welcome == nil && bed.reports.isEmpty)
                #expect("\(bed.events.last.map { "\($0)" } ?? "")".contains("(10.0.0.7)"))
            }
        }
    }

    /// What is one client's is no other's: its offset counts from the beginning of its range, and ends with it.
    @Test(
        arguments: [
            ("10.0.0.7=8K:4K", .put, 0, 4096, nil), ("10.0.0.7=8K:4K", .get, 0, 4096, nil),
            ("10.0.0.7=8K:4K", .put, 512, 4096, .outOfRange), ("10.0.0.7=8K:4K", .get, 4096, 1, .outOfRange),
            ("10.0.0.7=8K:4K", .put, 8192, 512, .outOfRange), ("10.0.0.7=8K:4K:ro", .get, 0, 4096, nil),
            ("10.0.0.7=8K:4K:ro", .put, 0, 4096, .readOnly), ("10.0.0.7=ro", .put, 0, 512, .readOnly),
            ("10.0.0.7=ro", .get, 8192, 4096, nil), ("10.0.0.8", .get, 0, 1, .notAllowed),
        ] as [(String, PeerTransfer.Operation, UInt64, UInt64, Refusal.Code?)])
    func aClientHasWhatItWasGiven(
        _ entry: String, _ operation: PeerTransfer.Operation, _ offset: UInt64, _ byteCount: UInt64,
        _ refusal: Refusal.Code?
    ) throws {
        try withSessionBed {
            $0.allow = AllowList([entry]) ?? AllowList()
        } _: { bed in
            let client = try ScriptedClient(bed)
            try client.connect(client.hello(operation, byteCount, at: offset))
            try awaitAnswer(client, bed)
            #expect(client.refusal?.code == refusal)
            guard refusal == nil else { return }
            if operation == .put { try client.write(slot: 0, sequence: 0, byteCount: byteCount) }
            bed.settle()
            let touched = bed.drive.log.filter { $0.operation != .flush }
            #expect(touched.allSatisfy { $0.offset == 8192 && $0.byteCount == 4096 } && touched.count == 1)
        }
    }

    @Test func aServerForReadingServesNoPut() throws {
        try withSessionBed {
            $0.isReadOnly = true
        } _: { bed in
            let client = try ScriptedClient(bed)
            try client.connect(client.hello(.put, 512))
            try awaitAnswer(client, bed)
            #expect(client.refusal?.code == .readOnly)
            _ = try connected(bed, .get, 4096)
        }
    }

    /// A range that the server does not have is said when it starts.
    @Test(arguments: ["10.0.0.7=60K:8K", "10.0.0.7=64K:512", "10.0.0.7=1:4096", "10.0.0.7=0:100"])
    func aRangeThatIsNotThereMakesNoServer(_ entry: String) throws {
        try withFakeVerbs { _ in
            let error = #expect(throws: PeerMRError.self) {
                _ = try SessionBed(seed: 1) { $0.allow = AllowList([entry]) ?? AllowList() }
            }
            #expect(error?.code == .invalidArgument)
        }
    }

    /// A flush that fails is no acknowledgement either.
    @Test func aFlushThatFailsIsTold() throws {
        try withSessionBed { bed in
            bed.drive.fault = { if $0.operation == .flush { $0.result = -Errno.ioError.rawValue } }
            let client = try connected(bed, .put, 4096)
            try client.write(slot: 0, sequence: 0)
            bed.settle(milliseconds: 2000)
            try client.listen()
            #expect(!client.messages.contains(.done))
            #expect(bed.reports.first?.failure?.errno == .ioError)
            #expect(client.isOver)
        }
    }

    /// A get of 100 bytes uses one slot of four: the others were never the client's to return.
    @Test(arguments: [1, 2, 3] as [UInt16])
    func aSlotThatWasNeverUsedIsNotReturned(_ slot: UInt16) throws {
        try withSessionBed { bed in
            let client = try connected(bed, .get, 100)
            #expect(client.messages.isEmpty && client.chunks == [0])
            try client.link.send(.credit(slot: slot))
            bed.settle(milliseconds: 2000)
            #expect(bed.reports.first?.failure?.code == .protocolViolation)
        }
    }

    /// What is complete stays so, whatever the client says afterwards.
    @Test(arguments: [Message.credit(slot: 0), .credit(slot: 1), .done])
    func aGetThatIsCompleteStaysSo(_ message: Message) throws {
        try withSessionBed { bed in
            let client = try connected(bed, .get, 100)
            try client.link.send(.credit(slot: 0))
            try client.link.send(message)
            bed.settle(milliseconds: 6000)
            #expect(bed.reports.map(\.failure) == [nil])
            #expect(bed.reports.first?.count.host == 100)
        }
    }

    /// Every number that a drive can give reaches the client as it is, and the server blames nobody else.
    @Test(arguments: [Errno.ioError, .operationNotSupportedByDevice, .noSpace, .noData, .timedOut, .invalidArgument])
    func everyErrorOfTheDriveIsTold(_ errno: Errno) throws {
        let cases: [(PeerTransfer.Operation, FaultyDrive.Operation)] = [(.put, .write), (.put, .flush), (.get, .read)]
        for (operation, failing) in cases {
            try withSessionBed { bed in
                bed.drive.fault = { if $0.operation == failing { $0.result = -errno.rawValue } }
                let client = try connected(bed, operation, 4096)
                if operation == .put { try client.write(slot: 0, sequence: 0) }
                bed.settle(milliseconds: 2000)
                try client.listen()
                #expect(client.messages.last == .failed(.driveFailed, errno: UInt16(errno.rawValue)))
                let failure = try #require(bed.reports.first?.failure)
                #expect(failure.origin == .drive)
                #expect(failure.errno == errno)
            }
        }
    }

    /// A drive that does part of what it was told has failed.
    @Test(arguments: [(FaultyDrive.Operation.write, PeerTransfer.Operation.put), (.read, .get)])
    func aShortResultIsAFailure(_ failing: FaultyDrive.Operation, _ operation: PeerTransfer.Operation) throws {
        try withSessionBed { bed in
            bed.drive.fault = { if $0.operation == failing { $0.result -= 512 } }
            let client = try connected(bed, operation, 4096)
            if operation == .put { try client.write(slot: 0, sequence: 0) }
            bed.settle(milliseconds: 2000)
            try client.listen()
            #expect(client.messages.last == .failed(.driveFailed, errno: UInt16(Errno.ioError.rawValue)))
            #expect(bed.reports.first?.failure?.origin == .drive)
        }
    }

    /// A slow drive is waited for, the client hears of it, and is blamed for nothing.
    @Test(arguments: [PeerTransfer.Operation.put, .get])
    func aSlowDriveEndsNothing(_ operation: PeerTransfer.Operation) throws {
        try withSessionBed(seed: 1, { $0.timeoutSeconds = 5 }) { bed in
            bed.isDriveTelling = false
            let client = try connected(bed, operation, 4096)
            if operation == .put { try client.write(slot: 0, sequence: 0) }
            bed.settle(milliseconds: 45_000)
            try client.listen()
            #expect(bed.reports.isEmpty)
            #expect(client.messages.count { $0 == .waiting } == 4, "every 10 s")
            #expect(bed.events.contains { if case .waitingForDrive(30, 1) = $0 { true } else { false } })
            bed.isDriveTelling = true
            bed.settle()
            if operation == .get { try client.link.send(.credit(slot: 0)) }
            bed.settle(milliseconds: 6000)
            #expect(bed.reports.map(\.failure) == [nil])
        }
    }

    /// A client that owes something has its own time, however slow the drive was before.
    @Test func aClientThatDoesNothingIsGivenUp() throws {
        try withSessionBed(seed: 1, { $0.timeoutSeconds = 5 }) { bed in
            bed.isDriveTelling = false
            let client = try connected(bed, .get, 4096)
            bed.settle(milliseconds: 20_000)
            bed.isDriveTelling = true
            bed.settle(milliseconds: 4000)
            #expect(bed.reports.isEmpty, "it has had 4 s")
            bed.settle(milliseconds: 4000)
            try client.listen()
            #expect(client.messages.last == .failed(.tooSlow, errno: 5))
            #expect(bed.reports.first?.failure?.origin == .client)
        }
    }

    /// A drive that never answers is given up at last, and by name; its slots stay until it is through with them.
    @Test func aDriveThatHangsIsGivenUp() throws {
        try withSessionBed(seed: 1, { $0.driveTimeoutSeconds = 60 }) { bed in
            bed.isDriveTelling = false
            let client = try connected(bed, .put, 4096)
            try client.write(slot: 0, sequence: 0)
            bed.settle(milliseconds: 70_000)
            try client.listen()
            #expect(client.messages.last == .failed(.driveFailed, errno: UInt16(Errno.timedOut.rawValue)))
            #expect(client.isOver)
            #expect(bed.reports.isEmpty, "the drive may still read the slots")
            let other = try ScriptedClient(bed)
            try other.connect(other.hello(.get, 512))
            try awaitAnswer(other, bed)
            #expect(other.refusal == Refusal(.driveFailed, detail: UInt64(Errno.timedOut.rawValue)))
            bed.isDriveTelling = true
            bed.settle(milliseconds: 1000)
            #expect(bed.reports.first?.failure?.origin == .drive)
            #expect(bed.reports.first?.failure?.errno == .timedOut)
        }
    }

    /// Told to stop while the drive hangs: the signal is heard once, a second one ends it.
    @Test func aSecondStopDoesNotWaitForTheDrive() throws {
        try withSessionBed { bed in
            bed.isDriveTelling = false
            let client = try connected(bed, .put, 4096)
            try client.write(slot: 0, sequence: 0)
            bed.settle()
            bed.signal()
            bed.settle(milliseconds: 5000)
            try client.listen()
            #expect(client.messages.last == .failed(.stopping, errno: 0))
            #expect(bed.isServing, "the drive has the slots")
            #expect(!bed.isStopReadable, "who polls it would spin")
            bed.signal()
            bed.expectsEnd = true
            bed.settle(milliseconds: 400)
            #expect(!bed.isServing)
            #expect(bed.end?.origin == .drive)
            bed.isDriveTelling = true
        }
    }

    /// An RDMA device that goes ends the server with its name, whatever it is doing.
    @Test(arguments: [nil, PeerTransfer.Operation.put, .get], [true, false])
    func aDeviceThatIsGoneEndsTheServer(_ operation: PeerTransfer.Operation?, _ isFatal: Bool) throws {
        try withSessionBed { bed in
            let client = try operation.map { try connected(bed, $0, 3 * 4096) }
            bed.expectsEnd = true
            if isFatal {
                fake_verbs_device_event(9)
                fake_verbs_device_event(8)
            } else {
                fake_network_remove_device()
            }
            bed.settle(milliseconds: 2000)
            #expect(!bed.isServing)
            #expect(bed.end?.origin == .nic)
            #expect(bed.end?.reason.contains("fake0") == true)
            #expect(bed.reports.map(\.failure?.origin) == (operation == nil ? [] : [.nic]))
            withExtendedLifetime(client) {}
        }
    }

    /// A drive that was pulled out is not offered on.
    @Test(arguments: [nil, PeerTransfer.Operation.put, .get])
    func aDriveThatIsGoneEndsTheServer(_ operation: PeerTransfer.Operation?) throws {
        try withSessionBed { bed in
            let client = try operation.map { try connected(bed, $0, 3 * 4096) }
            bed.expectsEnd = true
            bed.drive.isPresent = false
            bed.settle(milliseconds: 4000)
            #expect(!bed.isServing)
            #expect(bed.end?.origin == .drive)
            #expect(bed.reports.map(\.failure?.origin) == (operation == nil ? [] : [.drive]))
            try client?.listen()
            if let client {
                let errno = UInt16(Errno.operationNotSupportedByDevice.rawValue)
                #expect(client.messages.last == .failed(.driveFailed, errno: errno))
            }
        }
    }

    /// Slots in the drive's own memory go with it: what fails then is the connection, and not the client's fault.
    @Test func aConnectionThatFailsWithTheDriveIsTheDrives() throws {
        try withSessionBed { bed in
            let client = try connected(bed, .put, 3 * 4096)
            bed.expectsEnd = true
            bed.drive.isPresent = false
            client.connection.disconnect()
            bed.settle(milliseconds: 200)
            #expect(bed.reports.first?.failure?.origin == .drive)
        }
    }
}
