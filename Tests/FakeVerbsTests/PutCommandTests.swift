// SPDX-License-Identifier: Apache-2.0

import ArgumentParser
import CFakeVerbs
import CLinux
import Glibc
import PeerMR
import PeerMRCore
import SystemPackage
import TestSupport
import Testing

@testable import NICToNVMe
@testable import PeerTransfer

/// `nic-to-nvme put` and `get` as they are run, over the fake network and a drive that fails when it is told to.
@Suite struct PutCommandTests {
    private let folder = TemporaryFolder()
    private static let byteCount = 9000
    private static let recordPlace = 12288

    /// The programs' handlers are taken away again: signals are the test program's.
    private static let signals: Void = {
        _ = OwnedDescriptor(adopting: peermr_termination_descriptor())
        for number in [SIGINT, SIGTERM, SIGHUP] { signal(number, SIG_DFL) }
    }()

    private func run<Command: ParsableCommand>(_ type: Command.Type, _ words: [String]) throws -> Int32 {
        _ = Self.signals
        var command = try #require(
            try Command.parseAsRoot(
                ["--connect", "10.0.0.2", "--slot-size", "4K", "--slots", "3", "--no-progress"] + words) as? Command)
        do { try command.run() } catch let code as ExitCode { return code.rawValue }
        return 0
    }

    private func put(_ words: [String]) throws -> Int32 {
        try run(Put.self, words.dropLast() + [folder.path.appending(words.last ?? "").string])
    }

    private func get(_ words: [String] = []) throws -> Int32 {
        try run(Get.self, ["--length", "\(Self.byteCount)", "--output", folder.path.appending("out").string] + words)
    }

    /// Closures are not known to throw where only a macro does.
    private func expect(_ wanted: Int32, _ status: Int32, _ location: SourceLocation = #_sourceLocation) {
        #expect(status == wanted, sourceLocation: location)
    }

    private func source(_ name: String, _ seed: UInt64) -> [UInt8] {
        var random = SeededGenerator(seed: seed)
        let bytes = random.bytes(exactly: Self.byteCount)
        folder.file(name, bytes)
        return bytes
    }

    private var output: [UInt8]? { folder.root.contents("out", limit: 1 << 20) }

    private func record(_ bed: SessionBed) -> CommitRecord? {
        CommitRecord(parsing: Array(bed.drive.bytes[Self.recordPlace..<Self.recordPlace + 512]))
    }

    @Test func whatIsPutComesBack() throws {
        let bytes = source("data", 1)
        try withSessionBed(seed: 21) { bed in
            expect(0, try put(["data"]))
            #expect(isSame(bed.drive.bytes[..<Self.byteCount], bytes[...]) && record(bed) == nil)
            expect(0, try get())
            #expect(output == bytes)
        }
    }

    /// Whichever operation of the drive fails: the record says "complete" of nothing but whole bytes, `get --committed`
    /// takes nothing else, and a resumed put makes it good.
    @Test func aPutThatIsCutOffAnywhereIsFoundOut() throws {
        let (old, new) = (source("old", 2), source("new", 3))
        try withSessionBed(seed: 22) { bed in
            var kinds: Set<Bool?> = []
            var place = 0
            while true {
                expect(0, try put(["--commit", "old"]))
                #expect(record(bed)?.state == .complete)
                var left = place
                var hasFailed = false
                bed.drive.fault = { entry in
                    if left == 0 {
                        entry.result = -Errno.ioError.rawValue
                        hasFailed = true
                    }
                    left -= 1
                }
                let status = try put(["--commit", "new"])
                bed.drive.fault = nil
                bed.settle(until: { bed.isIdle }, "the server is through with it")
                guard hasFailed else {
                    #expect(status == 0)
                    break
                }
                #expect(status == 1, "operation \(place) has failed")
                let there = Array(bed.drive.bytes[..<Self.byteCount])
                let found = record(bed)
                kinds.insert(found.map { $0.state == .complete })
                #expect(found?.state != .complete || there == old || there == new, "operation \(place)")
                folder.file("out", "before")
                if try get(["--committed"]) == 0 {
                    #expect(output == there && (there == old || there == new), "operation \(place)")
                } else {
                    #expect(output == Array("before".utf8))
                    #expect(found?.state != .complete)
                }
                expect(0, try put(["--resume", "new"]))
                #expect(isSame(bed.drive.bytes[..<Self.byteCount], new[...]), "operation \(place)")
                #expect(record(bed)?.state == .complete)
                expect(0, try get(["--committed"]))
                #expect(output == new)
                place += 1
            }
            // The record, a tail that is read, three chunks, flushed and read back, and the record.
            #expect(place == 12 && kinds == [false, true])
        }
    }

    /// What says that a put was cut off.
    @Test func bytesThatWereCutOffAreNotTaken() throws {
        try withSessionBed(seed: 23) { bed in
            let options = DriveClient.Options(server: SessionBed.address, slotBytes: 4096, slotCount: 2)
            let get = try #require(
                try Get.parseAsRoot(["--connect", "10.0.0.2", "--length", "\(Self.byteCount)"]) as? Get)
            let none = #expect(throws: PeerMRError.self) { try get.recorded(options) }
            #expect(none?.code == .notFound)
            try DriveClient.write(CommitRecord(offset: 0, byteCount: UInt64(Self.byteCount)), options)
            let begun = #expect(throws: PeerMRError.self) { try get.recorded(options) }
            #expect(begun?.code == .dataMismatch && begun?.remedy?.contains("--resume") == true)
            let hash = [UInt8](repeating: 0x1f, count: 32)
            try DriveClient.write(CommitRecord(offset: 0, byteCount: UInt64(Self.byteCount), sha256: hash), options)
            #expect(try get.recorded(options) == String(repeating: "1f", count: 32))
        }
    }

    /// The last word has SHA-256: these bytes change on the drive so that no CRC32C sees it.
    @Test func whatCRC32CDoesNotSeeIsFound() throws {
        _ = source("data", 4)
        try withSessionBed(seed: 24) { bed in
            var hasChanged = false
            bed.before = { [unowned bed] in
                guard !hasChanged, bed.drive.log.count(where: { $0.operation == .flush }) == 2 else { return }
                hasChanged = true
                var bytes = bed.drive.bytes
                for (index, byte) in Self.blindSpot.enumerated() { bytes[100 + index] ^= byte }
                bed.drive.bytes = bytes
            }
            expect(1, try put(["--commit", "data"]))
            #expect(hasChanged)
            bed.before = nil
            bed.settle(until: { bed.isIdle }, "the server is through with it")
            #expect(record(bed)?.state == .writing)
        }
    }

    /// Bytes whose change leaves every CRC32C as it was: the polynomial itself, its highest power first, in the order
    /// of the bits.
    private static let blindSpot: [UInt8] = {
        var bytes: [UInt8] = [1, 0, 0, 0, 0]
        for power in 0..<32 where 0x1edc_6f41 >> power & 1 == 1 { bytes[(32 - power) / 8] |= 1 << ((32 - power) % 8) }
        return bytes
    }()

    @Test func aFileWithOtherBytesThanExpectedGetsNoName() throws {
        _ = source("data", 5)
        try withSessionBed(seed: 25) { _ in
            expect(0, try put(["data"]))
            folder.file("out", "before")
            expect(1, try get(["--sha256", String(repeating: "0", count: 64)]))
            #expect(output == Array("before".utf8))
        }
    }

    /// What `get` reports is durable: where fsync(2) fails nothing is reported, and the exit status is not 0.
    ///
    /// In a process of its own, for what it prints.
    @Test func nothingIsReportedThatIsNotDurable() async throws {
        let ended = await #expect(processExitsWith: .success, observing: [\.standardErrorContent]) {
            let test = PutCommandTests()
            _ = test.source("data", 6)
            try withSessionBed(seed: 26) { _ in
                test.expect(0, try test.put(["data"]))
                fake_verbs_fail("fsync", Errno.ioError.rawValue, 0)
                test.expect(1, try test.get())
                fake_verbs_fail_no_more()
            }
            #expect(test.output == nil)
        }
        let said = String(decoding: ended?.standardErrorContent ?? [], as: UTF8.self)
        #expect(said.contains("put 9000 bytes") && said.contains("fsync"))
        #expect(!said.contains("get 9000 bytes"), "\(said)")
    }
}
