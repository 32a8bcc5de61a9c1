// SPDX-License-Identifier: Apache-2.0

import ArgumentParser
import PeerMR
import Testing

@testable import PingPong

/// What the command line takes, and what it does not.
struct ArgumentTests {
    @Test func defaults() throws {
        let command = try PingPong.parse([])
        #expect(command.path.tcpPort == 18_515)
        #expect(command.messages.sizes(usesCM: false) == [4096])
        #expect(command.messages.endpointOptions(usesCM: false).memory == nil)
        #expect(command.messages.runs(10).warmUp == 100)
        let managed = try PingPong.parse(["--cm", "10.0.0.1"])
        #expect(managed.path.tcpPort == 7174)
        #expect(managed.messages.sizes(usesCM: true) == [64])
    }

    @Test func shortNamesOfTheOtherProgram() throws {
        let command = try PingPong.parse(
            [
                "-p", "7000", "-d", "rxe0", "-i", "2", "-s", "64K", "-m", "2048", "-r", "64", "-n", "10", "-l", "3",
                "-e", "-g", "1", "host",
            ])
        #expect(command.path.tcpPort == 7000)
        #expect(command.path.pathMTU?.bytes == 2048)
        #expect(command.path.gidIndex == 1)
        #expect(command.messages.sizes(usesCM: false) == [65_536])
        #expect(command.messages.events)
        #expect(command.messages.runs(10).warmUp == 1)
    }

    @Test(arguments: ["host", "p2pmem:0000:01:00.0", "udmabuf", "heap:system", "vfio:0000:01:00.0:2", "fd:3", "cuda:0"])
    func memory(_ text: String) throws {
        let found = try PingPong.parse(["--memory", text]).messages.memory
        let specification = try #require(found).specification(byteCount: 8192)
        #expect(specification.description.hasPrefix(text))
    }

    @Test func sweep() throws {
        let command = try PingPong.parse(["--sweep", "64:1M", "host"])
        let sizes = command.messages.sizes(usesCM: false)
        #expect(sizes.first == 64 && sizes.last == 1 << 20 && sizes.count == 15)
        #expect(command.messages.endpointOptions(usesCM: false).sizeLimit == 1 << 20)
    }

    @Test(arguments: [
        ["--size", "0"], ["--size", "2G"], ["--sweep", "64"], ["--sweep", "128:64"], ["--sweep", "a:b"],
        ["--mtu", "1500"],
        ["--iterations", "0"], ["-n", "100000000"], ["-n", "10", "--warm-up", "10"], ["--memory", "p2pmem"],
        ["--memory", "p2pmem:01"], ["--memory", "tape"], ["--memory", "nic"], ["--memory", "vfio:01:00.0"],
        ["--gid-index", "-1"], ["--timeout", "0"],
        ["--port", "65536"],
        ["--operation", "atomic"], ["--cm", "--gid-index", "1"], ["--cm", "--size", "8", "host"],
        ["--cm", "--size", "64K", "host"], ["--cm", "--operation", "read", "host"], ["--persistent", "host"],
        ["a", "b"],
        ["--receive-depth", "0"], ["--service-level", "16"], ["--nvme", "/dev/nvme0n1"], ["--passthrough"],
        ["--nvme", "/dev/nvme0n1", "--drive-range", "0"], ["--nvme", "/dev/nvme0n1", "--drive-range", "0:0"],
        ["--allow", "10.0.0.1"], ["--key-file", "k"], ["--key-file", "k", "--cm", "host"],
        ["--nvme", "/dev/nvme0n1", "--drive-range", "0:1M", "--allow", "10.0.0.1=ro"],
        ["--nvme", "/dev/nvme0n1", "--drive-range", "0:1M", "--allow", "all"],
        ["--nvme", "/dev/nvme0n1", "--drive-range", "0:1M", "host"],
        ["--nvme", "/dev/nvme0n1", "--drive-range", "0:1M", "--cm"],
    ])
    func refused(_ words: [String]) {
        #expect(throws: (any Error).self) { try PingPong.parse(words) }
    }

    /// What is wrong is said, and not that something is.
    @Test(arguments: [
        (["--size", "0"], "1 byte to 1G"), (["--size", "99T"], "1 byte to 1G"), (["--size", "-5"], "1 byte to 1G"),
        (["--sweep", "64"], "FROM:TO"), (["--sweep", "8:4"], "goes up"), (["-n", "-1"], "between 1 and 10000000"),
        (["--memory", "tape"], "one of host, p2pmem:BDF"), (["--memory", "p2pmem:01:00.0:4K"], "write p2pmem:BDF:"),
        (["--port", "0"], "between 1 and 65535"), (["--timeout", "-1"], "between 1 and 86400"),
        (["--gid-index", "-1"], "between 0 and 255"), (["--warm-up", "-1"], "0 or more"),
        (["--nvme", "/dev/nvme0n1", "--drive-range", "x"], "OFFSET:LENGTH"), (["--operation", "atomic"], "'write'"),
    ])
    func sentences(_ words: [String], _ sentence: String) {
        do {
            _ = try PingPong.parse(words)
            Issue.record("\(words) are taken")
        } catch {
            #expect(PingPong.message(for: error).contains(sentence))
        }
    }
}
