// SPDX-License-Identifier: Apache-2.0

// What a slot costs nic-to-nvme's server in time of the processor, when neither the network nor the drive is a limit:
// over the fake libibverbs and a drive that has done everything at once. Its clients are not measured. Build it for
// release:
//
//     swift run -c release slot-cost
//
// Ends with "N passed, N failed".

import CFakeVerbs
import CommandSupport
import Glibc
import PeerMR
import PeerTransfer

/// One core that serves 400 Gb/s in slots of 64 KiB has so much for each.
private let barNanoseconds = 1311.0
private let slotBytes = 64 << 10
private let slotCount = 8

@main
enum SlotCost {
    static func main() throws {
        LostOutput.watchPrints()
        if CommandLine.arguments.count == 4 { return try once(Array(CommandLine.arguments.dropFirst())) }
        var failed = 0
        for isPut in [true, false] {
            var costs: [Double] = []
            var allocations = 0.0
            for clients in [1, 8, 64] {
                // The machine may be busy, which makes figures larger and never smaller: the best of some.
                let found = try (0..<7).map { _ in try cost(isPut, clients, chunks: 6400 / clients + 200) }
                let best = found.map(\.nanoseconds).min() ?? .infinity
                costs.append(best)
                allocations = max(allocations, found.map(\.allocations).min() ?? .infinity)
                print("\(isPut ? "put" : "get"), \(clients) clients: \(Int(best)) ns of the processor for a slot")
            }
            // The one is the fake's, for the request that the server posts.
            failed += verdict(allocations < 1.01, "the server allocates nothing for a slot (\(allocations - 1))")
            failed += verdict(costs.allSatisfy { $0 <= barNanoseconds }, "a slot costs at most 1311 ns")
            failed += verdict(costs[2] <= costs[0] * 1.25, "64 clients cost no more for a slot than one and a quarter")
        }
        print("\(6 - failed) passed, \(failed) failed")
        exit(failed == 0 ? 0 : 1)
    }

    /// For a profiler: put or get, how many clients, how many chunks each.
    private static func once(_ words: [String]) throws {
        let found = try cost(words[0] == "put", Int(words[1]) ?? 1, chunks: Int(words[2]) ?? 1000)
        print("\(Int(found.nanoseconds)) ns")
    }

    private static func verdict(_ isRight: Bool, _ sentence: String) -> Int {
        print("\(isRight ? "PASS" : "FAIL") \(sentence)")
        return isRight ? 0 : 1
    }

    /// What the server has spent on a slot.
    private struct Cost {
        var nanoseconds = Double.infinity
        var allocations = Double.infinity
    }

    private static func cost(_ isPut: Bool, _ count: Int, chunks: Int) throws -> Cost {
        fake_verbs_begin()
        defer { fake_verbs_end() }
        fake_network_begin()
        guard let address = SocketAddress("10.0.0.2", port: 18515), let allow = AllowList(["10.0.0.0/8"]) else {
            return Cost()
        }
        let options = DriveServer.Options(
            memory: .host, slotBytes: UInt32(slotBytes), slotCount: UInt16(slotCount), clientCount: count, allow: allow)
        let server = try DriveServer(
            options, drive: NullDrive(depth: 128), address: address, stop: -1,
            report: { event in
                switch event {
                case .serving, .ended: break
                default: print("\(event)")
                }
            })
        let clients = try (0..<count).map { index in
            let client = try BenchClient(
                address, isPut: isPut, offset: index * chunks * slotBytes, chunkCount: chunks, slotCount: slotCount,
                slotBytes: slotBytes)
            // Until it has its slots, and is in the middle of it.
            while client.received < slotCount {
                deliver()
                try client.step()
                deliver()
                _ = try server.step()
            }
            return client
        }
        return try measure(server, clients, end: chunks - 2 * slotCount)
    }

    private static func measure(_ server: DriveServer, _ clients: [BenchClient], end: Int) throws -> Cost {
        let before = clients.reduce(0) { $0 + $1.received }
        var nanoseconds: UInt64 = 0
        var allocations: UInt64 = 0
        while clients.allSatisfy({ $0.received < end }) {
            for client in clients { try client.step() }
            deliver()
            // What has come goes to the drive; what the drive has done is told.
            let (began, before) = (processorTime(), fake_verbs_allocations())
            _ = try server.step()
            _ = try server.step()
            allocations += fake_verbs_allocations() - before
            nanoseconds += processorTime() - began
            deliver()
        }
        let slots = Double(clients.reduce(0) { $0 + $1.received } - before)
        return Cost(nanoseconds: Double(nanoseconds) / slots, allocations: Double(allocations) / slots)
    }

    /// All that is on its way arrives, and is acknowledged.
    private static func deliver() {
        while fake_network_lanes() > 0 { fake_network_deliver(0) }
    }

    private static func processorTime() -> UInt64 {
        var time = timespec()
        clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time)
        return UInt64(time.tv_sec) * 1_000_000_000 + UInt64(time.tv_nsec)
    }
}
