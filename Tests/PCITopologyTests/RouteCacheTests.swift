// SPDX-License-Identifier: Apache-2.0

import SystemPackage
import PeerMRCore
import Testing
import TestSupport

@testable import PCITopology

/// Cached verdicts: fast to look up, and stale when the machine has changed.
@Suite struct RouteCacheTests {
    private static func folder() -> TemporaryFolder {
        let folder = TemporaryFolder()
        TestMachine.large(drives: 8).write(to: folder)
        return folder
    }

    private static func pair(_ root: SystemRoot) throws -> (PCIAddress, PCIAddress) {
        let drives = Topology(root: root).functions.filter { $0.poolBytes != nil }.map(\.address)
        return (try #require(drives.first), try #require(drives.last))
    }

    @Test func anEventMakesItStaleUntilItIsAskedAgain() throws {
        let folder = Self.folder()
        let (client, provider) = try Self.pair(folder.root)
        let cache = RouteCache(root: folder.root)
        #expect(cache.lookup(from: client, to: provider) == .missing)
        let verdict = cache.route(from: client, to: provider).verdict
        #expect(cache.lookup(from: client, to: provider) == .current(verdict))
        folder.file("sys/kernel/uevent_seqnum", "101\n")
        #expect(cache.noticeChanges())
        #expect(cache.lookup(from: client, to: provider) == .stale(verdict))
        #expect(cache.route(from: client, to: provider).verdict == verdict)
        #expect(cache.lookup(from: client, to: provider) == .current(verdict))
    }

    @Test func aLookupNoticesByItself() async throws {
        let folder = Self.folder()
        let (client, provider) = try Self.pair(folder.root)
        let cache = RouteCache(root: folder.root)
        let verdict = cache.route(from: client, to: provider).verdict
        folder.file("sys/kernel/uevent_seqnum", "102\n")
        try await Task.sleep(for: .milliseconds(20))
        #expect(cache.lookup(from: client, to: provider) == .stale(verdict))
    }

    /// A verdict from before an event does not take the place of what was worked out after it.
    @Test func whatWasReadBeforeAnEventIsNotKept() throws {
        let folder = Self.folder()
        let (client, provider) = try Self.pair(folder.root)
        let cache = RouteCache(root: folder.root)
        folder.file("sys/kernel/uevent_seqnum", "101\n")
        let verdict = cache.route(from: client, to: provider).verdict
        cache.keep(.unknown, from: client, to: provider, asOf: 100)
        #expect(cache.lookup(from: client, to: provider) == .current(verdict))
        folder.file("sys/kernel/uevent_seqnum", "102\n")
        cache.keep(.unknown, from: client, to: provider, asOf: 101)
        #expect(cache.lookup(from: client, to: provider) == .stale(.unknown), "nobody has seen the event before")
    }

    /// Between two looks the program may close all descriptors that it knows nothing of, and open files of its own.
    @Test func noDescriptorIsKept() throws {
        let cache = RouteCache()
        cache.noticeChanges()
        let isOpen = {
            (3..<1024).contains {
                SystemRoot.live.linkTarget("proc/self/fd/\($0)")?.string == "/sys/kernel/uevent_seqnum"
            }
        }
        // Tests that run beside this one read it as well, for a moment.
        #expect((0..<20).contains { _ in !isOpen() })
        withExtendedLifetime(cache) {}
    }

    @Test func aCapturedMachineNeverGoesStale() throws {
        let machine = TestMachine.large(drives: 4)
        let root = SystemRoot(Snapshot.capture(machine.root))
        let (client, provider) = try Self.pair(root)
        let cache = RouteCache(root: root)
        let verdict = cache.route(from: client, to: provider).verdict
        #expect(!cache.noticeChanges())
        #expect(cache.lookup(from: client, to: provider) == .current(verdict))
    }

    /// The figure counts in a release build; the bound here is for any.
    @Test func aLookupIsFast() throws {
        let folder = Self.folder()
        let (client, provider) = try Self.pair(folder.root)
        let cache = RouteCache(root: folder.root)
        _ = cache.route(from: client, to: provider)
        let rounds = 200_000
        let began = monotonicNanoseconds()
        var current = 0
        for _ in 0..<rounds {
            if case .current = cache.lookup(from: client, to: provider) { current += 1 }
        }
        let each = (monotonicNanoseconds() - began) / UInt64(rounds)
        print("figure: a cached route is looked up in \(each) ns")
        #expect(current == rounds)
        #expect(each < 5_000)
    }

    @Test(arguments: [16, 64, 256])
    func theMatrixIsFast(_ count: Int) throws {
        let topology = Topology(root: TestMachine.large(drives: count).root)
        let drives = topology.functions.filter { $0.poolBytes != nil }.map(\.address)
        #expect(drives.count == count)
        let began = monotonicNanoseconds()
        let verdicts = topology.verdicts(from: drives, to: drives)
        let spent = monotonicNanoseconds() - began
        print("figure: \(count) by \(count) verdicts in \(spent / 1000) µs")
        #expect(verdicts.joined().count == count * count)
        #expect(verdicts[0][0] == topology.route(from: drives[0], to: drives[0]).verdict)
        #expect(spent < 5_000_000_000)
    }
}
