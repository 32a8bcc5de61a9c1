// SPDX-License-Identifier: Apache-2.0

import SystemPackage
import PeerMRCore
import Testing

@Suite struct CallsTests {
    @Test func waitingTellsWhichDescriptorIsReadable() throws {
        let first = try FileDescriptor.pipe()
        let second = try FileDescriptor.pipe()
        defer { for end in [first.readEnd, first.writeEnd, second.readEnd] { try? end.close() } }
        let descriptors: [4 of Int32] = [-1, first.readEnd.rawValue, second.readEnd.rawValue, -1]
        #expect(try waitReadable(descriptors, milliseconds: 0) == 0)
        _ = try first.writeEnd.writeAll([1])
        #expect(try waitReadable(descriptors, milliseconds: 1000) == 0b0010)
        try second.writeEnd.close()
        #expect(try waitReadable(descriptors, milliseconds: 1000) == 0b0110, "a hang-up counts too")
    }

    @Test func waitingEndsAfterItsTime() throws {
        let ends = try FileDescriptor.pipe()
        defer { for end in [ends.readEnd, ends.writeEnd] { try? end.close() } }
        let began = monotonicNanoseconds()
        #expect(try waitReadable([ends.readEnd.rawValue, -1, -1, -1], milliseconds: 30) == 0)
        #expect(monotonicNanoseconds() - began >= 29_000_000)
    }

    @Test func theClockNeverGoesBack() {
        var last = monotonicNanoseconds()
        for _ in 0..<10_000 {
            let now = monotonicNanoseconds()
            if now < last { Issue.record("\(now) after \(last)") }
            last = now
        }
    }

    @Test func aPageIsAPowerOfTwo() {
        #expect(pageBytes >= 4096)
        #expect(pageBytes & (pageBytes - 1) == 0)
    }

    @Test func anOwnedDescriptorIsClosedWithItsOwner() throws {
        let ends = try FileDescriptor.pipe()
        do {
            let owner = OwnedDescriptor(adopting: ends.writeEnd.rawValue)
            #expect(owner.rawValue == ends.writeEnd.rawValue)
        }
        let ready = try waitReadable([ends.readEnd.rawValue, -1, -1, -1], milliseconds: 1000)
        #expect(ready == 1, "the other end sees the hang-up")
        try ends.readEnd.close()
    }

    @Test func aNonBlockingDescriptorDoesNotWait() throws {
        let ends = try FileDescriptor.pipe()
        defer { for end in [ends.readEnd, ends.writeEnd] { try? end.close() } }
        try OwnedDescriptor.setNonBlocking(ends.readEnd.rawValue)
        #expect(throws: Errno.wouldBlock) {
            var byte: [UInt8] = [0]
            _ = try byte.withUnsafeMutableBytes { try ends.readEnd.read(into: $0) }
        }
        #expect(throws: Errno.badFileDescriptor) { try OwnedDescriptor.setNonBlocking(-1) }
    }

    @Test func openingSaysTheErrno() {
        #expect(throws: Errno.noSuchFileOrDirectory) {
            _ = try OwnedDescriptor(opening: "/nonexistent/file", flags: 0)
        }
    }
}
