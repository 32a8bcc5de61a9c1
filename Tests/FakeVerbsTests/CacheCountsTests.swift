// SPDX-License-Identifier: Apache-2.0

import CFakeVerbs
import Glibc
@testable import PeerMR
import PeerMRCore
import Testing

/// Leases that threads count in tables of their own, and give back anywhere.
@Suite struct CacheCountsTests {
    private static let rights: Access = [.localWrite, .remoteRead]

    /// A lease in an object, and what was thrown in its place.
    private final class Held: @unchecked Sendable {
        var lease: DetachedLease?

        func giveBack() {
            if let lease { _ = unsafe DetachedLease.giveBack(lease.slot, lease.count, lease.store) }
        }
    }

    /// Leases of one region, of as many threads, all of which have ended. It is there before them: the fake is this
    /// thread's.
    private func leases(_ threads: Int, _ cache: RegistrationCache, _ request: RegionRequest) throws -> [Held] {
        _ = try cache.lease(request)
        let held = (0..<threads).map { _ in Held() }
        for one in held {
            try SystemThread { one.lease = try? cache.lease(request).detach() }.join()
            try #require(one.lease != nil)
        }
        return held
    }

    /// More threads than there are tables: some share one.
    @Test func hitsAndLeasesOfAllThreadsCount() throws {
        try withFakeVerbs { fake in
            let machine = try Machine()
            let cache = try RegistrationCache()
            let memory = try HostMemory(allocating: 4096)
            let request = try cache.request(for: memory, on: machine.domain, access: Self.rights)
            let held = try leases(70, cache, request)
            #expect(try cache.statistics().hits == 70)
            #expect(try cache.statistics().bytesLeased == 4096)
            for one in held { one.giveBack() }
            #expect(try cache.statistics().hits == 70)
            #expect(try cache.statistics().bytesLeased == 0)
            #expect(fake.live(FAKE_REGION) == 1)
        }
    }

    /// A region that ends with leases in several tables goes with the last of them, whichever that is.
    @Test(arguments: [false, true])
    func anEndedRegionGoesWithItsLastLease(_ isCacheGone: Bool) throws {
        try withFakeVerbs { fake in
            let machine = try Machine()
            var cache: RegistrationCache? = try RegistrationCache()
            let memory = try HostMemory(allocating: 4096)
            var request: RegionRequest? = try #require(cache).request(
                for: memory, on: machine.domain, access: Self.rights)
            // Regions that had the slot before leave nothing in the tables.
            for _ in 0..<3 {
                let before = try leases(5, #require(cache), #require(request))
                #expect(try #require(cache).invalidateAll() == 1)
                for one in before { one.giveBack() }
                #expect(fake.live(FAKE_REGION) == 0)
            }
            let held = try leases(40, #require(cache), #require(request))
            if isCacheGone {
                (cache, request) = (nil, nil)
            } else {
                #expect(try #require(cache).invalidate(memory) == 1)
            }
            for one in held {
                #expect(fake.live(FAKE_REGION) == 1)
                one.giveBack()
            }
            #expect(fake.live(FAKE_REGION) == 0)
        }
    }

    /// What another thread leases is not evicted.
    @Test func leasesOfOtherThreadsKeepRegions() throws {
        try withFakeVerbs { fake in
            let machine = try Machine()
            let cache = try RegistrationCache(.init(regions: 1))
            let memory = try HostMemory(allocating: 65536)
            let request = try cache.request(for: memory, on: machine.domain, access: Self.rights)
            let first = try cache.lease(request, at: 0, count: 4096).keys
            let held = Held()
            try SystemThread { held.lease = try? cache.lease(request, at: 0, count: 4096).detach() }.join()
            _ = try cache.lease(request, at: 8192, count: 4096)
            #expect(fake.live(FAKE_REGION) == 2)
            #expect(held.lease?.keys == first)
            held.giveBack()
            _ = try cache.lease(request, at: 16384, count: 4096)
            #expect(fake.live(FAKE_REGION) == 1)
        }
    }
}
