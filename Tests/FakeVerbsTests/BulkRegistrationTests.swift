// SPDX-License-Identifier: Apache-2.0

import CFakeVerbs
import Glibc
@testable import PeerMR
import Testing

@Suite struct BulkRegistrationTests {
    private static let rights: Access = [.localWrite, .remoteRead]

    @Test func eachPartHasARegionInEachDomain() throws {
        try withFakeVerbs { fake in
            fake_verbs_add_device("fake1")
            let machine = try Machine()
            let other = try ProtectionDomain(try Device(name: "fake1").open())
            let memory = try HostMemory(allocating: 1 << 20)
            // From several memories, overlapping, and the same once more.
            let part = try MemoryPart(of: memory, at: 4096, count: 10_000)
            let parts: [any Memory] = [
                part, memory, try MemoryPart(of: part, at: 100, count: 1), try HostMemory(allocating: 4096), part,
            ]
            let set = try PeerRegion.register(parts, on: [machine.domain, other], access: Self.rights)
            #expect(fake.live(FAKE_REGION) == 10)
            #expect(set.regionCount == 10)
            let base = UInt64(UInt(bitPattern: memory.baseAddress))
            var keys: Set<UInt32> = []
            for domain in 0..<2 {
                #expect(set[0, domain].address == base + 4096)
                #expect(set[2, domain].address == base + 4196)
                #expect(set[1, domain].domain === set.domains[domain])
                for number in parts.indices {
                    let whole = try set[number, domain].keys(at: 0, count: set[number, domain].byteCount)
                    #expect(whole.byteCount == UInt64(parts[number].byteCount))
                    keys.insert(whole.localKey)
                    let seen = fake_verbs_coverage(whole.remoteKey)
                    #expect(seen.iova == whole.address)
                    #expect(seen.byte_count == whole.byteCount)
                }
            }
            #expect(keys.count == 10, "duplicates have keys of their own")
        }
    }

    @Test func nothingToRegisterIsAnEmptySetAndNoDomainAnError() throws {
        try withFakeVerbs { fake in
            let machine = try Machine()
            let set = try PeerRegion.register([], on: [machine.domain], access: Self.rights)
            #expect(set.regionCount == 0)
            #expect(fake.live(FAKE_REGION) == 0)
            let memory = try HostMemory(allocating: 4096)
            func refused(_ body: () throws -> RegionSet, _ reason: String) throws {
                let error = #expect(throws: PeerMRError.self) { _ = try body() }
                #expect(error?.code == .invalidArgument)
                #expect(error?.reason.contains(reason) == true, "\(String(describing: error))")
            }
            try refused({ try PeerRegion.register([memory], on: [], access: Self.rights) }, "no domain")
            for count in [0, -1, 257] {
                try refused(
                    {
                        try PeerRegion.register(
                            [memory], on: [machine.domain], access: Self.rights, concurrency: count)
                    }, "\(count) threads")
            }
            for count in [0, -4096, 1, 4097] {
                try refused(
                    {
                        try PeerRegion.register([memory], on: [machine.domain], access: Self.rights, chunkBytes: count)
                    }, "chunks of \(count) bytes")
            }
            try refused(
                { try PeerRegion.register([memory, NoBytes()], on: [machine.domain], access: Self.rights) },
                "part 2 of 2, on fake0: it has no bytes")
            #expect(!fake.journal.contains("ibv_reg_mr"), "before any call")
        }
    }

    @Test func oneDescriptorServesAllDevices() throws {
        try withFakeVerbs { _ in
            fake_verbs_set_buffer_probe(EBADF)
            fake_verbs_add_device("fake1")
            let machine = try Machine()
            let other = try ProtectionDomain(try Device(name: "fake1").open())
            let buffer = try TestBuffer(1 << 20)
            let memory = try buffer.memory()
            let before = openDescriptors(of: buffer.descriptor)
            let parts = try (0..<4).map { try MemoryPart(of: memory, at: $0 * 262_144, count: 262_144) }
            let set = try PeerRegion.register(
                parts, on: [machine.domain, other], access: Self.rights, concurrency: 4, chunkBytes: 65536)
            #expect(openDescriptors(of: buffer.descriptor) == before)
            #expect(set.regionCount == 32)
            let keys = try set[2, 1].keys(at: 65536, count: 4096)
            let seen = fake_verbs_coverage(keys.localKey)
            #expect(seen.offset == 2 * 262_144 + 65536)
            #expect(seen.byte_count == 65536)
            #expect(keys.address == set[2, 1].address + 65536)
        }
    }

