// SPDX-License-Identifier: Apache-2.0

import CFakeVerbs
import Glibc
import PeerMR
import PeerMRCore
import Synchronization

/// What threads do to one cache, and what was wrong.
final class StressRun: Sendable {
    struct Outcome {
        var summary = ""
        var faults: [String] = []
    }

    let threads: Int
    let operations: Int
    let seed: UInt64
    let faults = Mutex<[String]>([])

    init(threads: Int, operations: Int, seed: UInt64) {
        self.threads = threads
        self.operations = operations
        self.seed = seed
    }

    /// Runs it over a fake of its own.
    func outcome() -> Outcome {
        fake_verbs_begin()
        defer { fake_verbs_end() }
        fake_verbs_set_buffer_probe(EBADF)
        var outcome = Outcome()
        do {
            outcome.summary = try withCache()
        } catch {
            report("\(error)")
        }
        outcome.faults = faults.withLock { $0 }
        for kind in [FAKE_REGION, FAKE_PROTECTION_DOMAIN, FAKE_CONTEXT] where fake_verbs_live(kind) != 0 {
            outcome.faults.append("\(fake_verbs_live(kind)) objects of kind \(kind.rawValue) were left")
        }
        var index: UInt32 = 0
        while let complaint = fake_verbs_complaint(index) {
            outcome.faults.append(String(cString: complaint))
            index += 1
        }
        return outcome
    }

    private func withCache() throws -> String {
        let stage = try StressStage()
        let fake = SharedFake(state: fake_verbs_share())
        Threads.run(threads) { number in
            fake_verbs_join(fake.state)
            var thread = StressThread(self, stage, number)
            thread.run()
            fake_verbs_join(nil)
        }
        let seen = try stage.cache.statistics()
        if seen.bytesLeased != 0 { report("\(seen.bytesLeased) bytes are leased by nobody") }
        if seen.endedRegions != 0 { report("\(seen.endedRegions) regions have ended and are there") }
        if seen.regions > StressStage.limit { report("\(seen.regions) regions are more than the limit") }
        return "\(threads) threads, \(operations) operations each: \(seen.hits) hits, \(seen.misses) misses, "
            + "\(seen.waits) waits, \(seen.evictions.values.reduce(0, +)) evictions, "
            + "\(seen.invalidations.values.reduce(0, +)) invalidations"
    }

    func report(_ fault: String) { faults.withLock { $0.append(fault) } }
}

/// The fake's state, which threads share on purpose.
struct SharedFake: @unchecked Sendable {
    let state: UnsafeMutableRawPointer?
}

/// What all threads use: a cache too small for all of it.
final class StressStage: Sendable {
    static let limit = 48
    let cache: RegistrationCache
    let domain: ProtectionDomain
    let memories: [any Memory]
    let pages = 32

    init() throws {
        let context = try Device(name: "fake0").open()
        domain = try ProtectionDomain(context)
        cache = try RegistrationCache(.init(regions: Self.limit, bytes: 64 << 20))
        let pages = pages
        let hosts = try (0..<12).map { _ -> any Memory in try HostMemory(allocating: pages * 4096) }
        let buffers = try (0..<12).map { _ -> any Memory in
            let file = fake_verbs_memory_file()
            ftruncate(file, pages * 4096)
            fake_verbs_declare_buffer(file)
            return try DMABufMemory(adopting: file)
        }
        memories = hosts + buffers
    }
}

/// Threads that begin together, and are waited for.
enum Threads {
    static func run(_ count: Int, _ body: @escaping @Sendable (Int) -> Void) {
        let threads = (0..<count).compactMap { number in try? SystemThread { body(number) } }
        for thread in threads { thread.join() }
    }
}
