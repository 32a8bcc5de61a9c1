// SPDX-License-Identifier: Apache-2.0

import CacheRivals
import CommandSupport
import Glibc
import PeerMRCore

/// Prints what was measured, line by line.
struct Report {
    let isJSON: Bool

    init(isJSON: Bool) {
        self.isJSON = isJSON
        if !isJSON {
            let (ucx, libfabric) = (String(cString: rivals_ucx_version()), String(cString: rivals_libfabric_version()))
            print("UCX \(ucx), libfabric \(libfabric)")
            print("nanoseconds a lookup with its return, best and median of 9 rounds")
        }
    }

    func lookups(_ cache: String, _ entries: Int, _ threads: Int, _ kind: String, _ times: [Double]) {
        let (best, median) = (times[0], times[times.count / 2])
        guard !isJSON else {
            var fields: [(String, JSONValue)] = [
                ("cache", .text(cache)), ("entries", .count(entries)), ("threads", .count(threads)),
                ("bestNanoseconds", .number(Self.rounded(best))), ("medianNanoseconds", .number(Self.rounded(median))),
            ]
            if kind == "hot" { fields.append(("hotEntries", .count(1000))) }
            return show(JSONValue.object(fields).encoded)
        }
        let what = "\(entries) entries\(kind == "hot" ? ", 1000 hot" : ""), \(threads) thread\(threads == 1 ? "" : "s")"
        show("\(what): \(cache) \(Self.rounded(best)), \(Self.rounded(median))")
    }

    func duringRegistration(_ cache: String, _ hits: UInt64) {
        show(
            isJSON
                ? JSONValue.object([("cache", .text(cache)), ("hitsDuringRegistration", .count(hits))]).encoded
                : "hits while another thread registers for 1 s: \(cache) \(hits)")
    }

    private func show(_ line: String) {
        print(line)
        fflush(nil)
    }

    private static func rounded(_ value: Double) -> Double { (value * 10).rounded() / 10 }
}

/// Threads that run together.
enum Threads {
    /// The result is the thread's until it has been joined.
    private final class Body: @unchecked Sendable {
        let run: @Sendable () -> UInt64
        var result: UInt64 = 0
        init(_ run: @escaping @Sendable () -> UInt64) { self.run = run }
    }

    static func run(_ count: Int, _ body: @escaping @Sendable (Int) -> Void) {
        _ = run(count) { number -> UInt64 in
            body(number)
            return 0
        }
    }

    /// - Returns: what each returned.
    static func run(_ count: Int, _ body: @escaping @Sendable (Int) -> UInt64) -> [UInt64] {
        let bodies = (0..<count).map { number in Body { body(number) } }
        let threads = bodies.compactMap { body in try? SystemThread { body.result = body.run() } }
        for thread in threads { thread.join() }
        return bodies.map(\.result)
    }
}