    @Test func aKeyIsFoundByOffsetAndNoneOpensTwoChunks() throws {
        try withFakeVerbs { _ in
            fake_verbs_set_region_limits(300_000, 1000)
            let machine = try Machine()
            let memory = try HostMemory(allocating: 1 << 20)
            let part = try MemoryPart(of: memory, at: 5000, count: 1_000_000)
            let region = try PeerRegion.register([part], on: [machine.domain], access: Self.rights)[0, 0]
            #expect(region.chunkBytes == 262_144)
            #expect(region.chunkCount == 4)
            for offset in stride(from: UInt64(0), to: region.byteCount, by: 777) {
                let keys = try region.keys(at: offset, count: 1)
                #expect(keys.address == region.address + offset)
                let seen = fake_verbs_coverage(keys.localKey)
                #expect(keys.address >= seen.iova && keys.address < seen.iova + seen.byte_count)
            }
            let pieces = Array(try region.pieces(at: 0, count: region.byteCount))
            #expect(pieces.count == 4)
            #expect(pieces.reduce(0) { $0 + $1.byteCount } == region.byteCount)
            let first = pieces[0].byteCount
            #expect(throws: SliceError.acrossChunks) { try region.keys(at: first - 1, count: 2) }
            #expect(throws: SliceError.acrossChunks) { try region.element(at: 0, count: first + 1) }
            #expect(try region.element(at: first - 1, count: 1) == pieces[0].element(at: first - 1, count: 1))
            #expect(try region.element(at: first, count: 1) == pieces[1].element(at: 0, count: 1))
            let two = Array(try region.pieces(at: first - 1, count: 2))
            #expect(two.map(\.byteCount) == [1, 1])
            #expect(two.map(\.remoteKey) == [pieces[0].remoteKey, pieces[1].remoteKey])
            for (offset, count) in [(region.byteCount, 1), (0, region.byteCount + 1), (.max, 1), (1, .max)]
                as [(UInt64, UInt64)]
            {
                #expect(throws: SliceError.outOfBounds) { try region.keys(at: offset, count: count) }
                #expect(throws: SliceError.outOfBounds) { try region.pieces(at: offset, count: count) }
            }
            #expect(try region.keys(at: region.byteCount, count: 0).byteCount == 0)
            #expect(Array(try region.pieces(at: 9, count: 0)).isEmpty)
            let length = region.withRegion(at: first) { $0.byteCount }
            #expect(length == 262_144)
            let none = region.withRegion(at: region.byteCount) { $0.byteCount }
            #expect(none == nil)
        }
    }

