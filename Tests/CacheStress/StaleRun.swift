// SPDX-License-Identifier: Apache-2.0

import CFakeVerbs
import Glibc
import PeerMR
import Synchronization

/// Memory that comes to be other memory under the same name: a descriptor's number, an address, a PCI function. Each
/// key that the cache gives is held against what the fake device knows that it was registered over.
final class StaleRun: Sendable {
    let threads: Int
    /// In all.
    let cycles: Int
    let seed: UInt64
    let faults = Mutex<[String]>([])
    /// How often a number or an address came to mean other memory: a run without is no test.
    let turns = Atomic<Int>(0)
    let keys = Atomic<Int>(0)

    /// What one fake is used for: it keeps what was destroyed until its end.
    private static let cyclesOfAFake = 40_000

    init(threads: Int, cycles: Int, seed: UInt64) {
        self.threads = threads
        self.cycles = cycles
        self.seed = seed
    }

    func outcome() -> StressRun.Outcome {
        var left = cycles
        var round: UInt64 = 0
        while left > 0 {
            let count = min(left, Self.cyclesOfAFake)
            do {
                try run(count, seed &+ round &* 0x1_0000)
            } catch {
                report("\(error)")
            }
            left -= count
            round += 1
        }
        var outcome = StressRun.Outcome()
        outcome.faults = faults.withLock { $0 }
        outcome.summary =
            "\(threads) threads, \(cycles) cycles: \(keys.load(ordering: .relaxed)) keys, "
            + "\(turns.load(ordering: .relaxed)) names that came to mean other memory, \(outcome.faults.count) faults"
        return outcome
    }

    private func run(_ count: Int, _ seed: UInt64) throws {
        fake_verbs_begin()
        defer { fake_verbs_end() }
        fake_verbs_set_kernel("7.3.4")
        fake_verbs_set_on_demand(1, 0x1f)
        fake_verbs_set_buffer_probe(EBADF)
        fake_verbs_declare_files()
        fake_verbs_set_stamping(1)
        do {
            let stage = try StaleStage()
            let fake = SharedFake(state: fake_verbs_share())
            let each = (count + threads - 1) / threads
            Threads.run(threads) { number in
                fake_verbs_join(fake.state)
                do {
                    var thread = try StaleThread(self, stage, number, seed)
                    var reader = try stage.cache.reader()
                    for _ in 0..<each { try thread.cycle(&reader) }
                } catch {
                    self.report("\(error)")
                }
                fake_verbs_join(nil)
            }
            let seen = try stage.cache.statistics()
            if seen.bytesLeased != 0 { report("\(seen.bytesLeased) bytes are leased by nobody") }
        }
        if fake_verbs_live(FAKE_REGION) != 0 { report("\(fake_verbs_live(FAKE_REGION)) regions were left") }
        var index: UInt32 = 0
        while let complaint = fake_verbs_complaint(index) {
            report(String(cString: complaint))
            index += 1
        }
    }

    func report(_ fault: String) { faults.withLock { $0.append(fault) } }
}

/// What all threads use: a cache that evicts all the time.
struct StaleStage: Sendable {
    let cache: RegistrationCache
    let domain: ProtectionDomain

    init() throws {
        domain = try ProtectionDomain(try Device(name: "fake0").open())
        cache = try RegistrationCache(.init(regions: 40, bytes: 16 << 20))
    }
}

/// A range of a dma-buf of a PCI function, which may be taken back.
final class FunctionMemory: DMABufBacked {
    let buffer: DMABuf
    let offset: UInt64 = 0
    let byteCount: Int
    let provider: PCIAddress?
    private let isGone = Atomic<Bool>(false)

    init(_ descriptor: Int32, of provider: PCIAddress?, byteCount: Int) throws(PeerMRError) {
        buffer = try DMABuf(duplicating: descriptor)
        self.provider = provider
        self.byteCount = byteCount
    }

    func takeBack() { isGone.store(true, ordering: .relaxed) }

    func backing(for access: Access) throws(PeerMRError) -> MemoryBacking {
        if isGone.load(ordering: .relaxed) { throw PeerMRError(.memoryRevoked, reason: "the function is gone") }
        return .dmaBuf(DMABufRange(of: buffer.descriptor, offset: 0, byteCount: UInt64(byteCount)))
    }

    func read(into bytes: inout MutableRawSpan, at offset: Int) throws(PeerMRError) {}
    func write(_ bytes: RawSpan, at offset: Int) throws(PeerMRError) {}
}
