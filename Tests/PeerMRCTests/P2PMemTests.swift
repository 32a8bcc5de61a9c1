// SPDX-License-Identifier: Apache-2.0

import CFakeVerbs
import CPeerMR
import CVerbs
import PeerMR
import TestSupport
import Testing

@testable import PeerMRC

/// p2pmem of an application, where a file stands for the device's memory: which C programs cannot have without one.
@Suite struct P2PMemTests {
    let folder = TemporaryFolder()
    // swift-format-ignore: NeverForceUnwrap
    let provider = PCIAddress("0000:01:00.0")!

    init() {
        folder.pool(of: "\(provider)")
    }

    /// A domain of the fake's device, which can page on demand, and a handle of p2pmem.
    private func withMemory(
        onDemand: Bool = true, _ body: (UnsafeMutablePointer<ibv_pd>?, OpaquePointer?) throws -> Void
    ) throws {
        fake_verbs_begin()
        defer { fake_verbs_end() }
        fake_verbs_set_kernel("7.3.4")
        if onDemand { fake_verbs_set_on_demand(1, 0x1f) }
        let list = ibv_get_device_list(nil)
        let context = ibv_open_device(list?[0])
        ibv_free_device_list(list)
        let pd = ibv_alloc_pd(context)
        let handle = try Live.memories.add(
            P2PMemoryBox(try P2PMemory(allocating: 8192, from: provider, root: folder.root)))
        try body(pd, handle)
        _ = peermr_p2pmem_free(handle)
        ibv_dealloc_pd(pd)
        ibv_close_device(context)
        #expect((0..<FAKE_KINDS.rawValue).allSatisfy { fake_verbs_live(fake_kind(rawValue: $0)) == 0 })
        #expect(fake_verbs_complaint(0) == nil)
    }

    private var lastReason: String {
        var error = peermr_error()
        error.struct_size = MemoryLayout<peermr_error>.size
        _ = peermr_last_error(&error)
        return error.reason.map { String(cString: $0) } ?? ""
    }

    @Test func isRegisteredOnDemandAndFreedAfterItsRegions() throws {
        try withMemory { pd, memory in
            #expect(peermr_p2pmem_length(memory) == 8192)
            let address = try #require(peermr_p2pmem_address(memory))
            #expect(address.load(as: UInt64.self) == 0, "what its last owner left there is gone")
            var regions: [OpaquePointer?] = [nil, nil]
            #expect(peermr_register_p2pmem(pd, memory, nil, &regions[0]) == PEERMR_OK)
            #expect(peermr_register_p2pmem(pd, memory, nil, &regions[1]) == PEERMR_OK)
            let info = try Live.regions.use(regions[0]) { (box) throws(PeerMRError) in box.info }
            #expect(info.kind == PEERMR_KIND_P2PMEM && info.method == PEERMR_METHOD_ON_DEMAND)
            #expect(info.address == address && info.io_address == UInt64(UInt(bitPattern: address)))
            #expect(info.provider_bdf.map { String(cString: $0) } == "\(provider)")
            #expect(fake_verbs_registered_access() & 1 << 6 != 0)
            var object: UnsafeMutablePointer<ibv_mr>?
            #expect(peermr_region_detach(regions[0], &object) == PEERMR_NOT_SUPPORTED, "its memory is the library's")
            #expect(peermr_p2pmem_free(memory) == PEERMR_BUSY)
            #expect(lastReason.contains("requests over this p2pmem live"))
            #expect(peermr_deregister(regions[0]) == PEERMR_OK)
            #expect(peermr_p2pmem_free(memory) == PEERMR_BUSY)
            #expect(peermr_deregister(regions[1]) == PEERMR_OK)
            #expect(peermr_p2pmem_free(memory) == PEERMR_OK)
            #expect(peermr_p2pmem_free(memory) == PEERMR_INVALID_ARGUMENT)
            #expect(peermr_p2pmem_address(memory) == nil && peermr_p2pmem_length(memory) == 0)
        }
    }

    @Test func withoutOnDemandPagingItIsRefusedOrBounced() throws {
        try withMemory(onDemand: false) { pd, memory in
            var region: OpaquePointer?
            fake_verbs_fail("ibv_reg_mr", 14, 0)
            #expect(peermr_register_p2pmem(pd, memory, nil, &region) == PEERMR_NOT_SUPPORTED)
            #expect(region == nil && lastReason.contains("cannot be registered"))
            fake_verbs_fail_no_more()
            fake_verbs_set_kernel("6.12.1")
            fake_verbs_set_on_demand(1, 0x1f)
            var options = peermr_options()
            options.struct_size = MemoryLayout<peermr_options>.size
            options.access = 1
            #expect(peermr_register_p2pmem(pd, memory, &options, &region) == PEERMR_UNSAFE_HERE)
            options.fallback = PEERMR_FALLBACK_BOUNCE
            #expect(peermr_register_p2pmem(pd, memory, &options, &region) == PEERMR_OK)
            #expect(peermr_p2pmem_free(memory) == PEERMR_OK, "the region is over other memory")
            #expect(peermr_deregister(region) == PEERMR_OK)
        }
    }

    @Test func everyFindingHasANumber() {
        let codes: [Finding.Code] = [
            .sameFunction, .commonUpstream, .noPeerToPeer, .noCommonUpstream, .acsRedirect, .configUnreadable,
            .cpuAllows, .cpuUnknown, .hostBridgeListed, .hostBridgeNotListed, .hostBridgeUnknown, .softwareDevice,
            .notPCI, .composed, .paths, .placeUnreadable, .noSuchDevice, .isBridge, .deadDevice, .iommu, .noPool,
        ]
        #expect(codes.map { $0.inC.rawValue } == (1...21).map { UInt32($0) })
        #expect(Finding.Code(rawValue: "newer").inC == PEERMR_FINDING_OTHER)
    }
}
