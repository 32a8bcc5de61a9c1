// SPDX-License-Identifier: Apache-2.0

// What looking for routes costs, and how that grows. Build it for release:
//
//     swift run -c release route-benchmark [PATH OF peermr]

import CommandSupport
import Glibc
import MachineArchive
import PCITopology
import SystemPackage
import PeerMRCore
import TestSupport

@main
struct RouteBenchmark {
    static func main() {
        LostOutput.watchPrints()
        for count in [32, 64, 128, 256, 512] {
            let machine = TestMachine.large(drives: count)
            let (topology, read) = measured { Topology(root: machine.root) }
            let drives = topology.functions.filter { $0.poolBytes != nil }.map(\.address)
            let (_, spent) = measured { topology.verdicts(from: drives, to: drives) }
            print(
                "\(count) by \(count) verdicts: \(spent / 1000) µs; reading \(topology.functions.count) functions: \(read / 1000) µs"
            )
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
                if case .current = cache.lookup(from: drives[0], to: drives[round % drives.count]) {
                    true
                } else {
                    false
                }
            }
        }
        print("a cached route: \(Double(spent) / Double(rounds)) ns (\(hits == rounds ? "all" : "not all") current)")
    }

    private static func check(_ path: String) {
        for drives in [28, 64, 256] {
            let folder = TemporaryFolder()
            let machine = TestMachine.large(drives: drives)
            machine.write(to: folder)
            let archive = folder.path.appending("machine.tar.gz")
            _ = try? MachineArchive.write(Snapshot.capture(machine.root), to: archive, compression: .gzip)
            let count = Topology(root: machine.root).functions.count
            for (place, root) in [("a directory", folder.path.string), ("an archive", archive.string)] {
                let arguments = ["check", "0000:03:00.0", "0000:04:00.0", "--json", "--root", root]
                let runs = (0..<41).compactMap { _ in spawn(path, arguments) }
                print("peermr check of \(place), \(count) functions, the whole process: \(Run.describe(runs))")
            }
        }
        let starts = (0..<41).compactMap { _ in spawn(path, ["--version"]) }
        print("peermr --version, of which the start is: \(Run.describe(starts))")
        let live = (0..<41).compactMap { _ in spawn(path, ["topology", "--all", "--json"]) }
        print("peermr topology --all --json on this machine: \(Run.describe(live))")
    }

    /// What one run of a program took.
    private struct Run {
        /// From before its start until after its end, in nanoseconds.
        let nanoseconds: UInt64
        /// What the processor worked for it, in its own code and in the kernel, in microseconds.
        let processor: UInt64

        static func describe(_ runs: [Run]) -> String {
            let times = runs.map { $0.nanoseconds / 1000 }.sorted()
            let work = runs.map(\.processor).sorted()
            guard let best = times.first, let least = work.first else { return "it cannot be started" }
            return "best \(best) µs, median \(times[times.count / 2]) µs; processor time best \(least) µs, "
                + "median \(work[work.count / 2]) µs"
        }
    }

    /// Starts a program and waits for its end; nil where it cannot be started.
    private static func spawn(_ path: String, _ arguments: [String]) -> Run? {
        let began = monotonicNanoseconds()
        var actions = posix_spawn_file_actions_t()
        posix_spawn_file_actions_init(&actions)
        defer { posix_spawn_file_actions_destroy(&actions) }
        posix_spawn_file_actions_addopen(&actions, 1, "/dev/null", O_WRONLY, 0)
        var texts: [UnsafeMutablePointer<CChar>?] = ([path] + arguments).map { strdup($0) }
        defer { for text in texts { free(text) } }
        texts.append(nil)
        var process: pid_t = 0
        guard posix_spawn(&process, path, &actions, nil, texts, nil) == 0 else { return nil }
        var status: Int32 = 0
        var usage = rusage()
        wait4(process, &status, 0, &usage)
        let times = [usage.ru_utime, usage.ru_stime]
        let processor = times.reduce(0) { $0 + UInt64($1.tv_sec) * 1_000_000 + UInt64($1.tv_usec) }
        return Run(nanoseconds: monotonicNanoseconds() - began, processor: processor)
    }
}
