// SPDX-License-Identifier: Apache-2.0

import CFakeVerbs
import PeerMR
import SystemPackage
import TestSupport
import Testing

@testable import PeerTransfer

/// A fault at every stage of a transfer, one after the other on one server: what was acknowledged outlasts a loss of
/// power, and the server has all that it had before.
@Suite struct FaultCycleTests {
    /// The transfers that are made to fail: each of whole blocks, and of a part of the last.
    private static let wishes: [(isPut: Bool, byteCount: UInt64)] = [
        (true, 3 * 4096), (true, 2 * 4096 + 100), (false, 3 * 4096), (false, 2 * 4096 + 100),
    ]
    private static let errnos: [Errno] = [.ioError, .operationNotSupportedByDevice, .noSpace, .noData, .timedOut]

    /// Each operation of the drive: failed, cut short, never told of, refused.
    @Test(arguments: 0..<wishes.count)
    func faultsOfTheDrive(_ which: Int) throws {
        try cycles(of: which, "faults of the drive") { bed, cycle in
            for operation in 0..<9 {
                func at(_ body: @escaping (inout FaultyDrive.Entry) -> Void) -> (inout FaultyDrive.Entry) -> Void {
                    var left = operation
                    return { entry in
                        if left == 0 { body(&entry) }
                        left -= 1
                    }
                }
                for errno in Self.errnos { try cycle { bed.drive.fault = at { $0.result = -errno.rawValue } } }
                for part: Int32 in [512, 4096] {
                    try cycle { bed.drive.fault = at { $0.result = max(0, $0.result - part) } }
                }
                try cycle { bed.drive.fault = at { [unowned bed] _ in bed.drive.isHanging = true } }
                try cycle { bed.drive.refusesAfter = operation }
            }
        }
    }

    /// Each call of libibverbs and librdmacm, at either end, the first to the twelfth time.
    @Test(arguments: 0..<wishes.count)
    func faultsOfTheDevices(_ which: Int) throws {
        let calls = [
            "ibv_post_send", "ibv_post_recv", "ibv_req_notify_cq", "ibv_reg_mr", "ibv_create_cq", "rdma_create_qp",
            "rdma_accept", "rdma_connect", "ibv_query_qp", "ibv_create_comp_channel", "rdma_create_id",
        ]
        try cycles(of: which, "faults of the devices") { _, cycle in
            for call in calls {
                for skip: UInt32 in 0..<12 {
                    try cycle { fake_verbs_fail_once(call, Errno.noMemory.rawValue, skip) }
                }
            }
        }
    }

    /// The client's own side fails, or the client goes, at each step.
    @Test(arguments: 0..<wishes.count)
    func faultsOfTheClient(_ which: Int) throws {
        try cycles(of: which, "faults of the client") { bed, cycle in
            for place: UInt64 in 0..<4 { try cycle(failsAfter: place * 4096) {} }
            for step in 0..<60 {
                try cycle {
                    var left = step
                    bed.before = {
                        if left == 0 { fake_network_break() }
                        left -= 1
                    }
                }
            }
        }
    }

    /// Drive, device or operator end the server at each step; another one takes its place.
    @Test(arguments: 0..<wishes.count)
    func faultsThatEndTheServer(_ which: Int) throws {
        var count = 0
        for step in 0..<40 {
            for fault in 0..<3 {
                try withFakeVerbs { fake in
                    let bed = try SessionBed(seed: UInt64(31 + step))
                    defer { bed.finish() }
                    bed.expectsEnd = true
                    var left = step
                    bed.before = { [unowned bed] in
                        if left == 0 {
                            switch fault {
                            case 0: bed.drive.isPresent = false
                            case 1: fake_network_remove_device()
                            default: bed.signal()
                            }
                        }
                        left -= 1
                    }
                    try Self.run(bed, Self.wish(which, step), fake, base: nil)
                    bed.before = nil
                    count += 1
                }
            }
        }
        print("cycles: \(count) faults that end the server")
    }

    /// Runs a transfer with the fault that a closure arranges, and counts it.
    private struct Cycle {
        let run: (_ failsAfter: UInt64?, _ arrange: () -> Void) throws -> Void
        func callAsFunction(failsAfter: UInt64? = nil, _ arrange: () -> Void) throws { try run(failsAfter, arrange) }
    }

    private func cycles(of which: Int, _ what: String, _ body: (SessionBed, Cycle) throws -> Void) throws {
        try withFakeVerbs { fake in
            let bed = try SessionBed(seed: UInt64(17 + which)) { $0.driveTimeoutSeconds = 40 }
            defer { bed.finish() }
            bed.settle()
            let base = fake.liveObjects
            var count = 0
            let cycle = Cycle { failsAfter, arrange in
                var wish = Self.wish(which, count)
                wish.failsAfter = failsAfter
                arrange()
                try Self.run(bed, wish, fake, base: base)
                count += 1
            }
            try body(bed, cycle)
            #expect(count > 50)
            print("cycles: \(count) \(what)")
        }
    }

    private static func wish(_ which: Int, _ number: Int) -> SessionWish {
        let wish = wishes[which]
        return SessionWish(
            isPut: wish.isPut, offset: UInt64(number % 7 * 4096), byteCount: wish.byteCount, seed: number)
    }

    /// One transfer with its fault, and what is promised of it.
    private static func run(_ bed: SessionBed, _ wish: SessionWish, _ fake: FakeVerbs, base: Int?) throws {
        var wish = wish
        let before = bed.drive.bytes
        let told = bed.drive.log.count
        var failure: PeerMRError?
        do throws(PeerMRError) { try wish.run() } catch { failure = error }
        let acknowledged = bed.drive.log.count
        fake_verbs_fail_no_more()
        (bed.before, bed.drive.fault, bed.drive.refusesAfter, bed.drive.isHanging) = (nil, nil, nil, false)
        bed.settle(until: { bed.isIdle || !bed.isServing }, "the server is through with it")
        let after = bed.drive.bytes
        #expect(isSame(wish.came[...], before[wish.place].prefix(wish.came.count)), "others' bytes were seen")
        #expect(isSame(before[..<wish.place.lowerBound], after[..<wish.place.lowerBound]))
        #expect(isSame(before[wish.place.upperBound...], after[wish.place.upperBound...]))
        if wish.isPut, failure == nil {
            #expect(isSame(after[wish.place], wish.bytes[...]), "acknowledged, and not on the drive")
            // A flush is for what had come to its end before it: all of it, or power that is lost takes bytes away.
            let log = bed.drive.log[told..<acknowledged]
            let written = log.lastIndex { $0.operation == .write && $0.result >= 0 }
            let isDurable = log.contains { $0.operation == .flush && $0.result >= 0 && $0.known > written ?? .max }
            #expect(isDurable, "acknowledged, and lost with the power")
        }
        #expect(bed.drive.inFlight == 0)
        if let base { #expect(fake.liveObjects == base, "left behind after \(failure.map { "\($0)" } ?? "success")") }
    }
}
