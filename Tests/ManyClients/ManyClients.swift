// SPDX-License-Identifier: Apache-2.0
//
// many-clients: clients of nic-to-nvme's server at once, each a connection and a thread of its own, for the tests in
// the lab. They begin to move bytes when all of them are served.
//
//   many-clients put|get ADDRESS PORT COUNT BYTES SLOTS SLOT-BYTES
//
// Client n uses BYTES bytes from n times BYTES on, and puts bytes that are drawn from n (SplitMix64, little-endian).
// Prints a JSON object for each client: what it had moved when the first one was done, and its outcome.

import Glibc
import PeerMR
import PeerTransfer
import PeerMRCore
import Synchronization

/// What the clients know of each other.
private final class Crowd: Sendable {
    let count: Int
    private let ready = Atomic<Int>(0)
    let moved: [Atomic64]
    private let firstDone = Atomic<UInt64>(0)
    private let lines = Mutex<[Int: String]>([:])
    private let snapshot = Mutex<[UInt64]?>(nil)
    let began = Atomic<UInt64>(0)

    /// A number that a thread writes and others read.
    final class Atomic64: Sendable { let value = Atomic<UInt64>(0) }

    init(_ count: Int) {
        self.count = count
        moved = (0..<count).map { _ in Atomic64() }
    }

    /// Waits until all are served, or have failed.
    func awaitAll() {
        ready.add(1, ordering: .sequentiallyConsistent)
        let limit = monotonicNanoseconds() + 120_000_000_000
        while ready.load(ordering: .sequentiallyConsistent) < count, monotonicNanoseconds() < limit { usleep(2000) }
        _ = began.compareExchange(expected: 0, desired: monotonicNanoseconds(), ordering: .sequentiallyConsistent)
    }

    /// One that failed is not waited for.
    func giveUp() { ready.add(1, ordering: .sequentiallyConsistent) }

    /// The first to be done looks how far the others are.
    func finish(_ index: Int) -> Double {
        let now = monotonicNanoseconds()
        snapshot.withLock { if $0 == nil { $0 = moved.map { $0.value.load(ordering: .relaxed) } } }
        return Double(now - began.load(ordering: .sequentiallyConsistent)) / 1e9
    }

    func add(_ line: String, of index: Int) { lines.withLock { $0[index] = line } }

    func show() {
        let seen = snapshot.withLock { $0 }
        for index in 0..<count {
            let line = lines.withLock { $0[index] } ?? ""
            print("{\"client\": \(index), \"whenFirstWasDone\": \(seen?[index] ?? 0), \(line)}")
        }
    }
}

@main
enum ManyClients {
    static func main() {
        let words = CommandLine.arguments
        guard words.count == 8, let port = UInt16(words[3]), let server = SocketAddress(words[2], port: port),
            let count = Int(words[4]), let bytes = UInt64(words[5]), let slots = UInt16(words[6]),
            let slotBytes = UInt32(words[7])
        else {
            print("usage: many-clients put|get ADDRESS PORT COUNT BYTES SLOTS SLOT-BYTES")
            exit(64)
        }
        let crowd = Crowd(count)
        let isPut = words[1] == "put"
        var threads: [SystemThread] = []
        for index in 0..<count {
            let thread = try? SystemThread {
                let options = DriveClient.Options(server: server, slotBytes: slotBytes, slotCount: slots)
                run(crowd, index, isPut, bytes, options)
            }
            if let thread { threads.append(thread) } else { crowd.giveUp() }
        }
        for thread in threads { thread.join() }
        crowd.show()
    }

    private static func run(
        _ crowd: Crowd, _ index: Int, _ isPut: Bool, _ count: UInt64, _ options: DriveClient.Options
    ) {
        var state = UInt64(index)
        var isWaiting = true
        let began = {
            if isWaiting { crowd.awaitAll() }
            isWaiting = false
        }
        do throws(PeerMRError) {
            if isPut {
                _ = try DriveClient.put(
                    count, at: UInt64(index) * count, options,
                    read: { span, _ in
                        began()
                        fill(&span, &state)
                    }, progress: { crowd.moved[index].value.store($0, ordering: .relaxed) })
            } else {
                var isSame = true
                _ = try DriveClient.get(
                    count, at: UInt64(index) * count, options,
                    receive: { span in
                        began()
                        isSame = isSame && compare(span, &state)
                    }, progress: { crowd.moved[index].value.store($0, ordering: .relaxed) })
                guard isSame else { throw PeerMRError(.dataMismatch, reason: "other bytes came") }
            }
            crowd.add("\"seconds\": \(crowd.finish(index)), \"error\": null", of: index)
        } catch {
            if isWaiting { crowd.giveUp() }
            let reason = error.reason.replacing("\"", with: "'")
            crowd.add("\"seconds\": \(crowd.finish(index)), \"error\": \"\(reason)\"", of: index)
        }
    }

    private static func next(_ state: inout UInt64) -> UInt64 {
        state &+= 0x9e37_79b9_7f4a_7c15
        var mixed = state
        mixed = (mixed ^ (mixed >> 30)) &* 0xbf58_476d_1ce4_e5b9
        mixed = (mixed ^ (mixed >> 27)) &* 0x94d0_49bb_1331_11eb
        return mixed ^ (mixed >> 31)
    }

    /// Words of 8 bytes: chunks are of whole ones.
    private static func fill(_ span: inout MutableRawSpan, _ state: inout UInt64) {
        unsafe span.withUnsafeMutableBytes { bytes in
            for word in 0..<bytes.count / 8 {
                unsafe bytes.storeBytes(of: next(&state).littleEndian, toByteOffset: word * 8, as: UInt64.self)
            }
        }
    }

    private static func compare(_ span: RawSpan, _ state: inout UInt64) -> Bool {
        unsafe span.withUnsafeBytes { bytes in
            for word in 0..<bytes.count / 8 {
                let found = unsafe bytes.loadUnaligned(fromByteOffset: word * 8, as: UInt64.self)
                if UInt64(littleEndian: found) != next(&state) { return false }
            }
            return true
        }
    }
}
