// SPDX-License-Identifier: Apache-2.0

import Glibc
import PeerMR

/// The modes that begin with a good hello, by name.
let commands: [String: @Sendable (Peer, Random) throws -> Void] = [
    // Messages that are none, or come where they do not belong.
    "immediate": { peer, random in
        let low = UInt32(truncatingIfNeeded: random.next()) & 0xfff_ffff
        try peer.put { _ in try peer.queuePair.postSend(immediate: 5 << 28 | low, requestID: 1) }
    },
    "immediates": { peer, random in
        try peer.put { _ in
            for _ in 0..<100 {
                try peer.queuePair.postSend(
                    immediate: UInt32(truncatingIfNeeded: random.next()), requestID: 1)
            }
        }
    },
    "chunk-without-write": { peer, _ in
        try peer.put { _ in try peer.queuePair.postSend(immediate: 1 << 28, requestID: 1) }
    },
    "credit-flood": { peer, _ in
        try peer.put { _ in
            for _ in 0..<500 { try peer.queuePair.postSend(immediate: 2 << 28, requestID: 1) }
        }
    },
    // Chunks of another length than the next.
    "wrong-length": { peer, _ in
        try peer.put { try peer.chunk($0, byteCount: 4096) }
    },
    "no-length": { peer, _ in
        try peer.put { try peer.chunk($0, byteCount: 0) }
    },
    "too-long": { peer, _ in
        try peer.put { try peer.chunk($0, byteCount: 2 * 65536) }
    },
    // Other memory than the slots.
    "behind-the-slots": { peer, _ in try peer.put { try peer.write($0, at: 4 * $0.slotBytes) } },
    "far-behind-the-slots": { peer, _ in try peer.put { try peer.write($0, at: 64 << 20) } },
    "before-the-slots": { peer, _ in try peer.put { try peer.write($0, at: 0 &- 4096) } },
    "over-the-end": { peer, _ in
        try peer.put { try peer.write($0, at: 4 * $0.slotBytes - 4096, byteCount: 8192) }
    },
    "other-key": { peer, _ in
        try peer.put { welcome in
            try peer.queuePair.postWrite(
                peer.memory.keys.element(at: 0, count: 4096),
                to: RemoteAddress(address: welcome.buffer.address, key: welcome.buffer.key ^ 0x100),
                requestID: Peer.forbidden)
        }
    },
    "read-the-slots": { peer, _ in
        try peer.put(listening: 4) { welcome in
            try peer.queuePair.postRead(
                peer.memory.keys.element(at: 0, count: 4096), from: welcome.buffer,
                requestID: Peer.forbidden)
        }
    },
    // A connection, and then nothing.
    "disconnect": { peer, _ in
        try peer.say(Hello().bytes)
        peer.disconnect()
    },
    "vanish": { peer, _ in
        try peer.say(Hello().bytes)
        exit(0)
    },
    "mute": { peer, _ in
        try peer.connect()
        try peer.listen(seconds: 40)
    },
    "message-for-hello": { peer, _ in
        try peer.connect()
        try peer.queuePair.postSend(immediate: 2 << 28, requestID: 1)
        try peer.listen(seconds: 40)
    },
    "two-hellos": { peer, _ in
        try peer.put { _ in try peer.queuePair.postSend(peer.memory.keys.element(at: 0, count: 128), requestID: 1) }
    },
    // Chunk after chunk, and each in the last moment: never silent, and never of use.
    "trickle": { peer, _ in
        guard let welcome = try peer.say(Hello(offset: 200 << 20, byteCount: 64 * 65536, slotBytes: 4096).bytes) else { return }
        try peer.awaitCredits(4)
        for index in 0..<60 {
            if try peer.isOver(within: 2000) { break }
            try? peer.queuePair.postWrite(
                peer.memory.keys.element(at: 0, count: 4096),
                to: RemoteAddress(
                    address: welcome.buffer.address &+ UInt64(index % 4) * 4096, key: welcome.buffer.key),
                immediate: 0, requestID: 1)
        }
        try peer.listen(seconds: 1)
    },
    "get-silent": { peer, _ in
        let keys = peer.memory.keys
        let hello = Hello(operation: 2, offset: 220 << 20, address: keys.address, key: keys.remoteKey)
        guard try peer.say(hello.bytes) != nil else { return }
        try peer.listen(seconds: 60)
    },
    "silent": { peer, _ in
        try peer.say(Hello().bytes)
        try peer.listen(seconds: 40)
    },
    // get, with memory that the server may not write, or with slots returned that were not sent.
    "get-without-key": { peer, _ in
        try peer.get(RemoteAddress(address: peer.memory.keys.address, key: 0)) {}
    },
    "get-beyond-memory": { peer, _ in
        try peer.get(
            RemoteAddress(
                address: peer.memory.keys.address + (1 << 20) - 65536,
                key: peer.memory.keys.remoteKey)
        ) {}
    },
    "get-credit-flood": { peer, _ in
        try peer.get {
            for _ in 0..<500 {
                try peer.queuePair.postSend(immediate: 2 << 28 | 3 << 16, requestID: 1)
            }
        }
    },
    "get-credit-for-none": { peer, _ in
        try peer.get { try peer.queuePair.postSend(immediate: 2 << 28 | 99 << 16, requestID: 1) }
    },
    "get-chunk": { peer, _ in
        try peer.get { try peer.queuePair.postSend(immediate: 1 << 28, requestID: 1) }
    },
]

extension Peer {
    /// Begins a put of eight chunks in four slots, waits for the slots, misbehaves, and tells what came of it.
    func put(listening seconds: UInt64 = 20, _ misbehave: (Welcome) throws -> Void) throws {
        guard let welcome = try say(Hello().bytes) else { return }
        try awaitCredits(4)
        try misbehave(welcome)
        try listen(seconds: seconds)
    }

    /// Begins a get, misbehaves at once, and tells what came of it.
    func get(_ buffer: RemoteAddress? = nil, _ misbehave: () throws -> Void) throws {
        let keys = memory.keys
        let buffer = buffer ?? RemoteAddress(address: keys.address, key: keys.remoteKey)
        let hello = Hello(operation: 2, address: buffer.address, key: buffer.key)
        guard try say(hello.bytes) != nil else { return }
        try misbehave()
        try listen()
    }

    /// Writes a chunk into the first slot, with any digest.
    func chunk(_ welcome: Welcome, byteCount: UInt64) throws {
        try queuePair.postWrite(
            memory.keys.element(at: 0, count: byteCount), to: welcome.buffer, immediate: 0x1234_5678, requestID: 1)
    }

    /// Writes to a place counted from the beginning of the server's slots.
    func write(_ welcome: Welcome, at place: UInt64, byteCount: UInt64 = 4096) throws {
        try queuePair.postWrite(
            memory.keys.element(at: 0, count: byteCount),
            to: RemoteAddress(address: welcome.buffer.address &+ place, key: welcome.buffer.key),
            requestID: Peer.forbidden)
    }
}
