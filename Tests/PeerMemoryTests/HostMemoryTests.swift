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

    @Test func aSliceIsInside() throws {
        let memory = try HostMemory(allocating: 8192)
        let slice = try memory.slice(at: 4096, count: 100)
        #expect(slice.address == UInt(bitPattern: memory.baseAddress) + 4096)
        #expect(slice.byteCount == 100)
        #expect(try memory.slice(at: 8192, count: 0).byteCount == 0)
        #expect(try memory.slice(at: 0, count: 8192).byteCount == 8192)
    }

    @Test(arguments: [(0, 8193), (8192, 1), (8193, 0), (-1, 1), (0, -1), (Int.max, 1), (1, Int.max), (Int.min, 0)])
    func aSliceOutsideIsRefused(_ offset: Int, _ count: Int) throws {
        let memory = try HostMemory(allocating: 8192)
        #expect(throws: SliceError.outOfBounds) { try memory.slice(at: offset, count: count) }
    }

    @Test func anyMemorySaysWhatItIs() throws {
        let memory = AnyMemory.host(try HostMemory(allocating: 4096))
        #expect(memory.kind == .host)
        #expect(memory.provider == nil)
        #expect(memory.byteCount == 4096)
    }
}
