// SPDX-License-Identifier: Apache-2.0

import CFakeVerbs
import Glibc
import PeerMR
import Testing

/// Proofs over a fake that moves bytes, and that can be told to lose some.
@Suite struct ProofTests {
    private func withBuffer(
        _ byteCount: Int = 1 << 20, access: Access = [.localWrite, .remoteWrite, .remoteRead],
        refusal: PeerMRError? = nil, exporter: String? = nil, provider: PCIAddress? = nil,
        _ body: (borrowing PeerRegion, TestBuffer, TestMemory) throws -> Void
    ) throws {
        try withFakeVerbs { _ in
            fake_verbs_set_buffer_probe(EBADF)
            fake_verbs_loop(1)
            let machine = try Machine()
            let buffer = try TestBuffer(byteCount)
            buffer.fill((0..<byteCount).map { UInt8(truncatingIfNeeded: $0 / 3) })
            let memory = try buffer.memory(provider: provider, refusal: refusal, exporter: exporter)
            let region = try PeerRegion(registering: memory, on: machine.domain, access: access)
            try body(region, buffer, memory)
        }
    }

    @Test(
        arguments: [
            [.localWrite, .remoteWrite, .remoteRead], [.localWrite], [.localWrite, .remoteRead],
            [.localWrite, .remoteWrite],
        ] as [Access])
    func bytesThatArriveAreProof(_ access: Access) throws {
        try withBuffer(access: access) { region, buffer, _ in
            let before = buffer.contents
            let proof = try region.prove()
            #expect(proof.state == .proven)
            #expect(proof.intoMemory == .proven)
            #expect(proof.outOfMemory == .proven)
            #expect(proof.firstDifference == nil)
            #expect(proof.byteCount == 131072, "the beginning and the end")
            #expect(proof.answer.outcome == .yes)
            #expect(buffer.contents == before, "what lay there is there again")
        }
    }

    /// Whose memory it is decides what a proof shows, and what bytes through it count as.
    @Test(
        arguments: [
            ("vfio_pci_core", .peer, nil), ("nvidia", .peer, nil), ("udmabuf", .host, nil),
            ("i915", .host, "the memory is the host's, which i915 handed out: 0000:01:00.0 was not reached"),
            ("drm", .unknown, "drm may have handed out the host's, so that this does not show that a device's memory"),
            ("unknown", .unknown, "whose memory that is remains open"),
        ] as [(String, MemoryOwner, String?)])
    func aProofSaysWhatItDoesNotShow(_ exporter: String, _ owner: MemoryOwner, _ caveat: String?) throws {
        let provider = exporter == "udmabuf" ? nil : PCIAddress("0000:01:00.0")
        try withBuffer(65536, exporter: exporter, provider: provider) { region, _, _ in
            let proof = try region.prove()
            #expect(proof.state == .proven && proof.owner == owner && proof.answer.outcome == .yes)
            #expect(proof.reason.contains(";") == (caveat != nil))
            if let caveat { #expect(proof.reason.contains(caveat)) }
            #expect(region.owner == owner && region.isPeerToPeer == (owner == .peer))
            var count = TransferCount()
            count.add(10, through: region)
            #expect(count.peerToPeer == (owner == .peer ? 10 : 0))
            #expect(count.unknown == (owner == .unknown ? 10 : 0))
            #expect(count.host == (owner == .host ? 10 : 0) && count.bounced == 0)
            let isNeeded = PeerWriteFlush.isNeeded(for: region)
            #expect(isNeeded == (owner != .host), "a flush too many is no harm")
        }
    }

    /// A region's access decides by which key it is tested: a peer's where peers may, else the own one.
    @Test func theAccessDecidesHow() throws {
        try withBuffer(4096, access: [.localWrite, .remoteRead]) { region, _, _ in
            _ = try region.prove()
            let requests = (0..<fake_verbs_sends()).map { fake_verbs_send($0) }
            #expect(requests.filter { $0.remote_key == region.keys.remoteKey }.allSatisfy { $0.opcode == 4 })
            #expect(requests.contains { $0.key == region.keys.localKey && $0.opcode == 4 }, "read into it")
        }
    }

    @Test func forReadingOnlyOneWayIsProven() throws {
        try withBuffer(access: [.remoteRead]) { region, _, _ in
            let proof = try region.prove()
            #expect(proof.state == .proven)
            #expect(proof.intoMemory == .notTested)
            #expect(proof.outOfMemory == .proven)
        }
    }

    @Test(arguments: [0, 1, 4095, 65535] as [UInt64])
    func whatDoesNotArriveIsFound(_ first: UInt64) throws {
        try withBuffer { region, _, _ in
            fake_verbs_go_astray(first, 1, 0)
            // The random byte is the old one now and then.
            let proofs = try (0..<4).map { _ in try region.prove() }
            let proof = try #require(proofs.first { $0.state == .disproven })
            #expect(proof.intoMemory == .disproven)
            #expect(proof.firstDifference.map { UInt64($0) % (1 << 20 - 65536) } == first)
            #expect(proof.answer.outcome == .no)
            #expect(proof.reason.contains("did not arrive"))
        }
    }

    @Test func whatIsNotReadIsFound() throws {
        try withBuffer { region, _, _ in
            fake_verbs_go_astray(100, 50, 1)
            let proof = try region.prove()
            #expect(proof.state == .disproven)
            #expect(proof.outOfMemory == .disproven)
            #expect(proof.firstDifference.map { (100..<150).contains($0) } == true)
        }
    }

    @Test func withoutTheOwnersEyesItIsUnknown() throws {
        let blind = PeerMRError(.notSupported, reason: "nobody can look")
        try withBuffer(refusal: blind) { region, buffer, _ in
            let before = buffer.contents
            let proof = try region.prove()
            #expect(proof.state == .unknown)
            #expect(proof.intoMemory == .notTested)
            #expect(
                proof.reason.contains("read them back, but nobody could look from the memory's side: nobody can look"))
            #expect(buffer.contents == before)
            fake_verbs_go_astray(0, 4096, 0)
            #expect(try region.prove().state == .disproven, "not even the NIC gets its bytes back")
            fake_verbs_go_astray(0, 4096, 1)
            #expect(try region.prove().state == .disproven, "what it has written is not what it has read")
        }
    }

