// SPDX-License-Identifier: Apache-2.0

import Testing

@testable import PCITopology
@testable import PeerMR

/// Which method is taken, over all facts that decide it.
@Suite struct MethodChoiceTests {
    static let kernels: [KernelRelease?] = [
        nil, KernelRelease(5, 15), KernelRelease(6, 2), KernelRelease(6, 12), KernelRelease(6, 15),
        KernelRelease(6, 16), KernelRelease(7, 3),
    ]
    static let all: OnDemandPaging.Operations = [.send, .receive, .write, .read]

    private func info(
        onDemand: Bool = true, operations: OnDemandPaging.Operations = all, nic: NICKind = .device,
        kernel: KernelRelease? = KernelRelease(7, 3)
    ) -> RegistrationInfo {
        RegistrationInfo(
            device: Device(name: "mlx5_0"),
            onDemand: OnDemandPaging(isSupported: onDemand, reliableConnection: operations), nic: nic,
            kernel: kernel)
    }

    @Test(arguments: kernels, [NICKind.device, .software])
    func hostMemoryIsPinnedWhateverTheMachine(_ kernel: KernelRelease?, _ nic: NICKind) throws {
        for onDemand in [false, true] {
            let info = info(onDemand: onDemand, nic: nic, kernel: kernel)
            let choice = try MethodChoice.choose(for: .host, info: info)
            #expect(choice.method == .pinned)
            #expect(choice.constraint == .any)
            #expect(!choice.reason.isEmpty)
        }
    }

    @Test(arguments: [KernelRelease(6, 16), KernelRelease(6, 17), KernelRelease(7, 0), KernelRelease(7, 3)])
    func p2pmemIsOnDemandWhereTheKernelChecks(_ kernel: KernelRelease) throws {
        let choice = try MethodChoice.choose(for: .p2pmem, info: info(kernel: kernel))
        #expect(choice.method == .onDemand)
        #expect(choice.constraint == .any)
        #expect(choice.reason.contains("mlx5_0"))
    }

    /// Soft-RoCE moves on-demand data right in one shape only (sw/rxe/rxe_odp.c), and reports success in all.
    @Test func aSoftwareDeviceIsKeptToWholePages() throws {
        let choice = try MethodChoice.choose(for: .p2pmem, info: info(nic: .software))
        #expect(choice.method == .onDemand)
        #expect(choice.constraint == .wholePages)
    }

    /// No packet is as large as such a page.
    @Test(arguments: [16384, 65536])
    func aSoftwareDeviceIsRefusedOnLargePages(_ pageBytes: Int) throws {
        var info = info(nic: .software)
        info.pageBytes = pageBytes
        let error = #expect(throws: PeerMRError.self) { try MethodChoice.choose(for: .p2pmem, info: info) }
        #expect(error?.code == .unsafeConfiguration)
        #expect(error?.reason.contains("with pages of \(pageBytes) bytes") == true)
        info.nic = .device
        #expect(try MethodChoice.choose(for: .p2pmem, info: info).constraint == .any)
    }

