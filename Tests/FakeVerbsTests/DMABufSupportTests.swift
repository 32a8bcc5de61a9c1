// SPDX-License-Identifier: Apache-2.0

import CFakeVerbs
import Glibc
import PeerMR
import Testing

/// Whether a device imports dma-bufs, and what a refusal means where it does.
@Suite struct BufferImportTests {
    @Test(
        arguments: [
            (EBADF, true, "fake0 imports dma-bufs"),
            (EOPNOTSUPP, false, "its driver, or libibverbs' provider library for it, lacks the call"),
            (EPROTONOSUPPORT, false, "Linux 5.12 is the first that can"),
            (ENOTTY, false, "no ioctl interface"),
            (EINVAL, nil, "cannot be told"),
            (EFAULT, nil, "cannot be told"),
            (4095, nil, "cannot be told"),
        ] as [(Int32, Bool?, String)])
    func theErrnoDecides(_ errno: Int32, _ expected: Bool?, _ words: String) throws {
        try withFakeVerbs { fake in
            fake_verbs_set_buffer_probe(errno)
            let context = try Device(name: "fake0").open()
            let found = context.dmaBufSupport()
            #expect(found.isSupported == expected)
            #expect(found.errno == Errno(rawValue: errno))
            #expect(found.reason.contains(words))
            #expect((found.remedy == nil) == (expected == true))
            #expect(fake.live(FAKE_PROTECTION_DOMAIN) == 0)
        }
    }

    @Test func isAskedOncePerContext() throws {
        try withFakeVerbs { _ in
            let context = try Device(name: "fake0").open()
            for _ in 0..<5 { #expect(context.dmaBufSupport().isSupported == false) }
            #expect(fake_verbs_buffer_probes() == 1)
            _ = try Device(name: "fake0").open().dmaBufSupport()
            #expect(fake_verbs_buffer_probes() == 2)
        }
    }

    @Test func whatCouldNotBeAskedIsAskedAgain() throws {
        try withFakeVerbs { fake in
            fake_verbs_set_buffer_probe(EBADF)
            let context = try Device(name: "fake0").open()
            fake.fail("ibv_alloc_pd", .noMemory)
            let first = context.dmaBufSupport()
            #expect(first.isSupported == nil)
            #expect(first.reason.contains("fake0 cannot be asked"))
            fake_verbs_fail_no_more()
            #expect(context.dmaBufSupport().isSupported == true)
        }
    }

    /// The answers for a device that has no such call: a no at the API, at once, and with a way out.
    @Test func aNoNamesTheDeviceAndWhatWouldWork() throws {
        try withFakeVerbs { _ in
            let answer = Assessment(of: .dmabuf, on: try Device(name: "fake0").open()).api
            #expect(answer.outcome == .no)
            #expect(answer.reason.hasPrefix("fake0 imports no dma-bufs"))
            #expect(answer.reason.contains("errno 95"))
            #expect(answer.remedy?.contains("mlx5") == true)
            #expect(answer.remedy?.contains("p2pmem on demand") == true)
        }
    }

    @Test func aYesSaysWhy() throws {
        try withFakeVerbs { _ in
            fake_verbs_set_buffer_probe(EBADF)
            let answer = Assessment(of: .dmabuf, on: try Device(name: "fake0").open()).api
            #expect(answer == Answer(.yes, "fake0 imports dma-bufs: the call is there, down to its driver"))
        }
    }

    /// A device that could not be asked has not said no.
    @Test func whatCouldNotBeAskedIsUnknown() throws {
        try withFakeVerbs { fake in
            fake_verbs_set_kernel("7.3.4")
            let context = try Device(name: "fake0").open()
            fake.fail("ibv_query_device_ex", Errno(rawValue: EIO))
            let answer = Assessment(of: .p2pmem, on: context).api
            #expect(answer.outcome == .unknown)
            #expect(answer.reason.hasPrefix("fake0 cannot be asked"), "\(answer.reason)")
        }
    }

    /// Where no memory could be opened, it is the answer of the side that refused it.
    @Test func aRefusalIsTheAnswerOfWhoRefused() throws {
        try withFakeVerbs { _ in
            fake_verbs_set_buffer_probe(EBADF)
            let context = try Device(name: "fake0").open()
            for kind in [MemoryKind.dmabuf, .p2pmem, .host, .nic] {
                var assessment = Assessment(of: kind, on: context)
                let before = assessment
                assessment.record(refusal: PeerMRError(.notFound, reason: "there is none", remedy: "make one"))
                let refused = Answer(.no, "there is none", remedy: "make one")
                #expect(assessment.api == (kind == .nic ? refused : before.api))
                #expect(assessment.exporter == (kind == .nic ? before.exporter : refused))
            }
        }
    }

    // MARK: - Refusals of a real buffer

    private func refusal(_ errno: Errno, access: Access = [.localWrite]) throws -> PeerMRError? {
        var found: PeerMRError?
        try withFakeVerbs { fake in
            fake_verbs_set_buffer_probe(EBADF)
            let machine = try Machine()
            let buffer = try TestBuffer(65536)
            fake.fail("ibv_reg_dmabuf_mr", errno)
            found = #expect(throws: PeerMRError.self) {
                _ = try PeerRegion(registering: try buffer.memory(), on: machine.domain, access: access)
            }
            #expect(openDescriptors(of: buffer.descriptor) == 1, "ours is closed")
        }
        return found
    }

