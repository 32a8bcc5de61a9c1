// SPDX-License-Identifier: Apache-2.0

import CFakeVerbs
import Glibc
@testable import PeerMR
import Testing

@Suite struct RegistrationCacheTests {
    private static let rights: Access = [.localWrite, .remoteRead]

    @Test func theSecondLookupFindsWhatTheFirstRegistered() throws {
        try withFakeVerbs { fake in
            let machine = try Machine()
            let cache = try RegistrationCache()
            let memory = try HostMemory(allocating: 1 << 20)
            let request = try cache.request(for: memory, on: machine.domain, access: Self.rights)
            let first = try cache.lease(request).keys
            let second = try cache.lease(request).keys
            #expect(first == second)
            #expect(first.address == UInt64(UInt(bitPattern: memory.baseAddress)))
            #expect(first.byteCount == 1 << 20)
            #expect(fake.live(FAKE_REGION) == 1)
            let seen = try cache.statistics()
            #expect(seen.hits == 1)
            #expect(seen.misses == 1)
            #expect(seen.regions == 1)
            #expect(seen.bytesIdle == 1 << 20)
            #expect(seen.bytesLeased == 0)
        }
    }

    @Test func aRangeInsideARegionIsFoundInIt() throws {
        try withFakeVerbs { fake in
            let machine = try Machine()
            let cache = try RegistrationCache()
            let memory = try HostMemory(allocating: 1 << 20)
            let request = try cache.request(for: memory, on: machine.domain, access: Self.rights)
            let whole = try cache.lease(request, at: 8192, count: 65536).keys
            // In each block that the region touches, at its ends, and with lengths of other sizes.
            for (offset, count) in [(8192, 1), (8192, 65536), (73727, 1), (65536, 8192), (12288, 4096), (8200, 60000)] {
                let part = try cache.lease(request, at: offset, count: count).keys
                #expect(part.localKey == whole.localKey)
                #expect(part.address == whole.address + UInt64(offset - 8192))
                #expect(part.byteCount == UInt64(count))
            }
            #expect(fake.live(FAKE_REGION) == 1)
            for (offset, count) in [(8191, 2), (8192, 65537), (0, 4096), (73728, 1), (0, 1 << 20)] {
                #expect(try cache.lease(request, at: offset, count: count).keys.localKey != whole.localKey)
            }
        }
    }

    @Test func remoteRightsMatchExactlyAndLocalOnesAtLeast() throws {
        try withFakeVerbs { _ in
            let machine = try Machine()
            let cache = try RegistrationCache()
            let memory = try HostMemory(allocating: 4096)
            func key(_ access: Access) throws -> UInt32 {
                try cache.lease(memory, on: machine.domain, access: access).keys.localKey
            }
            let writing = try key([.localWrite])
            #expect(try key([]) == writing, "fewer local rights")
            let reading = try key([.localWrite, .remoteRead])
            #expect(reading != writing)
            #expect(try key([.remoteRead]) == reading)
            #expect(try key([.localWrite, .remoteRead, .remoteWrite]) != reading)
            #expect(try key([.localWrite, .relaxedOrdering]) != writing)
            #expect(try cache.statistics().regions == 4)
        }
    }

    @Test func aRegionThatMayDoLessIsNotEnough() throws {
        try withFakeVerbs { _ in
            let machine = try Machine()
            let cache = try RegistrationCache()
            let memory = try HostMemory(allocating: 4096)
            let reading = try cache.lease(memory, on: machine.domain, access: []).keys
            #expect(try cache.lease(memory, on: machine.domain, access: [.localWrite]).keys != reading)
        }
    }

    @Test func domainsAndMemoriesAreKeptApart() throws {
        try withFakeVerbs { _ in
            let machine = try Machine()
            let other = try ProtectionDomain(machine.context)
            let cache = try RegistrationCache()
            let memories = [try HostMemory(allocating: 4096), try HostMemory(allocating: 4096)]
            var keys: Set<UInt32> = []
            for memory in memories {
                for domain in [machine.domain, other] {
                    keys.insert(try cache.lease(memory, on: domain, access: Self.rights).keys.localKey)
                }
            }
            #expect(keys.count == 4)
        }
    }

    /// Also those whose entries would stand in the same place.
    @Test func manyDomainsAreKeptApart() throws {
        try withFakeVerbs { _ in
            let machine = try Machine()
            let domains = try (0..<400).map { _ in try ProtectionDomain(machine.context) }
            let cache = try RegistrationCache()
            let memory = try HostMemory(allocating: 4096)
            let key = { (domain: ProtectionDomain) in
                try cache.lease(memory, on: domain, access: Self.rights).keys.localKey
            }
            let keys = try domains.map(key)
            #expect(Set(keys).count == 400)
            #expect(try domains.map(key) == keys)
        }
    }

