// SPDX-License-Identifier: Apache-2.0

// What looking for routes costs, and how that grows. Build it for release:
//
//     swift run -c release route-benchmark [PATH OF peermr]

import Glibc
import PCITopology
import SystemPackage
import SystemSupport
import TestSupport

@main
struct RouteBenchmark {
    static func main() {
        for count in [32, 64, 128, 256, 512] {
            let machine = TestMachine.large(drives: count)
            let (topology, read) = measured { Topology(root: machine.root) }
            let drives = topology.functions.filter { $0.poolBytes != nil }.map(\.address)
            let (_, spent) = measured { topology.verdicts(from: drives, to: drives) }
            print("\(count) by \(count) verdicts: \(spent / 1000) µs; reading \(topology.functions.count) functions: \(read / 1000) µs")
        }
        lookUp()
        if CommandLine.arguments.count > 1 { check(CommandLine.arguments[1]) }
    }

    /// The best of some runs: other programs disturb only upwards.
    private static func measured<R>(_ body: () throws -> R) rethrows -> (R, UInt64) {
        var result = try body()
        var best = UInt64.max
        for _ in 0..<15 {
            let began = monotonicNanoseconds()
            result = try body()
            best = min(best, monotonicNanoseconds() - began)
        }
        return (result, best)
    }

    private static func lookUp() {
        let folder = TemporaryFolder()
        TestMachine.large(drives: 64).write(to: folder)
        let drives = Topology(root: folder.root).functions.filter { $0.poolBytes != nil }.map(\.address)
        let cache = RouteCache(root: folder.root)
        for drive in drives { _ = cache.route(from: drives[0], to: drive) }
        let rounds = 1_000_000
        let (hits, spent) = measured {
            (0..<rounds).count { round in
                if case .current = cache.lookup(from: drives[0], to: drives[round % drives.count]) { true } else { false }
            }
        }
        print("a cached route: \(Double(spent) / Double(rounds)) ns (\(hits == rounds ? "all" : "not all") current)")
    }

    private static func check(_ path: String) {
        for drives in [28, 64, 256] {
            let folder = TemporaryFolder()
            let machine = TestMachine.large(drives: drives)
            machine.write(to: folder)
            folder.file("machine.peermr", Snapshot.encode(Snapshot.capture(machine.root)))
            let count = Topology(root: machine.root).functions.count
            for place in [["--root", folder.path.string], ["--snapshot", folder.path.appending("machine.peermr").string]] {
                let arguments = ["check", "0000:03:00.0", "0000:04:00.0", "--json"] + place
                let (_, spent) = measured { spawn(path, arguments) }
                print("peermr check \(place[0]), \(count) functions: \(spent / 1000) µs, the whole process")
            }
        }
    }

    /// Starts a program and waits for its end.
    private static func spawn(_ path: String, _ arguments: [String]) {
        var actions = posix_spawn_file_actions_t()
        posix_spawn_file_actions_init(&actions)
        defer { posix_spawn_file_actions_destroy(&actions) }
        posix_spawn_file_actions_addopen(&actions, 1, "/dev/null", O_WRONLY, 0)
        var texts: [UnsafeMutablePointer<CChar>?] = ([path] + arguments).map { strdup($0) }
        defer { for text in texts { free(text) } }
        texts.append(nil)
        var process: pid_t = 0
        guard posix_spawn(&process, path, &actions, nil, texts, nil) == 0 else { return }
        var status: Int32 = 0
        waitpid(process, &status, 0)
    }
}
