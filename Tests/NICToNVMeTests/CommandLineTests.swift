// SPDX-License-Identifier: Apache-2.0

import ArgumentParser
import Testing

@testable import NICToNVMe

/// What is refused before any device is touched.
@Suite struct CommandLineTests {
    private static let serve = ["serve", "--listen", "10.0.0.2", "--nvme", "/dev/nvme0n1"]
    private static let put = ["put", "--connect", "10.0.0.2", "file"]
    private static let get = ["get", "--connect", "10.0.0.2", "--length", "4K"]

    @Test(arguments: [
        serve, serve + ["--allow", "10.0.0.0/8", "--allow", "2001:db8::1"], serve + ["--memory", "host"],
        serve + ["--offset", "1M", "--length", "64M", "--slots", "4096", "--slot-size", "1G"],
        serve + ["--provider", "0000:01:00.0", "--overwrite", "--allow-bounce", "--once", "--json"],
        serve + ["--timeout", "86400", "--flush-peer-writes", "always"],
        put, put + ["--bind", "10.0.0.1", "--offset", "4096", "--no-verify", "--no-progress"],
        get, get + ["--output", "file", "--sha256", "00"],
    ])
    func isAccepted(_ arguments: [String]) throws {
        _ = try NICToNVMe.parseAsRoot(arguments)
    }

    @Test(arguments: [
        (serve + ["--slot-size", "100"], "--slot-size"), (serve + ["--slot-size", "0"], "--slot-size"),
        (serve + ["--slot-size", "2G"], "--slot-size"), (serve + ["--slot-size", "-4096"], "slot-size"),
        (serve + ["--slots", "0"], "--slots"), (serve + ["--slots", "4097"], "--slots"),
        (serve + ["--slots", "65536"], "slots"), (serve + ["--port", "65536"], "port"),
        (serve + ["--port", "-1"], "port"), (serve + ["--allow", "everybody"], "--allow"),
        (serve + ["--allow", "10.0.0.0/33"], "--allow"), (serve + ["--provider", "nvme0"], "--provider"),
        (serve + ["--timeout", "0"], "--timeout"), (serve + ["--timeout", "86401"], "--timeout"),
        (serve + ["--offset", "1.5M"], "offset"), (serve + ["--offset", "99999999999G"], "offset"),
        (serve + ["--memory", "gpu"], "memory"), (["serve", "--nvme", "/dev/nvme0n1"], "listen"),
        (["serve", "--listen", "server.example", "--nvme", "/dev/nvme0n1"], "--listen"),
        (["serve", "--listen", "10.0.0.2"], "nvme"), (["put", "file"], "connect"),
        (["put", "--connect", "10.0.0.2"], "file"), (["put", "--connect", "server", "file"], "--connect"),
        (put + ["--bind", "eth0"], "--bind"), (["get", "--connect", "10.0.0.2"], "length"),
        (get + ["--length", "x"], "length"), (["copy"], "copy"),
    ] as [([String], String)])
    func isRefusedWithTheOptionsName(_ arguments: [String], _ name: String) {
        do {
            _ = try NICToNVMe.parseAsRoot(arguments)
            Issue.record("accepted: \(arguments)")
        } catch {
            #expect(NICToNVMe.message(for: error).contains(name))
            #expect(NICToNVMe.exitCode(for: error) != .success)
        }
    }

    @Test func sizesArePowersOf1024() throws {
        let command = try NICToNVMe.parseAsRoot(Self.get)
        #expect((command as? Get)?.length.count == 4096)
    }
}
