// SPDX-License-Identifier: Apache-2.0

import PeerMR
import Testing

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
