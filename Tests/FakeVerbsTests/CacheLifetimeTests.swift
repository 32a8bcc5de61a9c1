// SPDX-License-Identifier: Apache-2.0

import CFakeVerbs
import Glibc
@testable import PeerMR
import Testing

/// What keeps regions of a cache, its readers and its leases, and what ends them.
@Suite struct CacheLifetimeTests {
    private static let rights: Access = [.localWrite, .remoteRead]

    @Test func leasesOutliveTheCache() throws {
        try withFakeVerbs { fake in
            let machine = try Machine()
            do {
                var cache: RegistrationCache? = try RegistrationCache()
                let memories = [try HostMemory(allocating: 4096), try HostMemory(allocating: 4096)]
                let lease = try #require(cache).lease(memories[0], on: machine.domain, access: Self.rights)
                _ = try #require(cache).lease(memories[1], on: machine.domain, access: Self.rights)
                weak let store = cache?.store
                cache = nil
                #expect(fake.live(FAKE_REGION) == 1)
                #expect(store != nil)
                #expect(lease.keys.byteCount == 4096)
                let kind = lease.withRegion { $0.kind }
                #expect(kind == .host)
            }
            #expect(fake.live(FAKE_REGION) == 0)
        }
    }

    @Test func badRequestsAreErrors() throws {
        try withFakeVerbs { _ in
            let machine = try Machine()
            let cache = try RegistrationCache(.init(regions: 2))
            let memory = try HostMemory(allocating: 4096)
            let request = try cache.request(for: memory, on: machine.domain, access: Self.rights)
            for (offset, count) in [(0, 4097), (4096, 1), (-1, 1), (1, Int.max), (0, 0), (Int.min, 1), (0, -1)] {
                let error = #expect(throws: PeerMRError.self) { _ = try cache.lease(request, at: offset, count: count) }
                #expect(error?.code == .invalidArgument)
            }
            let user = unsafe try UserMemory(
                at: UInt64(UInt(bitPattern: memory.baseAddress)), byteCount: 4096)
            let error = #expect(throws: PeerMRError.self) {
                _ = try cache.request(for: user, on: machine.domain, access: Self.rights)
            }
            #expect(error?.reason.contains("no identity") == true)
            let arena = unsafe try HostArena(at: memory.baseAddress, byteCount: 4096)
            _ = try cache.lease(arena, on: machine.domain, access: Self.rights)
            #expect(try cache.invalidate(arena) == 1)
            for limits in [(0, 1), (1, 0), (-1, 1), (1, -5), (RegistrationCache.Limits.mostRegions + 1, 1)] {
                let error = #expect(throws: PeerMRError.self) {
                    _ = try RegistrationCache(.init(regions: limits.0, bytes: limits.1))
                }
                #expect(error?.code == .invalidArgument)
            }
        }
    }

    /// What is leased counts against the limit and is not evicted: the cache goes beyond it, and comes back.
    @Test func moreLeasesThanTheLimitAreAllowedAndNothingLeaks() throws {
        try withFakeVerbs { fake in
            let machine = try Machine()
            let cache = try RegistrationCache(.init(regions: 2))
            let memory = try HostMemory(allocating: 1 << 20)
            let request = try cache.request(for: memory, on: machine.domain, access: Self.rights)
            final class Box { let lease: RegionLease; init(_ lease: consuming RegionLease) { self.lease = lease } }
            var held: [Box] = []
            for index in 0..<256 { held.append(Box(try cache.lease(request, at: index * 4096, count: 4096))) }
            #expect(fake.live(FAKE_REGION) == 256)
            held = []
            _ = try cache.lease(request, at: 0, count: 8192)
            #expect(fake.live(FAKE_REGION) == 2)
            _ = try cache.lease(request, at: 0, count: 4096)
            #expect(try cache.statistics().bytesLeased == 0)
        }
    }

    @Test func aReaderKeepsWhatItFoundUntilItAdvances() throws {
        try withFakeVerbs { fake in
            let machine = try Machine()
            let cache = try RegistrationCache()
            let memory = try HostMemory(allocating: 65536)
            let request = try cache.request(for: memory, on: machine.domain, access: Self.rights)
            do {
                var reader = try cache.reader()
                let before = reader.keys(request, at: 0, count: 4096)
                #expect(before == nil)
                let keys = try cache.lease(request).keys
                let seen = reader.keys(request, at: 4096, count: 4096)
                #expect(seen?.localKey == keys.localKey)
                #expect(seen?.address == keys.address + 4096)
                for (offset, count) in [(65536, 1), (0, -1), (-1, 2), (0, 65537)] {
                    let outside = reader.keys(request, at: offset, count: count)
                    #expect(outside == nil)
                }
                #expect(try cache.invalidateAll() == 1)
                let ended = reader.keys(request, at: 4096, count: 4096)
                #expect(ended == nil)
                #expect(fake.live(FAKE_REGION) == 1, "a request of the reader's may be using it")
                reader.advance()
                #expect(fake.live(FAKE_REGION) == 0)
            }
            #expect(try cache.statistics().hits == 1)
        }
    }

    /// What a child process finds of its parent's cache: nothing, and a refusal. What it drops is the parent's.
    @Test func aChildFindsNothing() async {
        await #expect(processExitsWith: .success) {
            try withFakeVerbs { fake in
                let machine = try Machine()
                let family = Family(
                    cache: try RegistrationCache(), memory: try HostMemory(allocating: 4096), domain: machine.domain)
                let keys = try family.lease().keys
                let result = fake_verbs_in_child(
                    { Unmanaged<Family>.fromOpaque($0!).takeUnretainedValue().look() },
                    Unmanaged.passUnretained(family).toOpaque())
                #expect(result == 0, "what was not as it should be in the child")
                #expect(try family.lease().keys == keys)
                #expect(fake.live(FAKE_REGION) == 1)
                #expect(!fake.journal.contains("ibv_dereg_mr"))
            }
        }
    }
}

/// A cache before and after fork(2).
private final class Family {
    var cache: RegistrationCache?
    let memory: HostMemory
    let domain: ProtectionDomain

    init(cache: RegistrationCache, memory: HostMemory, domain: ProtectionDomain) {
        self.cache = cache
        self.memory = memory
        self.domain = domain
    }

    func lease() throws -> RegionLease {
        try #require(cache).lease(memory, on: domain, access: [.localWrite])
    }

    /// In the child: the number of the first thing that is wrong; 0 where nothing is.
    func look() -> Int32 {
        guard let cache else { return 1 }
        do throws(PeerMRError) {
            _ = try cache.lease(memory, on: domain, access: [.localWrite])
            return 2
        } catch {
            if error.code != .notSupported { return 3 }
        }
        if (try? cache.statistics()) != nil { return 4 }
        if (try? cache.invalidateAll()) != nil { return 5 }
        self.cache = nil
        return fake_verbs_live(FAKE_REGION) == 1 ? 0 : 6
    }
}
