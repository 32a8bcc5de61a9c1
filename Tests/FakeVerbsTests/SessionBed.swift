// SPDX-License-Identifier: Apache-2.0

import CFakeVerbs
import Glibc
import PeerMR
import PeerTransfer
import SystemPackage
import TestSupport
import Testing

/// A server, its drive and the network between it and its clients, all in one thread: what happens next is drawn.
///
/// A client that waits (in poll(2)) lets the others go on: the server makes a step, a message arrives, the drive
/// finishes something. Where nothing is left to happen, time passes.
final class SessionBed {
    // swift-format-ignore: NeverForceUnwrap
    static let address = SocketAddress("10.0.0.2", port: 18515)!
    static let capacity = 64 << 10
    /// How many clients may be on their way to a hello, with the options below.
    static let greetings = 16

    let drive: FaultyDrive
    var random: SeededGenerator
    private(set) var events: [DriveServer.Event] = []
    /// Called before each round: for faults at a time that is drawn.
    var before: (() -> Void)?
    /// Whether the drive tells the server what it has done.
    var isDriveTelling = true
    private(set) var isServing = true
    /// Whether the server may end by itself, and what it ended with.
    var expectsEnd = false
    private(set) var end: PeerMRError?
    private var isStepping = false
    private var server: DriveServer?
    private var stop: [Int32] = [-1, -1]

    init(seed: UInt64, blockBytes: Int = 512, _ change: (inout DriveServer.Options) -> Void = { _ in }) throws {
        random = SeededGenerator(seed: seed)
        fake_network_begin()
        drive = try FaultyDrive(byteCount: Self.capacity, blockBytes: blockBytes)
        guard pipe(&stop) == 0 else { throw Errno(rawValue: errno) }
        var options = DriveServer.Options(
            memory: .host, slotBytes: 4096, slotCount: 4, clientCount: 4, queueLimit: 8,
            allow: try #require(AllowList(["10.0.0.0/8"])))
        change(&options)
        server = try DriveServer(options, drive: drive, address: Self.address, stop: stop[0]) { [weak self] in
            self?.events.append($0)
        }
        fake_verbs_stop_clock(
            { Unmanaged<SessionBed>.fromOpaque($0!).takeUnretainedValue().idle() },
            Unmanaged.passUnretained(self).toOpaque())
    }

    deinit { for descriptor in stop { _ = Glibc.close(descriptor) } }

    /// Some rounds, as many as are drawn; 0 where nothing could happen.
    private func idle() -> Int32 {
        // The server itself waits: it is stepped from outside.
        if isStepping { return 1 }
        var any = false
        for _ in 0...random.next() % 4 where round() { any = true }
        return any ? 1 : 0
    }

    /// One thing happens, if any can.
    ///
    /// - Returns: whether there was something besides the server's own step.
    @discardableResult
    func round() -> Bool {
        before?()
        let lanes = fake_network_lanes()
        let finished = isDriveTelling && !drive.isHanging ? drive.held.count : 0
        let choices = UInt64(lanes) + UInt64(finished)
        let choice = random.next() % (choices + 1 + choices / 2)
        if choice < lanes {
            fake_network_deliver(UInt32(choice))
        } else if choice < choices {
            drive.tell(Int(choice - UInt64(lanes)))
        } else {
            step()
        }
        return choices > 0
    }

    /// The server does what there is to do.
    func step() {
        guard isServing, let server else { return }
        isStepping = true
        defer { isStepping = false }
        do throws(PeerMRError) { isServing = try server.step() } catch {
            isServing = false
            end = error
            if !expectsEnd { Issue.record("the server ended: \(error)") }
        }
    }

    /// Rounds until nothing can happen any more, and so much time has passed.
    func settle(milliseconds: UInt32 = 0) {
        var left = Int(milliseconds)
        repeat {
            var quiet = 0
            while quiet < 4 { quiet = round() ? 0 : quiet + 1 }
            step()
            if left > 0 { fake_verbs_pass_time(200) }
            left -= 200
        } while left > 0
    }

    /// Rounds until something is so.
    func settle(until isSo: () -> Bool, _ what: Comment, seconds: Int = 60) {
        for _ in 0..<seconds * 5 {
            settle()
            if isSo() { return }
            fake_verbs_pass_time(200)
        }
        Issue.record("not within \(seconds) s: \(what)")
    }

    /// Time in which nothing has happened.
    func passTime() { fake_verbs_pass_time(200) }

    /// Tells the server to stop.
    func signal() { _ = Glibc.write(stop[1], "x", 1) }

    /// Whether a stop is still to be taken.
    var isStopReadable: Bool {
        var count: Int32 = 0
        return ioctl(stop[0], UInt(FIONREAD), &count) == 0 && count > 0
    }

    /// Ends the server, and lets go of it: nothing of it remains.
    func finish() {
        if isServing {
            signal()
            settle(until: { !isServing }, "the server has ended")
        }
        fake_verbs_stop_clock(nil, nil)
        server = nil
    }

    /// Whether nobody is served.
    var isIdle: Bool { server?.isIdle ?? true }

    var reports: [TransferReport] {
        events.compactMap { if case .ended(let report) = $0 { report } else { nil } }
    }
}

/// Runs a body with a bed of its own.
func withSessionBed(
    seed: UInt64 = 1, _ change: (inout DriveServer.Options) -> Void = { _ in }, _ body: (SessionBed) throws -> Void
) throws {
    try withFakeVerbs { _ in
        let bed = try SessionBed(seed: seed, change)
        defer { bed.finish() }
        try body(bed)
    }
}