    @Test func aBufferIsKnownByItsNumberWhateverTheDescriptor() throws {
        try withFakeVerbs { fake in
            fake_verbs_set_buffer_probe(EBADF)
            let machine = try Machine()
            let cache = try RegistrationCache()
            let buffer = try TestBuffer(65536)
            let first = try cache.lease(try buffer.memory(), on: machine.domain, access: Self.rights).keys
            let again = try cache.lease(try buffer.memory(), on: machine.domain, access: Self.rights).keys
            #expect(first == again)
            // A part of it that begins elsewhere.
            let part = try buffer.memory(offset: 8192, byteCount: 4096)
            let inside = try cache.lease(part, on: machine.domain, access: Self.rights).keys
            #expect(inside.localKey == first.localKey)
            #expect(inside.address == first.address + 8192)
            #expect(fake.live(FAKE_REGION) == 1)
            let other = try TestBuffer(65536)
            #expect(
                try cache.lease(try other.memory(), on: machine.domain, access: Self.rights).keys.localKey
                    != first.localKey)
        }
    }

    @Test func anAddressThatWasAskedForIsTheAddress() throws {
        try withFakeVerbs { _ in
            fake_verbs_set_buffer_probe(EBADF)
            let machine = try Machine()
            let cache = try RegistrationCache()
            let memory = try TestBuffer(65536).memory()
            func lease(_ address: UInt64?, at offset: Int = 0) throws -> RegionKeys {
                let request = try cache.request(
                    for: memory, on: machine.domain, access: Self.rights,
                    options: RegistrationOptions(ioAddress: address))
                return try cache.lease(request, at: offset, count: 4096).keys
            }
            let natural = try lease(nil)
            let there = try lease(0x1000_0000)
            #expect(there.address == 0x1000_0000)
            #expect(there.localKey != natural.localKey)
            #expect(try lease(0x1000_0000) == there)
            #expect(try lease(0x2000_0000).localKey != there.localKey)
            #expect(try lease(nil) == natural)
            #expect(try lease(0x1000_0000, at: 8192).address == 0x1000_2000)
        }
    }

    @Test func wideningRegistersTheWholeButNeverForPeers() throws {
        try withFakeVerbs { fake in
            let machine = try Machine()
            let cache = try RegistrationCache()
            let memory = try HostMemory(allocating: 1 << 20)
            let wide = try cache.request(for: memory, on: machine.domain, access: [.localWrite], widening: .buffer)
            let first = try cache.lease(wide, at: 4096, count: 4096).keys
            #expect(fake_verbs_registered_bytes() == 1 << 20)
            #expect(first.byteCount == 4096)
            #expect(try cache.lease(wide, at: 1 << 19, count: 65536).keys.localKey == first.localKey)
            let remote = try cache.request(for: memory, on: machine.domain, access: Self.rights, widening: .buffer)
            _ = try cache.lease(remote, at: 4096, count: 4096)
            #expect(fake_verbs_registered_bytes() == 4096)
        }
    }

    @Test func anEndedRegionGoesWithItsLastLease() throws {
        try withFakeVerbs { fake in
            let machine = try Machine()
            let cache = try RegistrationCache()
            let memory = try HostMemory(allocating: 4096)
            do {
                let first = try cache.lease(memory, on: machine.domain, access: Self.rights)
                do {
                    let second = try cache.lease(memory, on: machine.domain, access: Self.rights)
                    #expect(first.keys == second.keys)
                    #expect(try cache.invalidate(memory) == 1)
                    #expect(fake.live(FAKE_REGION) == 1)
                    #expect(try cache.statistics().endedRegions == 1)
                }
                #expect(fake.live(FAKE_REGION) == 1)
                // The next lookup registers anew, beside it.
                let next = try cache.lease(memory, on: machine.domain, access: Self.rights)
                #expect(next.keys.localKey != first.keys.localKey)
                #expect(fake.live(FAKE_REGION) == 2)
            }
            #expect(fake.live(FAKE_REGION) == 1)
            #expect(try cache.invalidate(memory) == 1)
            #expect(fake.live(FAKE_REGION) == 0)
            #expect(try cache.statistics().invalidations == [.buffer: 2])
        }
    }

    @Test func rangesAndProvidersAndLossesEndTheirRegionsAlone() throws {
        try withFakeVerbs { fake in
            fake_verbs_set_buffer_probe(EBADF)
            let machine = try Machine()
            let cache = try RegistrationCache()
            let memory = try HostMemory(allocating: 1 << 20)
            let request = try cache.request(for: memory, on: machine.domain, access: Self.rights)
            for offset in stride(from: 0, to: 65536, by: 4096) { _ = try cache.lease(request, at: offset, count: 4096) }
            #expect(try cache.invalidate(memory, 4097..<12288) == 2)
            #expect(try cache.statistics().regions == 14)
            let provider = try #require(PCIAddress("ffff:ff:1f.7"))
            let peer = try TestBuffer(4096).memory(provider: provider)
            _ = try cache.lease(peer, on: machine.domain, access: [.localWrite])
            #expect(try cache.invalidate(provider: provider) == 1)
            let lease = try cache.lease(request, at: 0, count: 4096)
            lease.invalidate()
            lease.invalidate()
            #expect(try cache.lease(request, at: 0, count: 4096).keys.localKey != lease.keys.localKey)
            #expect(try cache.statistics().invalidations == [.range: 2, .provider: 1, .loss: 1])
            #expect(try cache.invalidateAll() == 14)
            #expect(fake.live(FAKE_REGION) == 1, "the one that is leased")
        }
    }

    @Test func aDomainCanBeReleased() throws {
        try withFakeVerbs { fake in
            let machine = try Machine()
            let cache = try RegistrationCache()
            let memory = try HostMemory(allocating: 4096)
            do {
                let domain = try ProtectionDomain(machine.context)
                do {
                    let lease = try cache.lease(memory, on: domain, access: Self.rights)
                    let error = #expect(throws: PeerMRError.self) { try cache.release(domain) }
                    #expect(error?.code == .busy)
                    #expect(lease.keys.byteCount == 4096)
                }
                #expect(fake.live(FAKE_REGION) == 0)
                try cache.release(domain)
            }
            #expect(fake.live(FAKE_PROTECTION_DOMAIN) == 1, "the machine's")
        }
    }

    @Test func whatIsIdleLongestGoesFirst() throws {
        try withFakeVerbs { fake in
            let machine = try Machine()
            let cache = try RegistrationCache(.init(regions: 8))
            let memories = try (0..<20).map { _ in try HostMemory(allocating: 4096) }
            func lease(_ index: Int) throws -> RegionLease {
                try cache.lease(memories[index], on: machine.domain, access: Self.rights)
            }
            let kept = try lease(0)
            for index in 1..<20 {
                _ = try lease(index)
                // Used again and again: it stays.
                _ = try lease(1)
                #expect(fake.live(FAKE_REGION) <= 8)
            }
            let before = try cache.statistics()
            #expect(before.evictions == [.count: 12])
            let (again, used) = (try lease(0).keys, try lease(1).keys)
            #expect(again == kept.keys, "what is leased is never evicted")
            #expect(used.byteCount == 4096)
            #expect(try cache.statistics().misses == before.misses)
        }
    }

    @Test func bytesAreLimitedToo() throws {
        try withFakeVerbs { _ in
            let machine = try Machine()
            let cache = try RegistrationCache(.init(bytes: 10 * 4096))
            let memory = try HostMemory(allocating: 1 << 20)
            let request = try cache.request(for: memory, on: machine.domain, access: Self.rights)
            for index in 0..<30 { _ = try cache.lease(request, at: index * 4096, count: 4096) }
            let seen = try cache.statistics()
            #expect(seen.bytesIdle == 10 * 4096)
            #expect(seen.evictions == [.bytes: 20])
        }
    }

    @Test func withoutMemoryIdleRegionsGoAndTheCallIsMadeOnceMore() throws {
        try withFakeVerbs { fake in
            let machine = try Machine()
            let cache = try RegistrationCache()
            let memories = try (0..<4).map { _ in try HostMemory(allocating: 4096) }
            for memory in memories.dropLast() { _ = try cache.lease(memory, on: machine.domain, access: Self.rights) }
            fake.fail("ibv_reg_mr", .noMemory)
            let error = #expect(throws: PeerMRError.self) {
                _ = try cache.lease(memories[3], on: machine.domain, access: Self.rights)
            }
            #expect(error?.errno == .noMemory)
            #expect(try #require(try cache.statistics().evictions[.memory]) > 0)
            fake_verbs_fail_no_more()
            // No failure is remembered.
            _ = try cache.lease(memories[3], on: machine.domain, access: Self.rights)
        }
    }

    @Test func thousandsOfRegionsAreFoundAndGo() throws {
        try withFakeVerbs { fake in
            let machine = try Machine()
            let cache = try RegistrationCache(.init(regions: 5000))
            let memory = try HostMemory(allocating: 4096 * 8192)
            let request = try cache.request(for: memory, on: machine.domain, access: Self.rights)
            var keys: [UInt32] = []
            for index in 0..<4096 {
                keys.append(try cache.lease(request, at: index * 8192, count: 4096).keys.localKey)
            }
            for round in 0..<3 {
                for index in 0..<4096 {
                    #expect(try cache.lease(request, at: index * 8192, count: 4096).keys.localKey == keys[index])
                }
                for index in stride(from: round, to: 4096, by: 7) {
                    _ = try cache.invalidate(memory, index * 8192..<index * 8192 + 1)
                    keys[index] = try cache.lease(request, at: index * 8192, count: 4096).keys.localKey
                }
            }
            #expect(fake.live(FAKE_REGION) == 4096)
            #expect(try cache.invalidate(memory) == 4096)
            #expect(fake.live(FAKE_REGION) == 0)
        }
    }
}
