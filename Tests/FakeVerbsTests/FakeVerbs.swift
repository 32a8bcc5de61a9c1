// SPDX-License-Identifier: Apache-2.0

import CFakeVerbs
import PeerMR
import Testing

/// The fake libibverbs of this thread, while ``withFakeVerbs(_:)`` runs.
struct FakeVerbs {
    /// Every call that made or destroyed something, in order.
    var journal: [String] { Self.texts(fake_verbs_journal) }

    /// What no device would forgive: a parent destroyed before its child, use after destruction, memory gone too early.
    var complaints: [String] { Self.texts(fake_verbs_complaint) }

    /// The calls that destroyed something, in order.
    var teardown: [String] {
        let verbs = ["ibv_de", "ibv_close", "rdma_destroy"]
        return journal.filter { call in verbs.contains { call.hasPrefix($0) } }
    }

    /// How many objects of a kind live.
    func live(_ kind: fake_kind) -> Int { Int(fake_verbs_live(kind)) }

    /// How many objects of all kinds live.
    var liveObjects: Int { (0..<FAKE_KINDS.rawValue).reduce(0) { $0 + live(fake_kind(rawValue: $1)) } }

    /// Makes a call fail, after it has worked `skip` times.
    func fail(_ call: String, _ errno: Errno, after skip: Int = 0) {
        fake_verbs_fail(call, errno.rawValue, UInt32(skip))
    }

    private static func texts(_ read: (UInt32) -> UnsafePointer<CChar>?) -> [String] {
        var texts: [String] = []
        while let text = read(UInt32(texts.count)) { texts.append(String(cString: text)) }
        return texts
    }
}

/// Runs a body on a machine with the one RDMA device `fake0`, and checks that it leaves nothing behind.
func withFakeVerbs(_ body: (FakeVerbs) throws -> Void) throws {
    fake_verbs_begin()
    defer { fake_verbs_end() }
    let fake = FakeVerbs()
    try body(fake)
    #expect(fake.liveObjects == 0, "left behind; \(fake.journal)")
    #expect(fake.complaints.isEmpty)
}

/// The objects that most tests begin with.
struct Machine {
    let context: Context
    let domain: ProtectionDomain
    let queue: CompletionQueue

    init() throws(PeerMRError) {
        context = try Device(name: "fake0").open()
        domain = try ProtectionDomain(context)
        queue = try CompletionQueue(context, capacity: 16)
    }

    func queuePair() throws(PeerMRError) -> QueuePair {
        try QueuePair(
            domain: domain, sendQueue: queue, receiveQueue: queue,
            capacity: QueuePairCapacity(sends: 4, receives: 4))
    }

    func region(_ byteCount: Int = 4096) throws(PeerMRError) -> MemoryRegion {
        try MemoryRegion(registering: HostMemory(allocating: byteCount), on: domain)
    }
}