    @Test func moreRegionsThanTheDeviceHasAreNotBegun() throws {
        try withFakeVerbs { fake in
            fake_verbs_set_region_limits(1 << 40, 7)
            let machine = try Machine()
            let memory = try HostMemory(allocating: 8 * 4096)
            let error = #expect(throws: PeerMRError.self) {
                _ = try PeerRegion.register([memory], on: [machine.domain], access: Self.rights, chunkBytes: 4096)
            }
            #expect(error?.code == .resourceLimit)
            #expect(!fake.journal.contains("ibv_reg_mr"))
        }
    }

    @Test func manyThreadsRegisterAllOfIt() throws {
        try withFakeVerbs { fake in
            let machine = try Machine()
            let memory = try HostMemory(allocating: 200 * 4096)
            fake_verbs_set_registration_time(1000)
            let begin = monotonicNanoseconds()
            let set = try PeerRegion.register(
                [memory], on: [machine.domain], access: Self.rights, concurrency: 8, chunkBytes: 4096)
            #expect(monotonicNanoseconds() - begin < 150_000_000, "200 registrations of 1 ms, by eight threads")
            #expect(fake.live(FAKE_REGION) == 200)
            var keys: Set<UInt32> = []
            for piece in try set[0, 0].pieces(at: 0, count: set[0, 0].byteCount) { keys.insert(piece.localKey) }
            #expect(keys.count == 200)
        }
    }

    @Test(arguments: [1, 2, 8])
    func aFailureAtAnyRegistrationLeavesNothing(_ concurrency: Int) throws {
        try withFakeVerbs { fake in
            fake_verbs_set_buffer_probe(EBADF)
            let machine = try Machine()
            let second = try ProtectionDomain(machine.context)
            let host = try HostMemory(allocating: 5 * 4096)
            let buffer = try TestBuffer(4 * 4096)
            let parts: [any Memory] = [host, try buffer.memory(), try MemoryPart(of: host, at: 100, count: 8192)]
            let open = openDescriptors(of: buffer.descriptor)
            // 5, 4 and 3 chunks in each domain.
            for failing: UInt32 in 0..<24 {
                let (call, skip) = Self.call(failing)
                fake_verbs_fail(call, ENOMEM, skip)
                let error = #expect(throws: PeerMRError.self) {
                    _ = try PeerRegion.register(
                        parts, on: [machine.domain, second], access: Self.rights, concurrency: concurrency,
                        chunkBytes: 4096)
                }
                #expect(error?.errno == .noMemory)
                #expect(error?.call == call)
                #expect(error?.reason.contains(" of 3, bytes ") == true, "\(String(describing: error))")
                #expect(fake.live(FAKE_REGION) == 0)
                #expect(openDescriptors(of: buffer.descriptor) == open)
                fake_verbs_fail_no_more()
            }
            let set = try PeerRegion.register(
                parts, on: [machine.domain, second], access: Self.rights, concurrency: concurrency, chunkBytes: 4096)
            #expect(set.regionCount == 24)
        }
    }

    /// The kth of all registrations is of the host's memory or of the buffer.
    private static func call(_ number: UInt32) -> (String, UInt32) {
        switch number {
        case 0..<10: ("ibv_reg_mr", number)
        case 10..<18: ("ibv_reg_dmabuf_mr", number - 10)
        default: ("ibv_reg_mr", number - 8)
        }
    }

    @Test func hostMemoryIsPopulatedBefore() throws {
        try withFakeVerbs { fake in
            fake_verbs_set_buffer_probe(EBADF)
            let machine = try Machine()
            let memory = try HostMemory(allocating: 1 << 20)
            let buffer = try TestBuffer(65536).memory()
            let parts: [any Memory] = [try MemoryPart(of: memory, at: 0, count: 65536), buffer]
            let set = try PeerRegion.register(
                parts, on: [machine.domain], access: Self.rights, concurrency: 2, prepare: .populate)
            #expect(set.preparation == .populate)
            #expect(set.populatedBytes == 65536, "of the host's, and not of a dma-buf")
            #expect(set.preparationNanoseconds > 0)
            var pages = [UInt8](repeating: 0, count: 256)
            try #require(mincore(memory.baseAddress, memory.byteCount, &pages) == 0)
            #expect(pages.prefix(16).allSatisfy { $0 & 1 != 0 })
            let other = try HostMemory(allocating: 65536)
            let plain = try PeerRegion.register([other], on: [machine.domain], access: Self.rights)
            #expect(plain.populatedBytes == 0)
            try #require(mincore(other.baseAddress, other.byteCount, &pages) == 0)
            #expect(pages.prefix(16).allSatisfy { $0 & 1 == 0 })
        }
    }

    @Test func whatCannotBePopulatedIsNotRegistered() throws {
        try withFakeVerbs { fake in
            let machine = try Machine()
            let file = fake_verbs_memory_file()
            defer { close(file) }
            try #require(ftruncate(file, 4096) == 0)
            let mapped = mmap(nil, 8192, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0)
            let base = try #require(mapped != MAP_FAILED ? mapped : nil)
            defer { munmap(base, 8192) }
            let parts: [any Memory] = [
                try HostMemory(allocating: 4096), unsafe try HostArena(at: base, byteCount: 8192),
            ]
            let error = #expect(throws: PeerMRError.self) {
                _ = try PeerRegion.register(parts, on: [machine.domain], access: Self.rights, prepare: .populate)
            }
            #expect(error?.call == "madvise")
            #expect(error?.reason.hasPrefix("part 2 of 2: 8 KiB") == true, "\(String(describing: error))")
            #expect(!fake.journal.contains("ibv_reg_mr"))
        }
    }

    /// What was not begun when one failed is not begun any more.
    @Test func aFailureStopsTheOthers() throws {
        try withFakeVerbs { fake in
            let machine = try Machine()
            let parts = try (0..<20).map { _ in try HostMemory(allocating: 4096) }
            fake_verbs_fail_once("ibv_reg_mr", EPERM, 7)
            #expect(throws: PeerMRError.self) {
                _ = try PeerRegion.register(parts, on: [machine.domain], access: Self.rights)
            }
            #expect(fake.journal.count { $0 == "ibv_reg_mr" } == 7)
        }
    }

    @Test func theFirstPartThatFailedIsNamed() throws {
        try withFakeVerbs { _ in
            let machine = try Machine()
            let parts = try (0..<20).map { _ in try HostMemory(allocating: 4096) }
            fake_verbs_fail("ibv_reg_mr", EPERM, 7)
            let error = #expect(throws: PeerMRError.self) {
                _ = try PeerRegion.register(parts, on: [machine.domain], access: Self.rights)
            }
            #expect(error?.reason.hasPrefix("part 8 of 20, on fake0: ") == true, "\(String(describing: error))")
            #expect(error?.code == .notPermitted)
            // Of those that several threads fail at, the first in order.
            fake_verbs_fail("ibv_reg_mr", EPERM, 0)
            fake_verbs_set_registration_time(20_000)
            let many = #expect(throws: PeerMRError.self) {
                _ = try PeerRegion.register(parts, on: [machine.domain], access: Self.rights, concurrency: 8)
            }
            #expect(many?.reason.hasPrefix("part 1 of 20, on fake0: ") == true, "\(String(describing: many))")
            // One part in one region says no more than a registration does.
            let single = #expect(throws: PeerMRError.self) {
                _ = try PeerRegion.register([parts[0]], on: [machine.domain], access: Self.rights)
            }
            #expect(single?.reason.hasPrefix("part") == false)
        }
    }
}

/// Memory that says that it has no bytes.
private final class NoBytes: Memory {
    let kind = MemoryKind.host
    let byteCount = 0
    func backing(for access: Access) -> MemoryBacking { .mapped(IOVector(address: 4096, byteCount: 0)) }
    func read(into bytes: inout MutableRawSpan, at offset: Int) {}
    func write(_ bytes: RawSpan, at offset: Int) {}
}
