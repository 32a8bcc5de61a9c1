// SPDX-License-Identifier: Apache-2.0

import CFakeVerbs
import Glibc
import PeerMR

/// Parts of many memories registered in chunks by several threads, with a failure at any of them: nothing is left of a
/// registration that failed, no region, thread or descriptor, and one that has not failed has all keys.
struct BulkRun {
    let threads: Int
    let rounds: Int
    let seed: UInt64

    func outcome() -> StressRun.Outcome {
        var outcome = StressRun.Outcome()
        var (failed, regions) = (0, 0)
        var random = seed
        func next(_ limit: Int) -> Int {
            random = random &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
            return Int(random >> 33) % limit
        }
        // A sanitizer begins a thread of its own with the first of the program's.
        Threads.run(1) { _ in }
        for _ in 0..<rounds {
            fake_verbs_begin()
            fake_verbs_set_buffer_probe(EBADF)
            fake_verbs_declare_files()
            fake_verbs_set_region_limits(1 << 40, 100_000)
            let before = Self.held
            do {
                let context = try Device(name: "fake0").open()
                let domains = [try ProtectionDomain(context), try ProtectionDomain(context)]
                var parts: [any Memory] = []
                for _ in 0..<next(12) { parts.append(try Self.part(next)) }
                if next(3) == 0 { parts += parts.prefix(2) }
                let failing = next(2) == 0
                if failing {
                    fake_verbs_fail(next(2) == 0 ? "ibv_reg_mr" : "ibv_reg_dmabuf_mr", ENOMEM, UInt32(next(40)))
                }
                do throws(PeerMRError) {
                    let set = try PeerRegion.register(
                        parts, on: domains, access: [.localWrite, .remoteRead], concurrency: 1 + next(threads),
                        chunkBytes: (1 + next(5)) * 4096, prepare: next(2) == 0 ? .populate : .none)
                    regions += set.regionCount
                    if Int(fake_verbs_live(FAKE_REGION)) != set.regionCount {
                        outcome.faults.append("regions are not those of the set")
                    }
                    for part in parts.indices { Self.compare(set[part, 0], &outcome) }
                } catch {
                    failed += 1
                    if !failing { outcome.faults.append("\(error)") }
                }
                fake_verbs_fail_no_more()
            } catch {
                outcome.faults.append("\(error)")
            }
            for kind in [FAKE_REGION, FAKE_PROTECTION_DOMAIN, FAKE_CONTEXT] where fake_verbs_live(kind) != 0 {
                outcome.faults.append("\(fake_verbs_live(kind)) objects of kind \(kind.rawValue) were left")
            }
            if let complaint = fake_verbs_complaint(0) { outcome.faults.append(String(cString: complaint)) }
            fake_verbs_end()
            let after = Self.held
            if after != before { outcome.faults.append("before there were \(before), and then \(after)") }
        }
        outcome.summary = "\(threads) threads, \(rounds) bulk registrations: \(regions) regions, \(failed) failures"
        return outcome
    }

    private static func part(_ next: (Int) -> Int) throws -> any Memory {
        let pages = 1 + next(20)
        let memory: any Memory
        if next(2) == 0 {
            memory = try HostMemory(allocating: pages * 4096)
        } else {
            let file = fake_verbs_memory_file()
            ftruncate(file, pages * 4096)
            memory = try DMABufMemory(adopting: file)
        }
        let start = next(pages * 4096)
        return next(2) == 0 ? memory : try MemoryPart(of: memory, at: start, count: 1 + next(pages * 4096 - start))
    }

    /// Every byte of a region has a key, which was registered over it.
    private static func compare(_ region: ChunkedRegion, _ outcome: inout StressRun.Outcome) {
        var offset: UInt64 = 0
        guard let pieces = try? region.pieces(at: 0, count: region.byteCount) else {
            outcome.faults.append("no pieces")
            return
        }
        for piece in pieces {
            let seen = fake_verbs_coverage(piece.localKey)
            if piece.address != region.address + offset { outcome.faults.append("\(piece) is not at \(offset)") }
            if seen.is_live == 0 || piece.address < seen.iova
                || piece.address + piece.byteCount > seen.iova + seen.byte_count
            {
                outcome.faults.append("\(piece) opens \(seen)")
            }
            offset += piece.byteCount
        }
        if offset != region.byteCount { outcome.faults.append("\(offset) of \(region.byteCount) bytes have keys") }
    }

    /// How many threads and descriptors this process has.
    private struct Held: Equatable {
        let threads: Int
        let descriptors: Int
    }

    private static var held: Held {
        func count(_ folder: String) -> Int {
            guard let opened = opendir(folder) else { return -1 }
            defer { closedir(opened) }
            var count = 0
            while readdir(opened) != nil { count += 1 }
            return count
        }
        return Held(threads: count("/proc/self/task"), descriptors: count("/proc/self/fd"))
    }
}
