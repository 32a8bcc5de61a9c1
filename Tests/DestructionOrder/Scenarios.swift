// SPDX-License-Identifier: Apache-2.0

import PeerMR

/// Makes a region whose parents have no name of their own.
@inline(never)
private func makeRegion() throws(PeerMRError) -> MemoryRegion {
    try MemoryRegion(
        registering: HostMemory(allocating: 8192), on: ProtectionDomain(Device(name: "fake0").open()))
}

/// Makes a queue pair whose parents have no name of their own.
private func makeQueuePair(
    _ domain: ProtectionDomain, _ queue: CompletionQueue
) throws(PeerMRError) -> QueuePair {
    try QueuePair(
        domain: domain, sendQueue: queue, receiveQueue: queue,
        capacity: QueuePairCapacity(sends: 2, receives: 2))
}

private final class Box<Value: ~Copyable> {
    var value: Value?
    init(_ value: consuming Value) { self.value = consume value }
}

private func lookAt(_ region: consuming MemoryRegion) -> UInt64 { region.keys.byteCount }

/// What a program of this package holds at once, in an order of its own.
private final class Holder {
    let pair: QueuePair
    let region: PeerRegion
    let flush: PeerWriteFlush

    init() throws(PeerMRError) {
        let context = try Device(name: "fake0").open()
        let domain = try ProtectionDomain(context)
        let queue = try CompletionQueue(context, capacity: 8, channel: try CompletionChannel(context))
        let pair = try makeQueuePair(domain, queue)
        region = try PeerRegion.allocate(4096, of: .host, on: domain, access: [.localWrite])
        flush = try PeerWriteFlush(depth: 1, on: domain, completions: queue, like: pair)
        self.pair = pair
    }
}

extension Scenario {
    private static let region = ["ibv_dereg_mr", "ibv_dealloc_pd", "ibv_close_device"]
    private static let pair = ["ibv_destroy_qp", "ibv_destroy_cq", "ibv_dealloc_pd", "ibv_close_device"]

    static let all = regions + queues + connections

    static let regions: [Scenario] = [
        Scenario("locals of one scope", region) {
            let context = try Device(name: "fake0").open()
            let domain = try ProtectionDomain(context)
            let memory = try HostMemory(allocating: 4096)
            let region = try MemoryRegion(registering: memory, on: domain)
            try expect(region.keys.byteCount == 4096, "another length")
        },
        Scenario("a region that outlives the names of its parents", region) {
            let region = try makeRegion()
            try expect(teardown.isEmpty, "it does not keep its parents alive")
            try expect(region.keys.byteCount == 8192, "another length")
        },
        Scenario("a region that is thrown away", region) { _ = try makeRegion() },
        Scenario("a region in an optional", region) {
            var region: MemoryRegion? = try makeRegion()
            try expect(teardown.isEmpty, "gone before it was let go of")
            region = nil
            try expect(teardown == Self.region, "\(teardown)")
            try expect(region == nil, "still there")
        },
        Scenario("a region in a class", region) {
            let box = Box(try makeRegion())
            try expect(teardown.isEmpty, "gone before it was let go of")
            box.value = nil
            try expect(teardown == Self.region, "\(teardown)")
        },
        Scenario("a region that is given away", region) {
            try expect(lookAt(try makeRegion()) == 8192, "another length")
        },
        Scenario("a region whose scope is left by an error", region) {
            do {
                let region = try makeRegion()
                _ = try region.keys.element(at: 0, count: 8193)
                throw Fault("an entry outside")
            } catch is SliceError {}
        },
        Scenario("two regions of one domain", ["ibv_dereg_mr"] + region) {
            let domain = try ProtectionDomain(Device(name: "fake0").open())
            let first = try MemoryRegion(registering: HostMemory(allocating: 4096), on: domain)
            let second = try MemoryRegion(registering: HostMemory(allocating: 4096), on: domain)
            try expect(first.keys.localKey != second.keys.localKey, "one key for two")
        },
        Scenario("a region replaced by another", region + region) {
            var region = try makeRegion()
            region = try makeRegion()
            try expect(teardown == Self.region, "\(teardown)")
            try expect(region.keys.byteCount == 8192, "another length")
        },
    ]

    static let queues: [Scenario] = [
        Scenario("a queue pair before its queues and its domain", pair) {
            let context = try Device(name: "fake0").open()
            let domain = try ProtectionDomain(context)
            let queue = try CompletionQueue(context, capacity: 4)
            let pair = try makeQueuePair(domain, queue)
            _ = try pair.pathMTU()
        },
        Scenario("a queue pair that outlives the names of its parents", pair) {
            func make() throws(PeerMRError) -> QueuePair {
                let context = try Device(name: "fake0").open()
                return try makeQueuePair(ProtectionDomain(context), CompletionQueue(context, capacity: 4))
            }
            let pair = try make()
            try expect(teardown.isEmpty, "it does not keep its parents alive")
            _ = try pair.pathMTU()
        },
        Scenario("a queue pair with two queues", ["ibv_destroy_cq"] + pair) {
            let context = try Device(name: "fake0").open()
            let first = try CompletionQueue(context, capacity: 4)
            let second = try CompletionQueue(context, capacity: 4)
            _ = try QueuePair(
                domain: ProtectionDomain(context), sendQueue: first, receiveQueue: second,
                capacity: QueuePairCapacity(sends: 1, receives: 1))
        },
        Scenario("a queue before its channel", ["ibv_destroy_cq", "ibv_destroy_comp_channel", "ibv_close_device"]) {
            let context = try Device(name: "fake0").open()
            let queue = try CompletionQueue(context, capacity: 4, channel: try CompletionChannel(context))
            try queue.requestNotification()
        },
        Scenario(
            "all of it in one class",
            ["ibv_destroy_qp", "ibv_dereg_mr", "ibv_dereg_mr", "ibv_destroy_comp_channel"] + pair
        ) {
            _ = try Holder()
        },
    ]

    /// The connection made the queue pair and must outlive it; the event channel outlives both.
    static let connections: [Scenario] = [
        Scenario(
            "a connected queue pair",
            ["rdma_destroy_qp", "ibv_destroy_qp", "ibv_destroy_cq", "ibv_dealloc_pd", "rdma_destroy_id"]
                + ["rdma_destroy_event_channel"]
        ) {
            func make() throws -> QueuePair {
                let connection = try Connection(EventChannel())
                guard let address = SocketAddress("10.0.0.2", port: 1) else { throw Fault("no address") }
                try connection.listen(on: address)
                guard let context = connection.context else { throw Fault("no context") }
                let queue = try CompletionQueue(context, capacity: 4)
                return try QueuePair(
                    for: connection, domain: ProtectionDomain(context), sendQueue: queue, receiveQueue: queue,
                    capacity: QueuePairCapacity(sends: 1, receives: 1))
            }
            let pair = try make()
            try expect(teardown.isEmpty, "it does not keep its connection alive")
            _ = try pair.pathMTU()
        }
    ]
}
