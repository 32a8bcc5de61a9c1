// SPDX-License-Identifier: Apache-2.0
//
// hostile-client: says what nic-to-nvme's server must not believe, and prints what came back. For the tests in the lab.
//
//   hostile-client MODE ADDRESS PORT [SEED]
//   hostile-client forge ADDRESS PORT SOURCE CLAIM PATH
//
// It writes the protocol's bytes by itself, from the tables in Examples/NICToNVMe/README.md, so that a mistake in
// the example's encoder cannot hide one in its decoder. Each line of standard output is one thing that happened:
//
//   accepted SLOTS BYTES    rejected CODE DETAIL    immediate KIND SLOT LOW    chunk BYTES    completion STATUS
//   disconnected

import Glibc
import PeerMR

@main
struct HostileClient {
    static func main() {
        let words = CommandLine.arguments
        guard words.count >= 4, let port = UInt16(words[3]),
            let server = SocketAddress(words[2], port: port)
        else { stop("usage: hostile-client MODE ADDRESS PORT [SEED]") }
        if words[1] == "forge" { return forge(server, Array(words.dropFirst(4))) }
        let random = Random(seed: words.count > 4 ? UInt64(words[4]) ?? 0 : 0)
        let mode = words[1]
        do {
            if let prefaces = Preface.hostile(mode, random) {
                for preface in prefaces { try Peer(server).connect(preface) }
            } else if let hellos = Hello.hostile(mode, random) {
                for hello in hellos { try Peer(server).say(hello) }
            } else if let command = commands[mode] {
                try command(Peer(server), random)
            } else {
                stop("there is no mode \(mode)")
            }
        } catch { stop("\(error)") }
    }

    /// Sends a request from one address, that claims another, and names a third to answer to.
    private static func forge(_ server: SocketAddress, _ addresses: [String]) {
        let bytes = addresses.compactMap { SocketAddress($0, port: 0)?.addressBytes }
        guard bytes.count == 3, bytes.allSatisfy({ $0.count == 4 }) else { stop("forge takes SOURCE CLAIM PATH") }
        Forgery(server: server, claim: bytes[1], path: bytes[2], hello: Preface().bytes, source: bytes[0]).send()
    }

    static func stop(_ reason: String) -> Never {
        write("hostile-client: \(reason)", to: 2)
        exit(1)
    }
}

/// Prints one thing that happened, at once.
func tell(_ line: String) { write(line, to: 1) }

private func write(_ line: String, to descriptor: Int32) {
    let bytes = Array("\(line)\n".utf8)
    _ = unsafe bytes.withUnsafeBytes { unsafe Glibc.write(descriptor, $0.baseAddress, $0.count) }
}

/// SplitMix64: the same numbers for the same seed.
final class Random {
    private var state: UInt64
    init(seed: UInt64) { state = seed }

    func next() -> UInt64 {
        state &+= 0x9e37_79b9_7f4a_7c15
        var mixed = state
        mixed = (mixed ^ (mixed >> 30)) &* 0xbf58_476d_1ce4_e5b9
        mixed = (mixed ^ (mixed >> 27)) &* 0x94d0_49bb_1331_11eb
        return mixed ^ (mixed >> 31)
    }

    func bytes(_ count: Int) -> [UInt8] { (0..<count).map { _ in UInt8(truncatingIfNeeded: next()) } }
}
