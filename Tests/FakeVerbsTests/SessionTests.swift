// SPDX-License-Identifier: Apache-2.0

import CFakeVerbs
import PeerMR
import SystemPackage
import TestSupport
import Testing

@testable import PeerTransfer

/// A client and a server over one network, by their own code on both sides, and a drive that is a file.
@Suite struct SessionTests {
    /// What is complete is on the drive or in the file, byte for byte; nothing else has changed or is counted.
    @Test(arguments: 0..<40)
    func transfersThatEndWell(_ seed: UInt64) throws {
        try withSessionBed(seed: 7000 + seed) { bed in
            var random = SeededGenerator(seed: 100 + seed)
            var model = bed.drive.bytes
            for index in 0..<25 {
                var wish = SessionWish(&random)
                let moved = fake_network_moved()
                try wish.run()
                if wish.isPut { model.replaceSubrange(wish.place, with: wish.bytes) }
                #expect(wish.isPut || isSame(wish.came[...], model[wish.place]))
                #expect(fake_network_moved() - moved == wish.byteCount)
                bed.settle(until: { bed.reports.count == index + 1 }, "the server has the end of it")
                let report = try #require(bed.reports.last)
                #expect(report.failure == nil)
                #expect(report.count.host == wish.byteCount)
                let bytes = bed.drive.bytes
                #expect(isSame(bytes[...], model[...]), "the drive after \(wish.place), put: \(wish.isPut)")
            }
        }
    }

    /// Whatever fails, on whichever side: nothing that is said to be complete is not, nothing else is touched, and
    /// the server has all it had before.
    @Test(arguments: 0..<250)
    func transfersThatEndAnyhow(_ seed: UInt64) throws {
        try withSessionBed(seed: 9000 + seed, { $0.driveTimeoutSeconds = 40 }) { bed in
            var random = SeededGenerator(seed: 300 + seed)
            var model = bed.drive.bytes
            for _ in 0..<40 {
                var wish = SessionWish(&random)
                SessionFault.drawn(&random).arrange(bed, &wish, &random)
                let moved = fake_network_moved()
                let told = bed.reports.count
                var failure: PeerMRError?
                do throws(PeerMRError) { try wish.run() } catch { failure = error }
                fake_verbs_fail_no_more()
                bed.drive.fault = nil
                bed.drive.isHanging = false
                bed.settle(until: { bed.isIdle }, "the server is through with it")
                let report = bed.reports.dropFirst(told).first
                #expect(bed.reports.count - told <= 1)
                try check(wish, failure, report, model, bed.drive.bytes)
                #expect(fake_network_moved() - moved <= wish.byteCount)
                #expect(report?.count.host ?? 0 <= wish.byteCount)
                model = bed.drive.bytes
            }
        }
    }

