// SPDX-License-Identifier: Apache-2.0

import CFakeVerbs
import PeerMR
import SystemPackage
import Testing

@testable import PeerTransfer

/// The testing library has a Tag of its own.
typealias RequestTag = PeerTransfer.Tag

/// A server whose every word is written down beforehand.
struct ScriptedServer {
    static let buffer = RemoteAddress(address: 0x7000_0000, key: 0xbeef)

    static func welcome(slotCount: UInt16 = 2, slotBytes: UInt32 = 4096) -> Welcome {
        Welcome(
            slotCount: slotCount, slotBytes: slotBytes, capacity: 1 << 30, blockBytes: 512, buffer: buffer,
            memory: .p2pmem, method: .onDemand, nic: .device, isBounce: false)
    }

    /// Answers the client's connection request, and ends the connection behind it.
    static func answer(_ bytes: [UInt8], kind: UInt32 = 9, status: Int32 = 0) {
        fake_verbs_event_after_connect(kind, status, bytes, UInt8(bytes.count))
        fake_verbs_event_after_connect(10, 0, nil, 0)
    }

    /// Accepts the client, and answers its hello.
    static func answer(_ welcome: Welcome) {
        answer(Challenge(wantsKey: false, patienceSeconds: 10).bytes)
        message(welcome.bytes + [UInt8](repeating: 0, count: 32))
    }

    static func message(_ bytes: [UInt8]) {
        fake_verbs_message(RequestTag(.receive).requestID, bytes, UInt8(bytes.count))
    }

    /// A message of the server.
    static func say(_ message: Message, byteCount: UInt32 = 0) {
        say(immediate: message.immediate, byteCount: byteCount)
    }

    static func say(immediate: UInt32, byteCount: UInt32 = 0) {
        fake_verbs_complete(RequestTag(.receive).requestID, 0, byteCount == 0 ? 128 : 129, byteCount, 1, immediate, 0)
    }

    /// A chunk that the server has written, of which it does not know the digest.
    static func chunk(_ number: UInt32, byteCount: UInt32) { say(immediate: number, byteCount: byteCount) }

    /// The end of one of the client's own requests.
    static func finish(_ tag: RequestTag) { fake_verbs_complete(tag.requestID, 0, 1, 0, 0, 0, 0) }
}

@Suite struct DriveClientTests {
    // swift-format-ignore: NeverForceUnwrap
    static let options = DriveClient.Options(
        server: SocketAddress("10.0.0.2", port: 18515)!, slotBytes: 4096, slotCount: 2)
    private static let byteCount: UInt64 = 2 * 4096 + 100

    private func put(_ byteCount: UInt64 = byteCount) throws(PeerMRError) -> (TransferOutcome, [UInt64], [UInt64]) {
        var offsets: [UInt64] = []
        var progress: [UInt64] = []
        let outcome = try DriveClient.put(byteCount, at: 512, Self.options) { span, offset in
            offsets.append(offset)
            for index in 0..<span.byteCount {
                span.storeBytes(of: UInt8(offsets.count), toByteOffset: index, as: UInt8.self)
            }
        } progress: {
            progress.append($0)
        }
        return (outcome, offsets, progress)
    }

    private func get(_ byteCount: UInt64 = byteCount) throws(PeerMRError) -> (TransferOutcome, [Int]) {
        var counts: [Int] = []
        let outcome = try DriveClient.get(byteCount, at: 512, Self.options) { span in
            counts.append(span.byteCount)
        } progress: { _ in
        }
        return (outcome, counts)
    }

    @Test func aPutGoesThroughTheSlotsThatAreOffered() throws {
        try withFakeVerbs { _ in
            ScriptedServer.answer(ScriptedServer.welcome())
            for slot: UInt16 in 0..<2 { ScriptedServer.say(.credit(slot: slot)) }
            ScriptedServer.finish(RequestTag(.chunk, slot: 0))
            ScriptedServer.say(.credit(slot: 0))
            for slot in [1, 0] { ScriptedServer.finish(RequestTag(.chunk, slot: slot)) }
            ScriptedServer.say(.done)
            let (outcome, offsets, progress) = try put()
            #expect(offsets == [0, 4096, 8192], "each chunk once, in order")
            #expect(progress == [4096, 8192, Self.byteCount])
            #expect(outcome.byteCount == Self.byteCount)
            #expect(outcome.memory == .p2pmem)
            #expect(outcome.method == .onDemand)
            // The first is the hello.
            let sent = (1...3).map { fake_verbs_send($0) }
            #expect(fake_verbs_sends() == 4)
            #expect(sent.map(\.byte_count) == [4096, 4096, 100])
            #expect(sent.map(\.remote_address) == [0x7000_0000, 0x7000_1000, 0x7000_0000])
            #expect(sent.allSatisfy { $0.remote_key == 0xbeef && $0.opcode == 1 })
            let slots = fake_verbs_registered_address()
            #expect(sent.map(\.address) == [slots, slots + 4096, slots])
            let digests = [(0, 1, 4096), (4096, 2, 4096), (8192, 3, 100)].map { place, byte, count in
                let bytes = [UInt8](repeating: UInt8(byte), count: count)
                return ChunkDigest.of(bytes.span.bytes, at: UInt64(512 + place))
            }
            #expect(sent.map(\.immediate) == digests, "bound to their offset in the client's range")
        }
    }

