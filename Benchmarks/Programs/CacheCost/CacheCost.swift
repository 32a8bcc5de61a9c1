// SPDX-License-Identifier: Apache-2.0

// What a hit of the registration cache costs, over the fake libibverbs. Build it for release:
//
//     swift run -c release cache-cost
//
// Best and median of rounds, in nanoseconds for a lookup with the return of its lease.

import CFakeVerbs
import Glibc
import PeerMR
import PeerMRCore
import Synchronization

@main
enum CacheCost {
    static func main() throws {
        fake_verbs_begin()
        try measure()
        fake_verbs_end()
    }

    private static func measure() throws {
        let domain = try ProtectionDomain(try Device(name: "fake0").open())
        for entries in [1, 1000, 1_000_000] {
            let cache = try RegistrationCache(.init(regions: max(entries, 16)))
            let arena = unsafe try HostArena(
                at: mmap(nil, entries * 8192, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0),
                byteCount: entries * 8192)
            let request = try cache.request(for: arena, on: domain, access: [.localWrite, .remoteRead])
            for index in 0..<entries {
                _ = try cache.lease(request, at: index * 8192, count: 8192)
                if index % 1000 == 0 { fake_verbs_clear_journal() }
            }
            var seed: UInt64 = 1
            let order = (0..<1 << 20).map { _ in
                seed = seed &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
                return Int(seed >> 33) % entries
            }
            report("lease", entries, order.count) { sum in
                for index in order {
                    if let lease = try? cache.lease(request, at: index * 8192, count: 8192) {
                        sum &+= UInt64(lease.keys.localKey)
                    }
                }
            }
            let hot = Array(order.prefix(1000))
            report("lease, 1000 hot", entries, 1_000_000) { sum in
                for _ in 0..<1000 {
                    for index in hot {
                        if let lease = try? cache.lease(request, at: index * 8192, count: 8192) {
                            sum &+= UInt64(lease.keys.localKey)
                        }
                    }
                }
            }
            var reader = try cache.reader()
            report("reader", entries, order.count) { sum in
                for index in order {
                    if let keys = reader.keys(request, at: index * 8192, count: 8192) {
                        sum &+= UInt64(keys.localKey)
                    }
                }
            }
            _ = consume reader
            _ = try cache.invalidateAll()
        }
    }

    private static func report(_ name: String, _ entries: Int, _ count: Int, _ body: (inout UInt64) -> Void) {
        var sum: UInt64 = 0
        let times = (0..<9).map { _ -> Double in
            let began = now()
            body(&sum)
            return Double(now() - began) / Double(count)
        }.sorted()
        print(entries, name, "best", times[0], "median", times[4], sum == 0 ? "nothing was found" : "")
    }

    private static func now() -> UInt64 {
        var time = timespec()
        clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time)
        return UInt64(time.tv_sec) * 1_000_000_000 + UInt64(time.tv_nsec)
    }
}
