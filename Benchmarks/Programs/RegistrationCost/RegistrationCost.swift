// SPDX-License-Identifier: Apache-2.0

// What PeerMR's registration costs on the host's processor beside the bare call: both over the fake libibverbs, so that
// the kernel and the device, which are the same for both, are not in it. Build it for release:
//
//     swift run -c release registration-cost
//
// Ends with "N passed, N failed".

import CFakeVerbs
import Glibc
import PeerMR
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
        }
        fake_verbs_end()
        print("\(4 - failed) passed, \(failed) failed")
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

    private static func verdict(_ isGood: Bool, _ sentence: String) -> Int {
        print("\(isGood ? "ok  " : "FAIL") \(sentence)")
        return isGood ? 0 : 1
    }
}
