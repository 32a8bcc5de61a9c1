// SPDX-License-Identifier: Apache-2.0

// What PeerMR's registration costs on the host's processor beside the bare call: both over the fake libibverbs, so that
// the kernel and the device, which are the same for both, are not in it. Build it for release:
//
//     swift run -c release registration-cost
//
// Ends with "N passed, N failed".

import CFakeVerbs
import CPeerMR
import CVerbs
import Glibc
import PeerMR
import PeerMRC
import CommandSupport
import RegistrationBench

@main
enum RegistrationCost {
    static func main() throws {
        LostOutput.watchPrints()
        fake_verbs_begin()
        var failed = 0
        do {
            let context = try Device(name: "fake0").open()
            failed += try registration(context)
            failed += try check(context)
            failed += try hit(context)
            failed += try hitByAddress(context)
            failed += try hitInC(context)
        }
        fake_verbs_end()
        print("\(6 - failed) passed, \(failed) failed")
        exit(failed == 0 ? 0 : 1)
    }

    /// The overhead at a size where the kernel would have least to do. The machine may be busy, which makes figures
    /// larger and never smaller: the best of five, or of some more where these are all above the bar.
    private static func registration(_ context: Context) throws -> Int {
        var best = Int64.max
        for round in 0..<20 where round < 5 || best > Overhead.barNanoseconds {
            var plan = BenchPlan(memories: [try BenchMemory("host")], sizes: [UInt64(pageBytes)])
            plan.temperatures = [.warm]
            plan.baseline = true
            plan.iterations = 3000
            let run = try BenchRun(plan, on: context, progress: { _ in fake_verbs_clear_journal() })
            let cell = run.run().cells[0]
            guard let register = cell.registerOverhead, let deregister = cell.deregisterOverhead else { continue }
            print(
                "register \(cell.timings.register.median) ns, bare \(cell.bare.register.median) ns; deregister "
                    + "\(cell.timings.deregister.median) ns, bare \(cell.bare.deregister.median) ns")
            best = min(best, max(register.nanoseconds, deregister.nanoseconds))
        }
        return verdict(best <= Overhead.barNanoseconds, "PeerMR's overhead is \(best) ns, and at most 1000 are its bar")
    }

    /// The check that stands before each registration, once it has been made: the best of many short runs, of which
    /// some are not interrupted on a busy machine either.
    private static func check(_ context: Context) throws -> Int {
        var best = UInt64.max
        let rounds: UInt64 = 1000
        _ = try PeerRegion.checkBeforeRegistration(of: .host, provider: nil, on: context)
        for _ in 0..<1000 {
            let began = monotonicNanoseconds()
            for _ in 0..<rounds { _ = try PeerRegion.checkBeforeRegistration(of: .host, provider: nil, on: context) }
            best = min(best, (monotonicNanoseconds() - began) / rounds)
        }
        return verdict(best < 100, "the check before a registration costs \(best) ns, and less than 100 are its bar")
    }

    /// Lookups in a registration cache with a thousand regions, which are all found.
    private static func hit(_ context: Context) throws -> Int {
        let cache = try RegistrationCache()
        let regions = 1000
        let memory = try HostMemory(allocating: regions * 4096)
        let request = try cache.request(
            for: memory, on: try ProtectionDomain(context), access: [.localWrite, .remoteRead])
        for index in 0..<regions { _ = try cache.lease(request, at: index * 4096, count: 4096) }
        var reader = try cache.reader()
        var (lease, found) = (UInt64.max, UInt64.max)
        var sum: UInt64 = 0
        for _ in 0..<200 {
            let began = monotonicNanoseconds()
            for index in 0..<regions {
                sum &+= UInt64(try cache.lease(request, at: index * 4096, count: 4096).keys.localKey)
            }
            let between = monotonicNanoseconds()
            for index in 0..<regions {
                sum &+= UInt64(reader.keys(request, at: index * 4096, count: 4096)?.localKey ?? 0)
            }
            lease = min(lease, (between - began) / UInt64(regions))
            found = min(found, (monotonicNanoseconds() - between) / UInt64(regions))
        }
        return verdict(lease < 60, "a lease of \(regions) regions and its return cost \(lease) ns, and 60 are the bar")
            + verdict(found < 20, "a reader's lookup costs \(found) ns, and 20 are the bar (checksum \(sum))")
    }