    @Test(
        arguments: [
            (EOPNOTSUPP, "notSupported", "may revoke the memory at any time", "supports revocation"),
            (ENODEV, "peerLost", "has revoked the memory", "export its memory anew"),
            (121, "notSupported", "allows no DMA between the two devices", "one PCIe switch"),
            (524, "notSupported", "a driver cannot map it", "host bridge"),
            (ENOMEM, "resourceLimit", "no room for its mapping", "smaller parts"),
            (EBADF, "invalidArgument", "is not open", "keep the dma-buf open"),
            (EPERM, "notPermitted", "does not allow this device", "kernel log"),
            (EPROTONOSUPPORT, "notSupported", "Linux 5.12", "mlx5"),
            (EIO, "system", "cannot be registered on fake0", "dmesg"),
        ] as [(Int32, String, String, String)])
    func everyErrnoHasACauseAndARemedy(_ errno: Int32, _ code: String, _ cause: String, _ remedy: String) throws {
        let error = try refusal(Errno(rawValue: errno))
        #expect(error?.code.jsonName == code)
        #expect(error?.errno == Errno(rawValue: errno))
        #expect(error?.call == "ibv_reg_dmabuf_mr")
        #expect(error?.reason.contains(cause) == true, "\(error?.reason ?? "")")
        #expect(error?.remedy?.contains(remedy) == true, "\(error?.remedy ?? "")")
    }

    /// The check of the route was made before; what it said is in the error.
    @Test(arguments: [EINVAL, 121])
    func theRouteIsQuotedWhereTheKernelRefuses(_ errno: Int32) throws {
        try withFakeVerbs { fake in
            fake_verbs_set_buffer_probe(EBADF)
            let machine = try Machine()
            let buffer = try TestBuffer(65536)
            let memory = try buffer.memory(provider: PCIAddress("ffff:ff:1f.7"))
            fake.fail("ibv_reg_dmabuf_mr", Errno(rawValue: errno))
            let error = #expect(throws: PeerMRError.self) {
                _ = try PeerRegion(registering: memory, on: machine.domain, access: [.localWrite])
            }
            // The file is no dma-buf to the kernel, which EINVAL is explained with first.
            let isQuoted = error?.reason.contains("between fake0 and ffff:ff:1f.7 (") == true
            #expect(isQuoted || errno == EINVAL, "\(error?.reason ?? "")")
            #expect(error?.errno == Errno(rawValue: errno))
        }
    }
}
