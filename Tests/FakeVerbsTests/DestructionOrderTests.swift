// SPDX-License-Identifier: Apache-2.0

import PeerMR
import Testing

/// Children go before their parents, from whatever scope, and optimised too: run these with `-c release` as well.
@Suite struct DestructionOrderTests {
    private final class Box<Value: ~Copyable> {
        var value: Value?
        init(_ value: consuming Value) { self.value = consume value }
    }

    private func makeRegion() throws(CallError) -> MemoryRegion<HostMemory> {
        try MemoryRegion(
            registering: HostMemory(allocating: 8192),
            on: ProtectionDomain(Device(name: "fake0").open()))
    }

    private func makeQueuePair() throws(CallError) -> QueuePair {
        try Machine().queuePair()
    }

    private static let region = ["ibv_dereg_mr", "ibv_dealloc_pd", "ibv_close_device"]

    @Test func localsOfOneScope() throws {
        try withFakeVerbs { fake in
            do {
                let context = try Device(name: "fake0").open()
                let domain = try ProtectionDomain(context)
                let memory = try HostMemory(allocating: 4096)
                let region = try MemoryRegion(registering: memory, on: domain)
                #expect(region.window.byteCount == 4096)
            }
            #expect(fake.teardown == Self.region)
        }
    }

    @Test func aRegionThatOutlivesTheNamesOfItsParents() throws {
        try withFakeVerbs { fake in
            do {
                let region = try makeRegion()
                #expect(fake.teardown.isEmpty, "it keeps them alive")
                #expect(region.window.byteCount == 8192)
            }
            #expect(fake.teardown == Self.region)
        }
    }

    @Test func aRegionThatIsThrownAway() throws {
        try withFakeVerbs { fake in
            _ = try makeRegion()
            #expect(fake.teardown == Self.region)
        }
    }

    @Test func aRegionInAnOptional() throws {
        try withFakeVerbs { fake in
            var region: MemoryRegion<HostMemory>? = try makeRegion()
            #expect(fake.teardown.isEmpty)
            region = nil
            #expect(fake.teardown == Self.region)
            let isGone = region == nil
            #expect(isGone)
        }
    }

    @Test func aRegionInAClass() throws {
        try withFakeVerbs { fake in
            var box: Box<MemoryRegion<HostMemory>>? = Box(try makeRegion())
            #expect(fake.teardown.isEmpty)
            withExtendedLifetime(box) {}
            box = nil
            #expect(fake.teardown == Self.region)
        }
    }

    private func use(_ region: consuming MemoryRegion<HostMemory>) -> UInt64 { region.window.byteCount }

    @Test func aRegionThatIsGivenAway() throws {
        try withFakeVerbs { fake in
            let byteCount = use(try makeRegion())
            #expect(byteCount == 8192)
            #expect(fake.teardown == Self.region)
        }
    }

    @Test func aRegionWhoseScopeIsLeftByAnError() throws {
        try withFakeVerbs { fake in
            #expect(throws: SliceError.outOfBounds) {
                let region = try makeRegion()
                _ = try region.window.entry(at: 0, count: 8193)
            }
            #expect(fake.teardown == Self.region)
        }
    }

    @Test func twoRegionsOfOneDomain() throws {
        try withFakeVerbs { fake in
            do {
                let machine = try Machine()
                let first = try machine.region()
                let second = try machine.region()
                #expect(first.window.localKey != second.window.localKey)
            }
            let calls = fake.teardown
            #expect(calls.prefix(2) == ["ibv_dereg_mr", "ibv_dereg_mr"])
            #expect(calls.last == "ibv_close_device")
            #expect(calls.count == 5)
        }
    }

    @Test func aQueuePairBeforeItsQueuesAndItsDomain() throws {
        try withFakeVerbs { fake in
            _ = try makeQueuePair()
            let calls = fake.teardown
            #expect(calls.first == "ibv_destroy_qp")
            #expect(Set(calls.dropFirst().dropLast()) == ["ibv_destroy_cq", "ibv_dealloc_pd"])
            #expect(calls.last == "ibv_close_device")
            #expect(calls.count == 4)
        }
    }

    @Test func aQueuePairWithTwoQueues() throws {
        try withFakeVerbs { fake in
            do {
                let machine = try Machine()
                let other = try CompletionQueue(machine.context, capacity: 4)
                _ = try QueuePair(
                    domain: machine.domain, sendQueue: machine.queue, receiveQueue: other,
                    capacity: QueuePairCapacity(sends: 1, receives: 1))
            }
            #expect(fake.teardown.first == "ibv_destroy_qp")
            #expect(fake.teardown.last == "ibv_close_device")
            #expect(fake.teardown.count == 5)
        }
    }

    @Test func aQueueBeforeItsChannel() throws {
        try withFakeVerbs { fake in
            do {
                let context = try Device(name: "fake0").open()
                _ = try CompletionQueue(
                    context, capacity: 4, channel: try CompletionChannel(context))
            }
            #expect(fake.teardown == ["ibv_destroy_cq", "ibv_destroy_comp_channel", "ibv_close_device"])
        }
    }

    /// The connection made the queue pair and must outlive it; the event channel outlives both.
    @Test func aConnectedQueuePair() throws {
        try withFakeVerbs { fake in
            func make() throws -> QueuePair {
                let connection = try Connection(EventChannel())
                try connection.listen(on: try #require(SocketAddress("10.0.0.2", port: 1)))
                let context = try #require(connection.context)
                let queue = try CompletionQueue(context, capacity: 4)
                return try QueuePair(
                    for: connection, domain: ProtectionDomain(context), sendQueue: queue,
                    receiveQueue: queue, capacity: QueuePairCapacity(sends: 1, receives: 1))
            }
            _ = try make()
            let calls = fake.teardown
            #expect(calls.prefix(2) == ["rdma_destroy_qp", "ibv_destroy_qp"])
            let id = try #require(calls.firstIndex(of: "rdma_destroy_id"))
            let channel = try #require(calls.firstIndex(of: "rdma_destroy_event_channel"))
            #expect(id < channel)
            #expect(!calls.contains("ibv_close_device"), "the connection manager owns that context")
        }
    }

    /// What a program of this package holds at once, let go of by one class in the order that Swift chooses.
    @Test func allOfItInOneClass() throws {
        final class Holder {
            let queuePair: QueuePair
            let region: PeerRegion
            let flush: PeerWriteFlush
            let machine: Machine
            init() throws {
                let machine = try Machine()
                let queuePair = try machine.queuePair()
                self.region = try PeerRegion.allocate(
                    4096, of: .host, on: machine.domain, access: [.localWrite])
                self.flush = try PeerWriteFlush(
                    depth: 1, on: machine.domain, completions: machine.queue, like: queuePair)
                self.queuePair = queuePair
                self.machine = machine
            }
        }
        try withFakeVerbs { fake in
            _ = try Holder()
            #expect(fake.teardown.last == "ibv_close_device")
            #expect(fake.teardown.count == 2 + 2 + 3)
        }
    }
}
