// SPDX-License-Identifier: Apache-2.0

import PeerMR
import Testing

/// Every call that can fail does, with several numbers: the error is typed, names the call and its errno, and
/// nothing leaks.
@Suite struct FailedCallTests {
    /// Everything that the package makes, one call after the other.
    private func makeEverything() throws(PeerMRError) {
        _ = try Device.all()
        let context = try Device(name: "fake0").open()
        _ = try context.attributes()
        _ = try context.port(1)
        _ = try context.gid(port: 1, index: 0)
        let domain = try ProtectionDomain(context)
        let channel = try CompletionChannel(context)
        let queue = try CompletionQueue(context, capacity: 8, channel: channel)
        let region = try MemoryRegion(registering: HostMemory(allocating: 4096), on: domain)
        let capacity = QueuePairCapacity(sends: 2, receives: 2)
        var pair = try QueuePair(
            domain: domain, sendQueue: queue, receiveQueue: queue, capacity: capacity)
        let other = try QueuePair(
            domain: domain, sendQueue: queue, receiveQueue: queue, capacity: capacity)
        try pair.connectLoopback(like: other)
        let events = try EventChannel()
        let connection = try Connection(events)
        try connection.listen(on: Self.address)
        let client = try Connection(events)
        try client.resolve(Self.address)
        let connected = try QueuePair(
            for: client, domain: domain, sendQueue: queue, receiveQueue: queue, capacity: capacity)
        try client.connect(privateData: [1])
        try client.accept(privateData: [2])
        _ = try connected.pathMTU()
        _ = (region.keys, try events.next())
    }

    // swift-format-ignore: NeverForceUnwrap
    private static let address = SocketAddress("10.0.0.2", port: 18515)!

    @Test func withoutAFailureAllOfItWorks() throws {
        try withFakeVerbs { _ in try makeEverything() }
    }

    /// The call that fails, and the one that the error names, where it is another.
    private static let calls: [(String, String)] = [
        ("ibv_get_device_list", "ibv_get_device_list"), ("ibv_open_device", "ibv_open_device"),
        ("ibv_query_device_ex", "ibv_query_device_ex"), ("ibv_query_port", "ibv_query_port"),
        ("ibv_query_gid", "ibv_query_gid"), ("ibv_alloc_pd", "ibv_alloc_pd"),
        ("ibv_create_comp_channel", "ibv_create_comp_channel"), ("ibv_create_cq", "ibv_create_cq"),
        ("ibv_reg_mr", "ibv_reg_mr"), ("ibv_create_qp", "ibv_create_qp"), ("ibv_query_qp", "ibv_query_qp"),
        ("ibv_modify_qp", "ibv_modify_qp"), ("rdma_create_event_channel", "rdma_create_event_channel"),
        ("rdma_create_id", "rdma_create_event_channel"), ("rdma_bind_addr", "rdma_bind_addr"),
        ("rdma_listen", "rdma_bind_addr"), ("rdma_resolve_addr", "rdma_resolve_addr"),
        ("rdma_resolve_route", "rdma_resolve_addr"), ("rdma_create_qp", "rdma_create_qp"),
        ("rdma_connect", "rdma_connect"), ("rdma_accept", "rdma_accept"),
        ("rdma_get_cm_event", "rdma_create_event_channel"),
    ]

    @Test(arguments: calls.map(\.0), [Errno.noMemory, .invalidArgument, .notPermitted, .ioError, .timedOut])
    func isTypedAndLeaksNothing(_ call: String, _ errno: Errno) throws {
        let named = try #require(Self.calls.first { $0.0 == call }).1
        try withFakeVerbs { fake in
            fake.fail(call, errno)
            do throws(PeerMRError) {
                try makeEverything()
                Issue.record("\(call) failed with \(errno), and nobody noticed")
            } catch {
                #expect(error.errno == errno)
                #expect(error.call == named || error.call == call)
                #expect(!error.reason.isEmpty)
            }
            #expect(fake.liveObjects == 0, "\(fake.journal)")
        }
    }

    /// Calls that are made several times: a later one fails, when more is there to leak.
    @Test(arguments: [
        ("ibv_modify_qp", 3), ("ibv_create_qp", 2), ("rdma_create_id", 2), ("rdma_get_cm_event", 2),
        ("ibv_get_device_list", 2), ("ibv_query_gid", 2), ("ibv_query_port", 2), ("ibv_query_qp", 2),
    ])
    func aLaterOneFails(_ call: String, _ times: Int) throws {
        for skip in 1..<times {
            try withFakeVerbs { fake in
                fake.fail(call, .ioError, after: skip)
                let error = #expect(throws: PeerMRError.self) { try makeEverything() }
                #expect(error?.errno == .ioError)
                #expect(fake.liveObjects == 0, "\(fake.journal)")
            }
        }
    }

    /// A descriptor that cannot be made non-blocking must take its channel with it.
    @Test func aChannelWhoseDescriptorIsBad() throws {
        try withFakeVerbs { fake in
            fake.fail("fcntl", .badFileDescriptor)
            let context = try Device(name: "fake0").open()
            let error = #expect(throws: PeerMRError.self) { _ = try CompletionChannel(context) }
            #expect(error?.errno == .badFileDescriptor)
            #expect(fake.teardown == ["ibv_destroy_comp_channel"])
            #expect(throws: PeerMRError.self) { _ = try EventChannel() }
            #expect(fake.teardown.last == "rdma_destroy_event_channel")
            withExtendedLifetime(context) {}
        }
    }

    @Test func aMachineWithoutVerbsSaysHowToGetThem() throws {
        try withFakeVerbs { fake in
            fake.fail("ibv_get_device_list", .noFunction)
            let error = #expect(throws: PeerMRError.self) { _ = try Device.all() }
            #expect(error?.code == .notSupported)
            #expect(error?.remedy?.contains("modprobe ib_uverbs") == true)
        }
    }
}
