// SPDX-License-Identifier: Apache-2.0

import CFakeVerbs
import PeerMR
import Testing

/// A queue pair connected to itself: over which port, and by which address.
@Suite struct LoopbackTests {
    private static let globalRouteRequired: UInt8 = 1

    private static func gid(_ text: [UInt8]) -> [UInt8] { [UInt8](repeating: 0, count: 16 - text.count) + text }
    private static let linkLocal: [UInt8] = [0xfe, 0x80] + [UInt8](repeating: 0, count: 13) + [1]
    private static let ipv4 = gid([0xff, 0xff, 10, 77, 0, 1])

    private func connected(port: UInt8? = nil) throws -> fake_path {
        var pair = try Machine().queuePair()
        try pair.connectLoopback(port: port, access: [.localWrite, .remoteWrite, .remoteRead])
        #expect((0..<3).map { fake_verbs_queue_pair_state($0) } == [1, 2, 3])
        return fake_verbs_path()
    }

    @Test func onInfiniBandByLID() throws {
        try withFakeVerbs { _ in
            fake_verbs_set_link_layer(1)
            fake_verbs_set_port_mtu(3)
            let path = try connected()
            #expect(path.dlid == 77)
            #expect(path.is_global == 0)
            #expect(path.path_mtu == 3)
            #expect(path.access == 0b111)
            #expect(path.port == 1)
        }
    }

    @Test func onInfiniBandByGIDTooWhereThePortDemandsIt() throws {
        try withFakeVerbs { _ in
            fake_verbs_set_link_layer(1)
            fake_verbs_set_ports(1, 0, Self.globalRouteRequired)
            fake_verbs_add_gid(1, 0, 0, Self.gid([]))
            fake_verbs_add_gid(1, 3, 0, Self.linkLocal)
            fake_verbs_add_gid(1, 4, 1, Self.ipv4)
            let path = try connected()
            #expect(path.dlid == 77)
            #expect(path.is_global == 1)
            #expect(path.gid_index == 3, "the first that is one: on InfiniBand kinds do not matter")
        }
    }

    @Test func onEthernetByGID() throws {
        try withFakeVerbs { _ in
            fake_verbs_set_link_layer(2)
            let path = try connected()
            #expect(path.is_global == 1)
            #expect(path.gid_index == 0, "none is an IPv4 address: the first that is not empty")
            #expect(path.path_mtu == 5)
        }
    }

    @Test func onEthernetByAnIPv4AddressAndRoCEv2() throws {
        try withFakeVerbs { _ in
            fake_verbs_set_link_layer(2)
            fake_verbs_set_ports(2, 0, 0)
            fake_verbs_add_gid(2, 2, 1, Self.ipv4)
            fake_verbs_add_gid(1, 0, 0, Self.linkLocal)
            fake_verbs_add_gid(1, 1, 1, Self.linkLocal)
            fake_verbs_add_gid(1, 4, 0, Self.ipv4)
            fake_verbs_add_gid(1, 5, 1, Self.ipv4)
            let path = try connected()
            #expect(path.gid_index == 5)
        }
    }

    /// Kernels before 5.9 have one call for each entry.
    @Test func onEthernetWithoutTheWholeTable() throws {
        try withFakeVerbs { fake in
            fake_verbs_set_link_layer(2)
            fake_verbs_add_gid(1, 2, 1, Self.ipv4)
            fake.fail("ibv_query_gid_table", .notSupported)
            let path = try connected()
            #expect(path.gid_index == 2)
        }
    }

    @Test func overThePortThatIsUp() throws {
        try withFakeVerbs { _ in
            fake_verbs_set_link_layer(1)
            fake_verbs_set_ports(3, 1 << 1 | 1 << 2, 0)
            let third = try connected()
            #expect(third.port == 3)
            fake_verbs_set_ports(3, 1 << 1, 0)
            let named = try connected(port: 3)
            #expect(named.port == 3, "2 is up as well")
        }
    }

    @Test func notOverPortsThatAreDown() throws {
        try withFakeVerbs { _ in
            fake_verbs_set_ports(2, ~0, 0)
            let none = #expect(throws: PeerMRError.self) { try connected() }
            #expect(none?.code == .notFound)
            #expect(none?.reason == "no port of fake0 is up")
            let named = #expect(throws: PeerMRError.self) { try connected(port: 2) }
            #expect(named?.reason == "port 2 of fake0 is down")
        }
    }

    @Test func notWithoutAnAddress() throws {
        try withFakeVerbs { _ in
            fake_verbs_set_link_layer(2)
            fake_verbs_add_gid(1, 0, 0, Self.gid([]))
            let error = #expect(throws: PeerMRError.self) { try connected() }
            #expect(error?.reason == "port 1 of fake0 has no address")
        }
    }
}