    /// A slot that is offered again before the own device has let go of it is not filled yet.
    @Test func aSlotIsNotFilledWhileItIsSent() throws {
        try withFakeVerbs { _ in
            ScriptedServer.answer(ScriptedServer.welcome(slotCount: 1))
            ScriptedServer.say(.credit(slot: 0))
            ScriptedServer.say(.credit(slot: 0))
            _ = #expect(throws: PeerMRError.self) { try put() }
            #expect(fake_verbs_sends() == 2)
        }
    }

    @Test func aGetTakesTheChunksInTurn() throws {
        try withFakeVerbs { _ in
            ScriptedServer.answer(ScriptedServer.welcome())
            for (number, count) in [(0, 4096), (1, 4096), (2, 100)] as [(UInt32, UInt32)] {
                ScriptedServer.chunk(number, byteCount: count)
            }
            for _ in 0..<4 { ScriptedServer.finish(RequestTag(.message)) }
            let (outcome, counts) = try get()
            #expect(counts == [4096, 4096, 100])
            #expect(outcome.byteCount == Self.byteCount)
            let credits: [Message] = [.credit(slot: 0), .credit(slot: 1), .credit(slot: 0)]
            #expect((1...3).map { fake_verbs_send($0).immediate } == credits.map(\.immediate))
            #expect(fake_verbs_registered_access() == 0b11, "the server writes here")
        }
    }

    @Test func aPutGivesThePeerNoRightsOnItsMemory() throws {
        try withFakeVerbs { _ in
            ScriptedServer.answer(ScriptedServer.welcome())
            _ = #expect(throws: PeerMRError.self) { try put() }
            #expect(fake_verbs_registered_access() == Access.localWrite.rawValue)
        }
    }

    @Test func theHelloSaysWhatIsWanted() throws {
        try withFakeVerbs { _ in
            ScriptedServer.answer(Challenge(wantsKey: false, patienceSeconds: 10).bytes)
            ScriptedServer.message(Refusal(.busy).bytes)
            let error = #expect(throws: PeerMRError.self) { try get() }
            #expect(error?.code == .busy)
            var bytes = [UInt8](repeating: 0, count: 255)
            #expect(fake_verbs_private_data(&bytes, 255) == 56)
            #expect(throws: Never.self) { try Preface(parsing: Array(bytes.prefix(56))) }
            fake_verbs_said(&bytes, 128)
            let message = try #require(ProvenMessage(Array(bytes.prefix(128))))
            let hello = try Hello(parsing: message.body)
            #expect(message.proof.allSatisfy { $0 == 0 })
            #expect(hello.operation == .get)
            #expect(hello.offset == 512)
            #expect(hello.byteCount == Self.byteCount)
            #expect(hello.buffer.address == fake_verbs_registered_address())
            #expect(hello.slotBytes == 4096 && hello.slotCount == 2)
        }
    }

    @Test(
        arguments: [
            (9, 0, [], PeerMRError.Code.protocolViolation), (9, 0, [1, 2, 3], .protocolViolation),
            (9, 0, ScriptedServer.welcome().bytes, .protocolViolation),
            (8, 8, [], .refused), (8, 28, [], .refused), (8, 28, [0x30, 0x50, 0x4d, 0x52, 99], .refused),
            (8, 28, Refusal(.outOfRange, detail: 4096).bytes, .invalidArgument), (7, -110, [], .disconnected),
            (6, -22, [], .disconnected), (11, 0, [], .disconnected),
        ] as [(UInt32, Int32, [UInt8], PeerMRError.Code)])
    func anAnswerThatIsNoneEndsIt(_ kind: UInt32, _ status: Int32, _ bytes: [UInt8], _ code: PeerMRError.Code) throws {
        try withFakeVerbs { _ in
            ScriptedServer.answer(bytes, kind: kind, status: status)
            let error = #expect(throws: PeerMRError.self) { try put() }
            #expect(error?.code == code)
            #expect(error?.remedy != nil)
        }
    }