    /// The same through the C library.
    private static func hitInC(_ context: Context) throws -> Int {
        let (regions, domain) = (1000, try ProtectionDomain(context))
        let memory = try HostMemory(allocating: regions * 4096)
        var (cache, arena, request): (OpaquePointer?, OpaquePointer?, OpaquePointer?)
        guard peermr_cache_create(nil, &cache) == PEERMR_OK,
            peermr_arena_create(memory.baseAddress, UInt64(memory.byteCount), &arena) == PEERMR_OK,
            peermr_request_arena(
                cache, domain.rawObject.assumingMemoryBound(to: ibv_pd.self), arena, nil, &request) == PEERMR_OK
        else { return verdict(false, "no request in C") }
        var out = peermr_lease()
        out.struct_size = MemoryLayout<peermr_lease>.size
        var (best, sum, isRight) = (UInt64.max, UInt64(0), true)
        for _ in 0..<200 {
            let began = monotonicNanoseconds()
            for index in 0..<UInt64(regions) {
                let isLeased = peermr_cache_lease(request, index * 4096, 4096, &out) == PEERMR_OK
                sum &+= UInt64(out.lkey)
                isRight = peermr_lease_release(&out) == PEERMR_OK && isLeased && isRight
            }
            best = min(best, (monotonicNanoseconds() - began) / UInt64(regions))
        }
        _ = peermr_request_free(request)
        _ = peermr_cache_release_domain(cache, domain.rawObject.assumingMemoryBound(to: ibv_pd.self))
        _ = peermr_cache_free(cache)
        _ = peermr_arena_free(arena)
        return verdict(
            best < 80 && isRight, "a lease in C and its return cost \(best) ns, and 80 are the bar (checksum \(sum))")
    }

    /// Lookups of what is mapped at an address: a file that the fake takes for a dma-buf. Two system calls each, where
    /// the kernel has one for that (PROCMAP_QUERY, Linux 6.11).
    private static func hitByAddress(_ context: Context) throws -> Int {
        fake_verbs_set_buffer_probe(EBADF)
        let (regions, byteCount) = (1000, 1000 * 4096)
        let file = fake_verbs_memory_file()
        ftruncate(file, byteCount)
        fake_verbs_declare_buffer(file)
        let mapped = mmap(nil, byteCount, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0)
        guard let mapped, mapped != MAP_FAILED else { return verdict(false, "no memory") }
        let start = UInt64(UInt(bitPattern: mapped))
        let cache = try RegistrationCache()
        let request = try cache.addressRequest(on: try ProtectionDomain(context), access: [.localWrite, .remoteRead])
        func lease(_ index: Int) throws(PeerMRError) -> UInt64 {
            UInt64(try cache.lease(request, at: start + UInt64(index * 4096), count: 4096).keys.localKey)
        }
        var (best, sum) = (UInt64.max, UInt64(0))
        for index in 0..<regions { sum &+= try lease(index) }
        for _ in 0..<500 {
            let began = monotonicNanoseconds()
            for index in 0..<regions { sum &+= try lease(index) }
            best = min(best, (monotonicNanoseconds() - began) / UInt64(regions))
        }
        munmap(mapped, byteCount)
        close(file)
        let said = "a lease by address and its return cost \(best) ns, and 1000 are the bar (checksum \(sum))"
        return verdict(best < 1000 || !hasQuery, hasQuery ? said : "\(said); this kernel lacks PROCMAP_QUERY")
    }

    private static var hasQuery: Bool { KernelRelease.running().map { $0 >= KernelRelease(6, 11) } ?? false }

    private static func verdict(_ isGood: Bool, _ sentence: String) -> Int {
        print("\(isGood ? "ok  " : "FAIL") \(sentence)")
        return isGood ? 0 : 1
    }
}
