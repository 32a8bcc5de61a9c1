// SPDX-License-Identifier: Apache-2.0

// Compares the registration cache with those of UCX and libfabric: lookups that are found, with a registration that
// does nothing. All are measured in one run, round by round in turn. Benchmarks/cache-compare installs what it needs,
// builds and runs it.

import CommandSupport
import Glibc
import PeerMR
import Synchronization

@main
enum CacheCompare {
    static func main() throws {
        LostOutput.watchPrints()
        let arguments = CommandLine.arguments.dropFirst()
        guard arguments.allSatisfy({ $0 == "--json" }) else {
            print("cache-compare: there is no option but --json")
            exit(2)
        }
        // The C library leaves locks out as long as there is one thread.
        Threads.run(1) { _ in }
        let report = Report(isJSON: !arguments.isEmpty)
        for entries in [1, 1000, 1_000_000] {
            for threads in [1, 2] { try compare(entries, threads, report) }
        }
        try compareHot(report)
        try compareDuringRegistration(report)
    }

    /// Random order over all regions.
    private static func compare(_ entries: Int, _ threads: Int, _ report: Report) throws {
        let order = Order(count: 1 << 19, entries: entries)
        try measure(entries, threads, order, regions: entries, "", report)
    }

    /// A thousand regions of a million.
    private static func compareHot(_ report: Report) throws {
        let order = Order(count: 1 << 19, entries: 1_000_000, hot: 1000)
        try measure(1_000_000, 1, order, regions: 1_000_000, "hot", report)
    }

    private static func measure(
        _ entries: Int, _ threads: Int, _ order: Order, regions: Int, _ kind: String, _ report: Report
    ) throws {
        let arena = try Arena(regions: regions)
        let contenders: [any Contender] = [
            try PeerMRContender(arena, regions: regions), try ReaderContender(arena, regions: regions),
            try UCXContender(arena, regions: regions), try LibfabricContender(arena, regions: regions),
        ]
        for contender in contenders { try fill(contender, regions) }
        var times = [[Double]](repeating: [], count: contenders.count)
        for _ in 0..<9 {
            for (index, contender) in contenders.enumerated() {
                times[index].append(try time(contender, order, threads))
            }
        }
        for (index, contender) in contenders.enumerated() {
            report.lookups(type(of: contender).name, entries, threads, kind, times[index].sorted())
        }
    }

    private static func fill(_ contender: any Contender, _ regions: Int) throws {
        for number in 0..<UInt32(regions) {
            let found = withUnsafePointer(to: number) { contender.run(UnsafeBufferPointer(start: $0, count: 1)) }
            guard found > 0 else { throw NotFound(contender: type(of: contender).name) }
        }
    }

    /// Nanoseconds a lookup, over all threads.
    private static func time(_ contender: any Contender, _ order: Order, _ threads: Int) throws -> Double {
        let missing = Atomic<Bool>(false)
        let began = monotonicNanoseconds()
        if threads == 1 {
            if contender.run(order.list) == 0 { missing.store(true, ordering: .relaxed) }
        } else {
            let ends = Threads.run(threads) { _ in contender.run(order.list) }
            if ends.contains(0) { missing.store(true, ordering: .relaxed) }
        }
        let took = monotonicNanoseconds() - began
        if missing.load(ordering: .relaxed) { throw NotFound(contender: type(of: contender).name) }
        return Double(took) / Double(order.list.count * threads)
    }

    /// One thread looks up, while another one registers twenty times for 50 ms.
    private static func compareDuringRegistration(_ report: Report) throws {
        let (found, registrations) = (1000, 20)
        let arena = try Arena(regions: found + registrations)
        let order = Order(count: 1000, entries: found)
        for type in [PeerMRContender.self, UCXContender.self, LibfabricContender.self] as [any Contender.Type] {
            let contender = try type.init(arena, regions: found + registrations)
            try fill(contender, found)
            let isOver = Flag()
            let hits = Threads.run(2) { number -> UInt64 in
                if number == 0 {
                    type.setRegistrationTime(microseconds: 50_000)
                    for region in found..<found + registrations {
                        let wanted = UInt32(region)
                        withUnsafePointer(to: wanted) { _ = contender.run(UnsafeBufferPointer(start: $0, count: 1)) }
                    }
                    type.setRegistrationTime(microseconds: 0)
                    isOver.set()
                    return 0
                }
                var hits: UInt64 = 0
                while !isOver.isSet {
                    for place in order.list.indices where !isOver.isSet {
                        _ = contender.run(UnsafeBufferPointer(rebasing: order.list[place...place]))
                        hits += 1
                    }
                }
                return hits
            }
            report.duringRegistration(type.name, hits.reduce(0, +))
        }
    }
}

struct NotFound: Error, CustomStringConvertible {
    let contender: String
    var description: String { "\(contender) did not find a region" }
}

final class Flag: Sendable {
    private let value = Atomic<Bool>(false)
    var isSet: Bool { value.load(ordering: .acquiring) }
    func set() { value.store(true, ordering: .releasing) }
}

/// Numbers of regions in a random order, the same each time.
final class Order: @unchecked Sendable {
    let list: UnsafeBufferPointer<UInt32>

    /// - Parameter hot: how many different ones, spread over all; nil for all.
    init(count: Int, entries: Int, hot: Int? = nil) {
        let numbers = UnsafeMutableBufferPointer<UInt32>.allocate(capacity: count)
        var seed: UInt64 = 1
        for index in numbers.indices {
            seed = seed &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
            let number = Int(seed >> 33) % (hot ?? entries)
            numbers[index] = UInt32(hot.map { number * (entries / $0) } ?? number)
        }
        list = UnsafeBufferPointer(numbers)
    }

    deinit { list.deallocate() }
}