    @Test(
        arguments: [
            ScriptedServer.welcome(slotCount: 3).bytes, ScriptedServer.welcome(slotBytes: 8192).bytes, [], [1, 2, 3],
            Array(ScriptedServer.welcome().bytes.dropLast()), Array(repeating: 0, count: 96),
        ])
    func aWelcomeThatIsNoneEndsIt(_ body: [UInt8]) throws {
        try withFakeVerbs { _ in
            ScriptedServer.answer(Challenge(wantsKey: false, patienceSeconds: 10).bytes)
            ScriptedServer.message(body + [UInt8](repeating: 0, count: 32))
            let error = #expect(throws: PeerMRError.self) { try put() }
            #expect(error?.code == .protocolViolation)
        }
    }

    /// A client with a key believes no server that does not prove that it has it; one without says so.
    @Test(
        arguments: [
            (true, false, 32), (false, true, 32), (true, true, 32), (true, true, 31),
        ])
    func aKeyIsForBothEnds(_ isOurs: Bool, _ isTheirs: Bool, _ proofBytes: Int) throws {
        try withFakeVerbs { _ in
            ScriptedServer.answer(Challenge(wantsKey: isTheirs, patienceSeconds: 10).bytes)
            ScriptedServer.message(ScriptedServer.welcome().bytes + [UInt8](repeating: 7, count: proofBytes))
            var options = Self.options
            if isOurs { options.key = SharedKey(Array(repeating: 1, count: 16)) }
            let error = #expect(throws: PeerMRError.self) {
                _ = try DriveClient.put(100, at: 0, options, read: { _, _ in }, progress: { _ in })
            }
            #expect(error?.code == (proofBytes == 32 ? .notPermitted : .protocolViolation))
            #expect(fake_verbs_sends() == (isOurs && isTheirs ? 1 : 0), "a hello without need")
        }
    }

    @Test(
        arguments: [
            .done, .credit(slot: 2), .credit(slot: 4095), .readBack,
        ] as [Message])
    func aMessageThatDoesNotFitAPutEndsIt(_ message: Message) throws {
        try withFakeVerbs { _ in
            ScriptedServer.answer(ScriptedServer.welcome())
            ScriptedServer.say(message)
            let error = #expect(throws: PeerMRError.self) { try put() }
            #expect(error?.code == .protocolViolation)
        }
    }

    @Test(
        arguments: [
            (Message.done.immediate, 0), (Message.credit(slot: 0).immediate, 0), (1, 4096), (.max, 4096), (0, 4095),
            (0, 0),
        ] as [(UInt32, UInt32)])
    func aMessageThatDoesNotFitAGetEndsIt(_ immediate: UInt32, _ byteCount: UInt32) throws {
        try withFakeVerbs { _ in
            ScriptedServer.answer(ScriptedServer.welcome())
            ScriptedServer.say(immediate: immediate, byteCount: byteCount)
            let error = #expect(throws: PeerMRError.self) { try get() }
            #expect(error?.code == .protocolViolation)
        }
    }

    @Test func aServerThatGivesUpSaysWhy() throws {
        try withFakeVerbs { _ in
            ScriptedServer.answer(ScriptedServer.welcome())
            ScriptedServer.say(.failed(.driveFailed, errno: 5))
            let error = #expect(throws: PeerMRError.self) { try put() }
            #expect(error?.errno == .ioError)
            #expect(error?.reason.contains("drive") == true)
        }
    }

    /// The device's news of a failure and the server's word on it go different ways: whichever is first, the server's is
    /// told. It knows that its drive is gone, and the device only that the memory is.
    @Test(arguments: [false, true], [false, true])
    func theServersLastWordIsHeard(_ isPut: Bool, _ isWordFirst: Bool) throws {
        try withFakeVerbs { _ in
            ScriptedServer.answer(ScriptedServer.welcome())
            if isPut { ScriptedServer.say(.credit(slot: 0)) }
            let failed = { fake_verbs_complete(RequestTag(.chunk, slot: 0).requestID, 10, 1, 0, 0, 0, 0) }
            let word = { ScriptedServer.say(.failed(.driveFailed, errno: 19)) }
            for step in isWordFirst ? [word, failed] : [failed, word] { step() }
            let error = #expect(throws: PeerMRError.self) {
                if isPut { _ = try put() } else { _ = try get() }
            }
            #expect(error?.origin == .drive && error?.errno == .operationNotSupportedByDevice)
        }
    }

    /// It is waited for, and not for ever: a server that says nothing leaves the device's own news.
    @Test(arguments: [nil, 400, 3000] as [UInt32?])
    func theServersLastWordIsWaitedFor(_ milliseconds: UInt32?) throws {
        try withFakeVerbs { _ in
            // The end of the connection is not in the queue here: only time tells that nothing comes any more.
            let bytes = Challenge(wantsKey: false, patienceSeconds: 10).bytes
            fake_verbs_event_after_connect(9, 0, bytes, UInt8(bytes.count))
            ScriptedServer.message(ScriptedServer.welcome().bytes + [UInt8](repeating: 0, count: 32))
            ScriptedServer.say(.credit(slot: 0))
            let timer = Timer(milliseconds)
            fake_verbs_stop_clock(
                { Unmanaged<Timer>.fromOpaque($0!).takeUnretainedValue().idle() },
                Unmanaged.passUnretained(timer).toOpaque())
            defer { fake_verbs_stop_clock(nil, nil) }
            let began = monotonicNanoseconds()
            let error = #expect(throws: PeerMRError.self) { try put() }
            let seconds = Double(monotonicNanoseconds() - began) / 1e9
            if milliseconds == 400 {
                #expect(error?.origin == .drive && seconds < 2)
            } else {
                #expect(error?.reason.contains("remote access error") == true && (0.9...2).contains(seconds))
            }
        }
    }

    /// Lets the device fail at the first wait, and the server speak so many milliseconds later.
    private final class Timer {
        private let milliseconds: UInt32?
        private var failedAt: UInt64?
        private var hasSpoken = false

        init(_ milliseconds: UInt32?) { self.milliseconds = milliseconds }

        func idle() -> Int32 {
            guard let failedAt else {
                failedAt = monotonicNanoseconds()
                fake_verbs_complete(RequestTag(.chunk, slot: 0).requestID, 10, 1, 0, 0, 0, 0)
                return 1
            }
            fake_verbs_pass_time(50)
            if let milliseconds, !hasSpoken, monotonicNanoseconds() - failedAt >= UInt64(milliseconds) * 1_000_000 {
                hasSpoken = true
                ScriptedServer.say(.failed(.driveFailed, errno: 19))
            }
            return 1
        }
    }

    /// A server that says nothing after its welcome: the stop is heard meanwhile, and after two minutes it is given up.
    @Test(arguments: [true, false])
    func aSilentServerHoldsNobody(_ isStopped: Bool) throws {
        try withFakeVerbs { _ in
            let bytes = Challenge(wantsKey: false, patienceSeconds: 10).bytes
            fake_verbs_event_after_connect(9, 0, bytes, UInt8(bytes.count))
            ScriptedServer.message(ScriptedServer.welcome().bytes + [UInt8](repeating: 0, count: 32))
            let pipe = try FileDescriptor.pipe()
            defer { for end in [pipe.readEnd, pipe.writeEnd] { try? end.close() } }
            let silence = Silence(isStopped ? pipe.writeEnd : nil)
            fake_verbs_stop_clock(
                { Unmanaged<Silence>.fromOpaque($0!).takeUnretainedValue().idle() },
                Unmanaged.passUnretained(silence).toOpaque())
            defer { fake_verbs_stop_clock(nil, nil) }
            var options = Self.options
            options.stop = pipe.readEnd.rawValue
            let error = #expect(throws: PeerMRError.self) {
                _ = try DriveClient.get(100, at: 0, options, receive: { _ in }, progress: { _ in })
            }
            #expect(isStopped ? error == .stopped : error?.reason.contains("no progress") == true)
        }
    }

    /// Says nothing, and ends the connection when it has been waited for much too long.
    private final class Silence {
        private let stop: FileDescriptor?
        private var waits = 0

        init(_ stop: FileDescriptor?) { self.stop = stop }

        func idle() -> Int32 {
            waits += 1
            if waits == 3 { _ = try? stop?.writeAll([1]) }
            if waits == 2000 { fake_verbs_event(10, 0, nil, 0) }
            return 0
        }
    }

    @Test func aServerThatGoesAwayIsMissed() throws {
        try withFakeVerbs { _ in
            ScriptedServer.answer(ScriptedServer.welcome())
            let error = #expect(throws: PeerMRError.self) { try get() }
            #expect(error?.code == .disconnected)
        }
    }

    @Test func whatTheApplicationThrowsComesThrough() throws {
        try withFakeVerbs { _ in
            ScriptedServer.answer(ScriptedServer.welcome())
            ScriptedServer.say(.credit(slot: 0))
            let own = PeerMRError(.dataMismatch, reason: "no more")
            let error = #expect(throws: PeerMRError.self) {
                _ = try DriveClient.put(100, at: 0, Self.options) { _, _ throws(PeerMRError) in
                    throw own
                } progress: { _ in
                }
            }
            #expect(error == own)
        }
    }
}
