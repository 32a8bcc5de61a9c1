// SPDX-License-Identifier: Apache-2.0

import PeerMemory
import SystemPackage
import PeerMRCore
import Testing
import Verbs

@Suite struct HostMemoryTests {
    @Test(arguments: [1, 100, 4095, 4096, 4097, 1 << 20])
    func isPageAlignedRoundedUpAndZero(_ byteCount: Int) throws {
        let memory = try HostMemory(allocating: byteCount)
        #expect(memory.byteCount >= byteCount)
        #expect(memory.byteCount - byteCount < pageBytes)
        #expect(memory.byteCount % pageBytes == 0)
        #expect(UInt(bitPattern: memory.baseAddress) % UInt(pageBytes) == 0)
        #expect(memory.bytes.allSatisfy { $0 == 0 })
        memory.bytes[memory.byteCount - 1] = 7
        #expect(memory.bytes[memory.byteCount - 1] == 7)
    }

    @Test(arguments: [0, -1, Int.min])
    func nothingCannotBeAllocated(_ byteCount: Int) {
        let error = #expect(throws: PeerMRError.self) { _ = try HostMemory(allocating: byteCount) }
        #expect(error?.code == .invalidArgument)
        #expect(error?.reason.contains("\(byteCount) bytes") == true)
        #expect(error?.remedy != nil)
    }

    @Test func moreThanThereIsSaysSo() {
        let error = #expect(throws: PeerMRError.self) { _ = try HostMemory(allocating: 1 << 62) }
        #expect(error?.code == .resourceLimit)
        #expect(error?.errno == .noMemory)
        #expect(error?.call == "mmap")
    }

    /// Rounding up to pages must not trap.
    @Test func theLargestNumberIsRefused() {
        #expect(throws: PeerMRError.self) { _ = try HostMemory(allocating: Int.max) }
    }

    /// The bytes as a region's `read` and `write` reach them, by the kernel.
    @Test func bytesAreCopiedInside() throws {
        let memory = try HostMemory(allocating: 8192)
        let three: [UInt8] = [1, 2, 3]
        try memory.write(three.span.bytes, at: 8189)
        var bytes: [UInt8] = [0, 0]
        var span = bytes.mutableSpan
        var raw = span.mutableBytes
        try memory.read(into: &raw, at: 8190)
        #expect(bytes == [2, 3])
        for offset in [8191, 8192, 8193, -1, Int.max, Int.min] {
            #expect(throws: PeerMRError.self) { try memory.write(three.span.bytes, at: offset) }
        }
    }

    @Test func itSaysWhatItIs() throws {
        let memory: any Memory = try HostMemory(allocating: 4096)
        #expect(memory.kind == .host)
        #expect(memory.provider == nil)
        #expect(memory.byteCount == 4096)
        #expect(memory.owner == .host)
        #expect(memory.identity == .object(ObjectIdentifier(memory)))
    }
}
