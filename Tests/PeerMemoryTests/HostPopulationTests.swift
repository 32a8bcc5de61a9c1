// SPDX-License-Identifier: Apache-2.0

import CLinux
import Glibc
@testable import PeerMemory
import PeerMRCore
import SystemPackage
import Testing
@testable import Verbs

/// Over the running kernel: what is resident is what mincore(2) says.
@Suite struct HostPopulationTests {
    private func resident(_ memory: UnsafeMutableRawPointer, _ byteCount: Int) -> Int {
        var pages = [UInt8](repeating: 0, count: (byteCount + pageBytes - 1) / pageBytes)
        guard mincore(memory, byteCount, &pages) == 0 else { return -1 }
        return pages.count { $0 & 1 != 0 }
    }

    private func vector(_ address: UnsafeMutableRawPointer, _ byteCount: Int) -> IOVector {
        IOVector(address: UInt(bitPattern: address), byteCount: byteCount)
    }

    @Test(arguments: [true, false])
    func thePagesThatARangeTouchesAreThere(_ hasCall: Bool) throws {
        guard !hasCall || HostPopulation.hasCall else { return }
        let memory = try HostMemory(allocating: 64 * pageBytes)
        #expect(resident(memory.baseAddress, memory.byteCount) == 0)
        let range = vector(memory.baseAddress + 3 * pageBytes + 5, 4 * pageBytes)
        let outcome = try HostPopulation.populate(range, mayTouch: true, hasCall: hasCall)
        #expect(outcome == .populated)
        #expect(resident(memory.baseAddress, memory.byteCount) == 5)
    }

    @Test func touchingChangesNothing() throws {
        let memory = try HostMemory(allocating: 4 * pageBytes)
        for index in 0..<memory.byteCount { memory.bytes[index] = UInt8(truncatingIfNeeded: index / 7) }
        peermr_touch(memory.baseAddress, memory.byteCount, pageBytes)
        for index in 0..<memory.byteCount { #expect(memory.bytes[index] == UInt8(truncatingIfNeeded: index / 7)) }
    }

    @Test func withoutTheCallMemoryOfOthersIsLeftAlone() throws {
        let memory = try HostMemory(allocating: pageBytes)
        let outcome = try HostPopulation.populate(
            vector(memory.baseAddress, pageBytes), mayTouch: false, hasCall: false)
        #expect(outcome == .unsupported)
        #expect(resident(memory.baseAddress, pageBytes) == 0)
    }

    @Test func memoryThatCannotBeWrittenIsPopulatedForReading() throws {
        let mapped = mmap(nil, 8 * pageBytes, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0)
        let base = try #require(mapped != MAP_FAILED ? mapped : nil)
        defer { munmap(base, 8 * pageBytes) }
        #expect(try HostPopulation.populate(vector(base, 8 * pageBytes), mayTouch: false) == .populated)
        #expect(resident(base, 8 * pageBytes) == 8)
    }

    @Test func aFileThatEndsBeforeItsMappingIsAnError() throws {
        let path = "/dev/shm/peermr-population-\(getpid())"
        let file = Glibc.open(path, O_CREAT | O_EXCL | O_RDWR | O_CLOEXEC, 0o600)
        unlink(path)
        try #require(file >= 0)
        defer { close(file) }
        try #require(ftruncate(file, pageBytes) == 0)
        let mapped = mmap(nil, 2 * pageBytes, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0)
        let base = try #require(mapped != MAP_FAILED ? mapped : nil)
        defer { munmap(base, 2 * pageBytes) }
        let error = #expect(throws: PeerMRError.self) {
            _ = try HostPopulation.populate(vector(base, 2 * pageBytes), mayTouch: false)
        }
        #expect(error?.code == .invalidArgument)
        #expect(error?.errno == .badAddress)
        #expect(try HostPopulation.populate(vector(base, pageBytes), mayTouch: false) == .populated)
    }

    @Test func whatIsNotMappedIsAnError() throws {
        let mapped = mmap(nil, 2 * pageBytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0)
        let base = try #require(mapped != MAP_FAILED ? mapped : nil)
        defer { munmap(base, pageBytes) }
        // Something else may come to be mapped there: nothing is written.
        munmap(base + pageBytes, pageBytes)
        let error = #expect(throws: PeerMRError.self) {
            _ = try HostPopulation.populate(vector(base, 2 * pageBytes), mayTouch: false)
        }
        #expect(error?.code == .resourceLimit)
        #expect(error?.errno == .noMemory)
    }
}