    @Test func anExporterThatTookItBackEndsTheProof() throws {
        try withBuffer { region, _, owner in
            owner.refusal = PeerMRError(.memoryRevoked, reason: "the memory was taken back")
            let error = #expect(throws: PeerMRError.self) { _ = try region.prove() }
            #expect(error?.code == .memoryRevoked)
        }
    }

    @Test(arguments: [4, 10, 11, 9, 2] as [UInt32])
    func aCompletionThatFailsNamesTheRegion(_ status: UInt32) throws {
        try withBuffer { region, _, _ in
            fake_verbs_fail_transfer(status, 1)
            let error = #expect(throws: PeerMRError.self) { _ = try region.prove() }
            #expect(error?.code == .memoryRevoked)
            #expect(error?.reason.contains("the region over a dma-buf of") == true)
            #expect(error?.reason.contains("status \(status)") == true)
            #expect(error?.remedy?.contains("register") == true)
        }
    }

    @Test func aNICThatDoesNotAnswerIsNotWaitedForLong() throws {
        try withBuffer { region, _, _ in
            fake_verbs_loop(0)
            let error = #expect(throws: PeerMRError.self) {
                _ = try region.prove(ProofOptions(timeoutMilliseconds: 50))
            }
            #expect(error?.code == .disconnected)
            #expect(error?.reason.contains("fake0") == true)
        }
    }

    @Test func hostMemoryIsProvenToo() throws {
        try withFakeVerbs { _ in
            fake_verbs_loop(1)
            let machine = try Machine()
            let region = try PeerRegion.allocate(
                8192, of: .host, on: machine.domain, access: [.localWrite, .remoteWrite])
            #expect(try region.prove().state == .proven)
        }
    }

    @Test func nothingIsLeftWhereItCannotBeTried() throws {
        try withFakeVerbs { fake in
            let machine = try Machine()
            let region = try PeerRegion.allocate(8192, of: .host, on: machine.domain, access: [.localWrite])
            for call in ["ibv_create_cq", "ibv_create_qp", "ibv_modify_qp", "ibv_reg_mr", "ibv_post_send"] {
                fake.fail(call, .ioError)
                #expect(throws: PeerMRError.self) { _ = try region.prove() }
            }
            fake_verbs_fail_no_more()
            fake_verbs_poll_result(-5)
            #expect(throws: PeerMRError.self) { _ = try region.prove() }
            #expect(fake.live(FAKE_QUEUE_PAIR) == 0)
            #expect(fake.live(FAKE_REGION) == 1)
        }
    }

    // MARK: - Loss

    @Test func aCheckTouchesTheRegion() throws {
        try withBuffer { region, _, owner in
            try region.check()
            fake_verbs_fail_transfer(10, 0)
            #expect(throws: PeerMRError.self) { try region.check() }
            owner.refusal = PeerMRError(.memoryRevoked, reason: "gone")
            #expect(region.loss()?.reason == "gone")
        }
    }

    @Test func successNeedsNoExplanation() throws {
        try withBuffer { region, _, _ in
            let machine = try Machine()
            var batch = CompletionBatch(capacity: 4)
            for status: UInt32 in [0, 5, 12, 4] {
                fake_verbs_complete(9, status, 0, 0, 0, 0, 77)
                _ = try machine.queue.poll(into: &batch)
                let error = region.explain(batch[0])
                switch status {
                case 0: #expect(error == nil)
                case 5: #expect(error?.remedy?.contains("first request") == true)
                case 12: #expect(error?.code == .disconnected && error?.reason.contains("failed") == true)
                default: #expect(error?.reason.contains("vendor 77, request 9") == true)
                }
            }
        }
    }
}
