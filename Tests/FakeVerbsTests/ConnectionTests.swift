// SPDX-License-Identifier: Apache-2.0

import CFakeVerbs
import PeerMR
import Testing

@Suite struct ConnectionTests {
    // swift-format-ignore: NeverForceUnwrap
    private static let server = SocketAddress("10.0.0.2", port: 18515)!

    private func carried() -> [UInt8] {
        var bytes = [UInt8](repeating: 0, count: 255)
        let count = fake_verbs_private_data(&bytes, 255)
        return Array(bytes.prefix(Int(count)))
    }

    @Test func aClientFindsItsDeviceAndSaysItsHello() throws {
        try withFakeVerbs { fake in
            let connection = try Connection(EventChannel())
            #expect(connection.context == nil)
            #expect(connection.portNumber == 0)
            try connection.resolve(Self.server, from: SocketAddress("10.0.0.1", port: 0))
            #expect(connection.context?.device.name == "fake0")
            #expect(connection.portNumber == 1)
            #expect(connection.peerAddress?.host == "10.0.0.2")
            #expect(connection.localAddress?.host == "10.0.0.1")
            try connection.connect(privateData: [1, 2, 3])
            #expect(carried() == [1, 2, 3])
            connection.disconnect()
            #expect(fake.journal.suffix(2) == ["rdma_connect", "rdma_disconnect"])
            withExtendedLifetime(connection) {}
        }
    }

    /// Before it is bound an endpoint has no address: all zeros would be one.
    @Test func addressesAreNilBeforeThereAreAny() throws {
        try withFakeVerbs { _ in
            let connection = try Connection(EventChannel())
            #expect(connection.peerAddress == nil)
            #expect(connection.localAddress == nil)
        }
    }

    @Test func anEventIsCopiedBeforeItIsAcknowledged() throws {
        try withFakeVerbs { fake in
            let events = try EventChannel()
            let connection = try Connection(events)
            let data = (0..<56).map { UInt8($0) }
            fake_verbs_event(9, 0, data, 56)
            let event = try #require(try events.next())
            #expect(event.kind == .established)
            #expect(event.privateData == data)
            #expect(event.identity == connection.identity)
            #expect(event.request == nil)
            #expect(fake.live(FAKE_CONNECTION_EVENT) == 0)
            #expect(try events.next() == nil)
            withExtendedLifetime(connection) {}
        }
    }

    @Test func aRequestBringsAConnectionOfItsOwn() throws {
        try withFakeVerbs { fake in
            let events = try EventChannel()
            let listener = try Connection(events)
            try listener.listen(on: Self.server)
            fake_verbs_event(4, 0, [7, 8] as [UInt8], 2)
            let event = try #require(try events.next())
            let request = try #require(event.request)
            #expect(request.identity != listener.identity)
            #expect(request.identity == event.identity)
            #expect(request.peerAddress?.host == "10.0.0.7")
            #expect(request.context?.device.name == "fake0")
            #expect(event.privateData == [7, 8])
            try request.accept(privateData: [9])
            #expect(carried() == [9])
            #expect(fake.live(FAKE_CONNECTION) == 2)
            withExtendedLifetime((listener, event)) {}
        }
    }

    @Test func aRequestThatNobodyKeepsIsLetGo() throws {
        try withFakeVerbs { fake in
            let events = try EventChannel()
            let listener = try Connection(events)
            try listener.listen(on: Self.server)
            fake_verbs_event(4, 0, [7] as [UInt8], 1)
            _ = try events.next()
            #expect(fake.live(FAKE_CONNECTION) == 1, "only the listener")
            withExtendedLifetime(listener) {}
        }
    }

    @Test(arguments: [(0, 0), (1, 1), (148, 148), (149, 148), (300, 148)])
    func aRejectionCarriesAtMost148Bytes(_ count: Int, _ sent: Int) throws {
        try withFakeVerbs { _ in
            let connection = try Connection(EventChannel())
            connection.reject(privateData: [UInt8](repeating: 5, count: count))
            #expect(carried() == [UInt8](repeating: 5, count: sent))
        }
    }

    @Test func aRefusalComesWithItsReason() throws {
        try withFakeVerbs { _ in
            let events = try EventChannel()
            let connection = try Connection(events)
            fake_verbs_event(8, 28, [0x30, 0x50] as [UInt8], 2)
            let event = try #require(try events.next())
            #expect(event.kind == .rejected)
            #expect(event.status == 28)
            #expect(event.privateData == [0x30, 0x50])
            withExtendedLifetime(connection) {}
        }
    }

    @Test(arguments: [0, 1, 2, 3, 6, 7, 10, 11, 14, 15, 99] as [UInt32])
    func eventsThatCarryNothingHaveNoData(_ kind: UInt32) throws {
        try withFakeVerbs { _ in
            let events = try EventChannel()
            let connection = try Connection(events)
            fake_verbs_event(kind, -110, [1, 2, 3] as [UInt8], 3)
            let event = try #require(try events.next())
            #expect(event.kind.rawValue == kind)
            #expect(event.privateData.isEmpty)
            #expect(event.status == -110)
            withExtendedLifetime(connection) {}
        }
    }

    /// A provider that tells a length and gives no bytes must not bring the program down.
    @Test func aLengthWithoutDataIsNoData() throws {
        try withFakeVerbs { _ in
            let events = try EventChannel()
            let connection = try Connection(events)
            fake_verbs_event_without_data(9, 56)
            #expect(try #require(try events.next()).privateData.isEmpty)
            withExtendedLifetime(connection) {}
        }
    }