    private func check(
        _ wish: SessionWish, _ failure: PeerMRError?, _ report: TransferReport?, _ before: [UInt8], _ after: [UInt8]
    ) throws {
        if failure == nil {
            let report = try #require(report, "the server knows nothing of what the client has done")
            // The client of a get has what it wanted, even if its last message was lost to the server's device.
            let isLastWordLost = !wish.isPut && report.failure?.origin == .nic
            #expect(report.failure == nil || isLastWordLost, "the client has all, and the server says otherwise")
        }
        let outside = isSame(before[..<wish.place.lowerBound], after[..<wish.place.lowerBound])
            && isSame(before[wish.place.upperBound...], after[wish.place.upperBound...])
        #expect(outside, "something else was touched by \(wish.place)")
        if wish.isPut, failure == nil || report?.failure == nil && report != nil {
            #expect(isSame(after[wish.place], wish.bytes[...]), "complete, and not on the drive")
        }
        if !wish.isPut {
            #expect(isSame(before[wish.place], after[wish.place]), "a get has written")
            #expect(failure != nil || isSame(wish.came[...], before[wish.place]), "complete, and other bytes")
        }
        if let failure { #expect(!failure.reason.isEmpty) }
        if let failed = report?.failure { #expect(failed.origin != nil, "\(failed)") }
    }

    /// Clients that say anything, at any time: the server goes on, and only their own range is written.
    @Test(arguments: 0..<50 * UInt64(Fuzz.factor))
    func clientsThatSayAnything(_ seed: UInt64) throws {
        var said = 0
        defer { print("inputs: \(said) messages of clients that say anything") }
        try withSessionBed(seed: 5000 + seed) { bed in
            var random = SeededGenerator(seed: 700 + seed)
            for _ in 0..<10 {
                let before = bed.drive.bytes
                let client = try ScriptedClient(bed)
                let operation: PeerTransfer.Operation = random.next() % 2 == 0 ? .put : .get
                let count = 1 + random.next() % (6 * 4096)
                try client.connect(client.hello(operation, count, at: 8192))
                for _ in 0..<random.next() % 60 {
                    for _ in 0..<random.next() % 4 { bed.round() }
                    try client.listen()
                    guard client.welcome != nil, !client.isOver else { continue }
                    try? say(client, &random)
                    said += 1
                }
                if random.next() % 4 > 0 { client.connection.disconnect() }
                bed.settle(until: { bed.isIdle }, "the server is through with it")
                let after = bed.drive.bytes
                #expect(isSame(before[..<8192], after[..<8192]))
                let end = 8192 + Int(operation == .put ? count : 0)
                #expect(isSame(before[end...], after[end...]))
            }
        }
    }

    private func say(_ client: ScriptedClient, _ random: inout SeededGenerator) throws {
        let slot = UInt16(random.next() % 5)
        let sequence = UInt16(random.next() % 6)
        switch random.next() % 8 {
        case 0...3: try client.write(slot: Int(slot % 4), sequence: UInt64(slot % 4))
        case 4: try client.write(slot: Int(slot % 4), sequence: UInt64(sequence), byteCount: 1 + random.next() % 4096)
        case 5: try client.link.send(.credit(slot: slot))
        case 6: try client.link.send(random.next() % 2 == 0 ? .done : .readBack)
        default:
            let noise = UInt32(truncatingIfNeeded: random.next())
            try client.link.queuePair.postSend(immediate: noise, requestID: 77 << 40)
        }
    }
}

/// What goes wrong in a session.
private enum SessionFault: CaseIterable {
    case none, driveError, driveShort, driveHangs, driveTakesNoMore, clientFails, verbsFail

    static func drawn(_ random: inout SeededGenerator) -> SessionFault {
        allCases[Int(random.next() % UInt64(allCases.count))]
    }

    private static let calls = [
        "ibv_post_send", "ibv_post_recv", "ibv_req_notify_cq", "ibv_reg_mr", "ibv_create_cq", "rdma_create_qp",
        "rdma_accept", "rdma_connect", "ibv_query_qp", "ibv_create_comp_channel", "rdma_create_id",
    ]

    func arrange(_ bed: SessionBed, _ wish: inout SessionWish, _ random: inout SeededGenerator) {
        var left = random.next() % 6
        /// At one operation of the drive, whichever it is.
        func once(_ body: @escaping (inout FaultyDrive.Entry) -> Void) -> (inout FaultyDrive.Entry) -> Void {
            { entry in
                defer { left &-= 1 }
                if left == 0 { body(&entry) }
            }
        }
        let errnos: [Errno] = [.ioError, .operationNotSupportedByDevice, .noSpace, .noData, .timedOut]
        let errno = errnos[Int(random.next() % 5)]
        switch self {
        case .none: break
        case .driveError: bed.drive.fault = once { $0.result = -errno.rawValue }
        case .driveShort: bed.drive.fault = once { $0.result -= min($0.result, 512) }
        case .driveHangs: bed.drive.fault = once { _ in bed.drive.isHanging = true }
        case .driveTakesNoMore: bed.drive.refusesAfter = Int(left)
        case .clientFails: wish.failsAfter = random.next() % wish.byteCount
        case .verbsFail:
            let call = Self.calls[Int(random.next() % UInt64(Self.calls.count))]
            fake_verbs_fail_once(call, Errno.noMemory.rawValue, UInt32(left))
        }
    }
}
