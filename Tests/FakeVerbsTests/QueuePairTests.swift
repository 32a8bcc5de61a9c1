// SPDX-License-Identifier: Apache-2.0

import CFakeVerbs
import PeerMR
import Testing

@Suite struct QueuePairTests {
    /// INIT, RTR, RTS, each with exactly the attributes that the specification wants (11.2.5.2; man ibv_modify_qp).
    @Test func isLedThroughItsStates() throws {
        try withFakeVerbs { _ in
            let machine = try Machine()
            let connected = try machine.queuePair()
            var pair = try machine.queuePair()
            try pair.connectLoopback(like: connected)
            #expect((0..<4).map { fake_verbs_queue_pair_state($0) } == [1, 2, 3, -1])
            let state: UInt32 = 1 << 0
            let initial = state | 1 << 4 | 1 << 5 | 1 << 3
            let receiving = state | 1 << 7 | 1 << 8 | 1 << 20 | 1 << 12 | 1 << 17 | 1 << 15
            let sending = state | 1 << 9 | 1 << 10 | 1 << 11 | 1 << 16 | 1 << 13
            #expect((0..<3).map { fake_verbs_queue_pair_mask($0) } == [initial, receiving, sending])
        }
    }

    @Test(arguments: [(1, 256), (3, 1024), (5, 4096)] as [(UInt32, Int)])
    func knowsItsPathMTU(_ code: UInt32, _ bytes: Int) throws {
        try withFakeVerbs { _ in
            fake_verbs_set_path_mtu(code)
            let mtu = try Machine().queuePair().pathMTU()
            #expect(mtu.bytes == bytes)
        }
    }

    @Test(arguments: [1, 2, 3, 4, 0, 6] as [UInt32])
    func smallPacketsAreRefusedWhereTheyWouldCorrupt(_ code: UInt32) throws {
        try withFakeVerbs { _ in
            fake_verbs_set_path_mtu(code)
            let pair = try Machine().queuePair()
            let error = #expect(throws: PeerMRError.self) { try pair.check(.wholePages) }
            #expect(error?.code == .unsafeConfiguration)
            #expect(error?.reason.contains("the path MTU is \(PathMTU(rawValue: code).bytes) bytes") == true)
            #expect(error?.remedy?.contains("4200") == true)
            try pair.check(.any)
        }
    }

    @Test func packetsOfWholePagesAreFine() throws {
        try withFakeVerbs { _ in
            fake_verbs_set_path_mtu(5)
            try Machine().queuePair().check(.wholePages)
        }
    }

    @Test func aPathThatCannotBeQueriedIsNotFine() throws {
        try withFakeVerbs { fake in
            let pair = try Machine().queuePair()
            fake.fail("ibv_query_qp", .ioError)
            let error = #expect(throws: PeerMRError.self) { try pair.check(.wholePages) }
            #expect(error?.errno == .ioError)
        }
    }
}
