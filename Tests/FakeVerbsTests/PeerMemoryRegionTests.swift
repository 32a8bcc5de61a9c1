// SPDX-License-Identifier: Apache-2.0

import CFakeVerbs
import PeerMR
import TestSupport
import Testing

/// The registration path over p2pmem, where a file stands for the device's memory.
@Suite struct PeerMemoryRegionTests {
    let folder = TemporaryFolder()
    // swift-format-ignore: NeverForceUnwrap
    let provider = PCIAddress("0000:01:00.0")!

    init() {
        folder.pool(of: "\(provider)")
    }

    private func region(
        _ machine: borrowing Machine, access: Access = [.localWrite, .remoteWrite]
    ) throws(PeerMRError) -> PeerRegion {
        try PeerRegion(
            registering: P2PMemory(allocating: 16384, from: provider, root: folder.root),
            on: machine.domain, access: access)
    }

    @Test func isOnDemandWhereTheDeviceAndTheKernelCan() throws {
        try withFakeVerbs { fake in
            fake_verbs_set_kernel("7.3.4+deb13-amd64")
            fake_verbs_set_on_demand(1, 0x1f)
            let machine = try Machine()
            let region = try region(machine)
            #expect(region.kind == .p2pmem)
            #expect(region.provider == provider)
            #expect(region.choice.method == .onDemand)
            #expect(region.isPeerToPeer == true)
            #expect(region.bounceReason == nil)
            #expect(fake_verbs_registered_access() == 0b100_0011, "on demand, and what was asked for")
            #expect(fake_verbs_registered_bytes() == 16384)
            #expect(fake_verbs_registered_address() == region.keys.address)
            #expect(region.hostBytes(at: 0, count: 1) == nil, "the CPU has no business there")
            var count = TransferCount()
            count.add(4096, through: region)
            #expect(count.peerToPeer == 4096)
            #expect(count.host == 0 && count.bounced == 0)
        }
    }

    @Test func needsAFlushWhereTheNICDoesTheDMA() throws {
        try withFakeVerbs { _ in
            fake_verbs_set_kernel("7.3.4")
            fake_verbs_set_on_demand(1, 0x1f)
            let region = try region(Machine())
            #expect(region.nic == .device, "as sysfs, which knows nothing of fake0, must be read")
            let isNeeded = PeerWriteFlush.isNeeded(for: region)
            #expect(isNeeded)
        }
    }

    @Test(arguments: ["6.12.48+deb13-amd64", "6.15.0", "unreadable"])
    func isRefusedWhereTheKernelDoesNotCheck(_ release: String) throws {
        try withFakeVerbs { fake in
            fake_verbs_set_kernel(release)
            fake_verbs_set_on_demand(1, 0x1f)
            let machine = try Machine()
            let error = #expect(throws: PeerMRError.self) { _ = try region(machine) }
            #expect(error?.code == .unsafeConfiguration)
            #expect(!fake.journal.contains("ibv_reg_mr"))
        }
    }

    /// Without on-demand paging the kernel is asked, and what it says is explained by what is missing.
    @Test(arguments: [Errno.badAddress, Errno(rawValue: 121), .noMemory])
    func aPinThatIsRefusedIsExplained(_ errno: Errno) throws {
        try withFakeVerbs { fake in
            fake_verbs_set_kernel("7.3.4")
            let machine = try Machine()
            fake.fail("ibv_reg_mr", errno)
            let error = #expect(throws: PeerMRError.self) { _ = try region(machine) }
            #expect(error?.code == .notSupported)
            #expect(error?.call == "ibv_reg_mr")
            #expect(error?.errno == errno)
            #expect(error?.reason.contains("fake0 has no on-demand paging") == true)
            #expect(error?.remedy?.contains("on-demand paging") == true)
            #expect(fake_verbs_registered_access() == 0b11, "pinned, as there is no other way")
            #expect(fake.live(FAKE_REGION) == 0)
        }
    }

    /// A pair of devices that may not talk is another matter than a device that cannot page: the route says why.
    @Test func aRefusalOnDemandHasTheReasonOfTheRoute() throws {
        try withFakeVerbs { fake in
            fake_verbs_set_kernel("7.3.4")
            fake_verbs_set_on_demand(1, 0x1f)
            let machine = try Machine()
            fake.fail("ibv_reg_mr", .badAddress)
            let error = #expect(throws: PeerMRError.self) { _ = try region(machine) }
            #expect(error?.code == .notSupported)
            // The provider is not one of this machine's.
            #expect(
                error?.reason == "the kernel refuses DMA between fake0 and \(provider) (p2pmem), as expected: "
                    + "there is no PCI function \(provider)")
            #expect(error?.remedy?.contains("lspci -D") == true)
            #expect((error?.call, error?.errno) == ("ibv_reg_mr", .badAddress))
            fake.fail("ibv_reg_mr", .noMemory)
            let other = #expect(throws: PeerMRError.self) { _ = try region(machine) }
            #expect(other?.reason.contains("route") == false, "another matter")
        }
    }

    /// The fake's ibv_dereg_mr looks whether the memory is still mapped.
    @Test func isForgottenBeforeItsMemoryGoes() throws {
        try withFakeVerbs { fake in
            fake_verbs_set_kernel("7.3.4")
            fake_verbs_set_on_demand(1, 0x1f)
            do {
                let region = try region(Machine())
                #expect(region.byteCount == 16384)
            }
            #expect(fake.teardown.contains("ibv_dereg_mr"))
        }
    }
}