    @Test(arguments: [(1, -110), (0, 0), (3, -113), (7, -104)] as [(UInt32, Int32)])
    func aRouteThatIsNotFoundSaysWhy(_ kind: UInt32, _ status: Int32) throws {
        try withFakeVerbs { _ in
            let connection = try Connection(EventChannel())
            fake_verbs_event(kind, status, nil, 0)
            fake_verbs_event(kind, status, nil, 0)
            let error = #expect(throws: PeerMRError.self) { try connection.resolve(Self.server) }
            #expect(error?.code == .disconnected)
            #expect(error?.reason.contains("10.0.0.2") == true)
            if status != 0 { #expect(error?.errno?.rawValue == -status) }
        }
    }

    @Test(arguments: [
        (Errno.addressInUse, PeerMRError.Code.busy), (.permissionDenied, .notPermitted),
        (.noSuchAddressOrDevice, .notFound), (.addressNotAvailable, .notFound),
    ])
    func anAddressThatCannotBeListenedOn(_ errno: Errno, _ code: PeerMRError.Code) throws {
        for call in ["rdma_bind_addr", "rdma_listen"] {
            try withFakeVerbs { fake in
                let connection = try Connection(EventChannel())
                fake.fail(call, errno)
                let error = #expect(throws: PeerMRError.self) { try connection.listen(on: Self.server) }
                #expect(error?.code == code)
                #expect(error?.errno == errno)
            }
        }
    }

    @Test func aWrongAddressNamesTheDevicesThatThereAre() throws {
        try withFakeVerbs { fake in
            fake_verbs_add_device("mlx5_0")
            let connection = try Connection(EventChannel())
            fake.fail("rdma_bind_addr", .addressNotAvailable)
            let error = #expect(throws: PeerMRError.self) { try connection.listen(on: Self.server) }
            #expect(error?.reason.contains("(fake0, mlx5_0)") == true)
            #expect(error?.remedy?.contains("rdma link show") == true)
        }
    }

    /// rdma_bind_addr succeeds on an address that no RDMA device has, such as the wildcard.
    @Test func anAddressOfNoDeviceIsNoPlaceToListen() throws {
        try withFakeVerbs { _ in
            fake_verbs_remove_devices()
            let connection = try Connection(EventChannel())
            let error = #expect(throws: PeerMRError.self) { try connection.listen(on: Self.server) }
            #expect(error?.code == .notFound)
            #expect(error?.remedy?.contains("rdma link add") == true)
        }
    }

    @Test(arguments: [(0, 0), (16, 16), (31, 31), (32, 31), (255, 31)] as [(UInt8, Int32)])
    func theTimeoutFitsItsFiveBits(_ exponent: UInt8, _ told: Int32) throws {
        try withFakeVerbs { _ in
            let connection = try Connection(EventChannel())
            connection.setAcknowledgeTimeout(exponent: exponent)
            #expect(fake_verbs_acknowledge_timeout() == told)
        }
    }

    @Test func anOldKernelKeepsItsOwnTimeout() throws {
        try withFakeVerbs { fake in
            let connection = try Connection(EventChannel())
            fake.fail("rdma_set_option", .noFunction)
            connection.setAcknowledgeTimeout(exponent: 16)
            #expect(fake_verbs_acknowledge_timeout() == -1)
        }
    }

    /// What a peer says of itself and where packets to it go are two things.
    @Test func thePathIsAskedOfTheConnectionAndOfItsQueuePair() throws {
        try withFakeVerbs { fake in
            let machine = try Machine()
            let connection = try Connection(EventChannel())
            try connection.resolve(Self.server)
            let local = try #require(GID(networkOrder: (16..<32).map { UInt8($0) }))
            let remote = try #require(
                GID(networkOrder: [UInt8](repeating: 0, count: 10) + [0xff, 0xff, 10, 0, 0, 7]))
            #expect(try connection.path() == ConnectionPath(local: local, remote: remote))
            let domain = try ProtectionDomain(try #require(connection.context))
            let pair = try QueuePair(
                for: connection, domain: domain, sendQueue: machine.queue, receiveQueue: machine.queue,
                capacity: QueuePairCapacity(sends: 4, receives: 4))
            let other = try #require(GID(networkOrder: (0..<16).map { UInt8($0) }))
            fake_verbs_lead_to(other.bytes)
            #expect(try pair.path() == ConnectionPath(local: local, remote: other))
            fake_verbs_lead_to(nil)
            #expect(try pair.path() == nil && connection.path() == nil)
            fake.fail("rdma_init_qp_attr", .invalidArgument)
            let error = #expect(throws: PeerMRError.self) { try connection.path() }
            #expect(error?.call == "rdma_init_qp_attr" && error?.errno == .invalidArgument)
            #expect(connection.context?.isIWARP == false)
            fake_verbs_set_iwarp(1)
            #expect(connection.context?.isIWARP == true)
        }
    }

    @Test func waitingForAnEventEnds() throws {
        try withFakeVerbs { _ in
            let events = try EventChannel()
            #expect(try events.next(within: 20) == nil)
            let connection = try Connection(events)
            fake_verbs_event(10, 0, nil, 0)
            #expect(try events.next(within: 1000)?.kind == .disconnected)
            withExtendedLifetime(connection) {}
        }
    }
}