    /// Before 6.16 on-demand paging mapped peer memory like RAM; an unknown kernel counts as one of those.
    @Test(
        arguments: [nil, KernelRelease(5, 15), KernelRelease(6, 12), KernelRelease(6, 15)], [NICKind.device, .software])
    func aKernelThatDoesNotCheckIsRefused(_ kernel: KernelRelease?, _ nic: NICKind) {
        let error = #expect(throws: PeerMRError.self) {
            try MethodChoice.choose(for: .p2pmem, info: info(nic: nic, kernel: kernel))
        }
        #expect(error?.code == .unsafeConfiguration)
        #expect(error?.reason.hasPrefix(kernel.map { "Linux \($0) " } ?? "this kernel ") == true)
        #expect(error?.remedy?.contains("6.16") == true)
    }

    private func peer(_ iommu: IOMMUMode = .none, isSupported: Bool? = true, busOffset: Int64? = 0) -> PeerMapping {
        let mapping = UncheckedMapping(
            client: PCIAddress("0000:02:00.0"),
            verdict: Verdict(mapType: .busAddress, isSupported: isSupported, distance: 2), allowsHostBridge: false,
            iommu: iommu, busOffset: busOffset, encryptsMemory: false, isX86: true)
        return PeerMapping(
            provider: PCIAddress(domain: 0, number: 0x100), mapping: mapping,
            route: Answer(.no, "no way", remedy: "make one"))
    }

    @Test func withoutTheKernelsCheckThatOfPeerMRStandsIn() throws {
        for kernel in [nil, KernelRelease(5, 14), KernelRelease(6, 12)] {
            var info = info(kernel: kernel)
            info.peer = peer()
            let choice = try MethodChoice.choose(for: .p2pmem, info: info)
            #expect(choice.method == .onDemand)
            #expect(choice.reason.contains("maps it without a check, and PeerMR's own stands in for that"))
            info.peer = peer(.domain(type: "DMA", group: "9"))
            let error = #expect(throws: PeerMRError.self) { try MethodChoice.choose(for: .p2pmem, info: info) }
            #expect(error?.code == .unsafeConfiguration)
            #expect(error?.reason.contains("group 9") == true && error?.remedy?.contains("iommu=pt") == true)
            info.peer = peer(isSupported: false)
            let refused = #expect(throws: PeerMRError.self) { try MethodChoice.choose(for: .p2pmem, info: info) }
            #expect(refused?.reason.hasSuffix("a newer one would refuse it: no way") == true)
            #expect(refused?.remedy == "make one")
        }
    }

    /// Type information tells of backports; where there is none, the release does.
    @Test func whetherTheKernelChecksIsReadBeforeItsRelease() throws {
        var old = info(kernel: KernelRelease(5, 14))
        old.checksMappings = true
        #expect(try MethodChoice.choose(for: .p2pmem, info: old).method == .onDemand)
        var new = info(kernel: KernelRelease(7, 3))
        new.checksMappings = false
        #expect(throws: PeerMRError.self) { try MethodChoice.choose(for: .p2pmem, info: new) }
        new.peer = peer()
        #expect(try MethodChoice.choose(for: .p2pmem, info: new).reason.contains("stands in"))
    }

    /// RHEL 9.3 and 9.4 check the route when they pin p2pmem, and pin it.
    @Test func aKernelThatPinsPeerMemoryIsLeftToDoSo() throws {
        var info = info(kernel: KernelRelease(5, 14))
        info.redHat = RedHatKernel(release: "5.14.0-427.13.1.el9_4.x86_64")
        info.peer = peer(busOffset: nil)
        let choice = try MethodChoice.choose(for: .p2pmem, info: info)
        #expect(choice.method == .pinned && choice.reason.contains("RHEL 9.4"))
        info.redHat = RedHatKernel(release: "5.14.0-503.11.1.el9_5.x86_64")
        #expect(throws: PeerMRError.self) { try MethodChoice.choose(for: .p2pmem, info: info) }
    }

    @Test(arguments: kernels, [NICKind.device, .software])
    func p2pmemWithoutOnDemandPagingIsTriedPinned(_ kernel: KernelRelease?, _ nic: NICKind) throws {
        let choice = try MethodChoice.choose(
            for: .p2pmem, info: info(onDemand: false, operations: [], nic: nic, kernel: kernel))
        #expect(choice.method == .pinned)
        #expect(choice.constraint == .any)
        #expect(choice.reason.contains("mlx5_0 has no on-demand paging"))
    }

    @Test(
        arguments: [
            [], [.send], [.send, .receive], [.write, .read], [.send, .receive, .write],
            [.send, .receive, .read], [.send, .write, .read], [.receive, .write, .read], [.atomic],
        ] as [OnDemandPaging.Operations])
    func onDemandPagingMustCoverAllThatIsUsed(_ operations: OnDemandPaging.Operations) throws {
        let choice = try MethodChoice.choose(for: .p2pmem, info: info(operations: operations))
        #expect(choice.method == .pinned)
    }

    @Test func atomicsAreNotNeededAndDoNotHurt() throws {
        let more = Self.all.union([.atomic, OnDemandPaging.Operations(rawValue: 1 << 20)])
        #expect(try MethodChoice.choose(for: .p2pmem, info: info(operations: more)).method == .onDemand)
    }

    /// The operations without the general bit mean nothing.
    @Test func theGeneralCapabilityDecides() throws {
        let choice = try MethodChoice.choose(for: .p2pmem, info: info(onDemand: false))
        #expect(choice.method == .pinned)
    }

    /// A dma-buf has no pages that ibv_reg_mr could take.
    @Test func aDMABufIsNeverPinnedAsIfItWereTheHosts() {
        let choice = try? MethodChoice.choose(for: .dmabuf, info: info())
        #expect(choice?.method != .pinned)
        #expect(choice?.method != .onDemand)
    }
}
