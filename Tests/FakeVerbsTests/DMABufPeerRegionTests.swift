// SPDX-License-Identifier: Apache-2.0

import CFakeVerbs
import Glibc
import PeerMR
import SystemPackage
import Testing

/// The registration path over dma-bufs, and hints.
@Suite struct DMABufPeerRegionTests {
    @Test func aBufferBecomesARegionWithOneDescriptor() throws {
        try withFakeVerbs { _ in
            fake_verbs_set_buffer_probe(EBADF)
            let machine = try Machine()
            let buffer = try TestBuffer(65536)
            let memory = try buffer.memory(offset: 4096, byteCount: 8192)
            #expect(openDescriptors(of: buffer.descriptor) == 2)
            let region = try PeerRegion(
                registering: memory, on: machine.domain, access: [.localWrite, .remoteWrite])
            #expect(openDescriptors(of: buffer.descriptor) == 2, "the memory's own, for other regions over it")
            #expect(region.kind == .dmabuf)
            #expect(region.choice.method == .dmaBuf)
            #expect(region.byteCount == 8192)
            #expect(region.keys.address == 4096)
            #expect(region.provider == nil)
            #expect(region.route == nil)
            #expect(region.hostBytes(at: 0, count: 1) == nil)
            #expect(throws: SliceError.noAddress) { try region.slice(at: 0, count: 1) }
            #expect(fake_verbs_last_buffer().access == 0b11)
        }
    }

    @Test func aDeviceThatImportsNoneIsNotTried() throws {
        try withFakeVerbs { fake in
            let machine = try Machine()
            let buffer = try TestBuffer(4096)
            let error = #expect(throws: PeerMRError.self) {
                _ = try PeerRegion(registering: try buffer.memory(), on: machine.domain, access: [.localWrite])
            }
            #expect(error?.code == .notSupported)
            #expect(error?.errno == Errno(rawValue: EOPNOTSUPP))
            #expect(error?.reason.contains("fake0 imports no dma-bufs") == true)
            #expect(!fake.journal.contains("ibv_reg_dmabuf_mr"))
            #expect(openDescriptors(of: buffer.descriptor) == 1, "ours is closed")
        }
    }

    /// The exporter's own view, at the region's place in the buffer.
    @Test func theOwnerReadsAndWritesAtThePartsPlace() throws {
        try withFakeVerbs { _ in
            fake_verbs_set_buffer_probe(EBADF)
            let machine = try Machine()
            let buffer = try TestBuffer(16384)
            buffer.fill([UInt8](repeating: 7, count: 16384))
            let region = try PeerRegion(
                registering: buffer.memory(offset: 4096, byteCount: 4096), on: machine.domain,
                access: [.localWrite])
            let three: [UInt8] = [1, 2, 3]
            try region.write(three.span.bytes, at: 100)
            #expect(Array(buffer.contents[4194..<4200]) == [7, 7, 1, 2, 3, 7])
            var bytes: [UInt8] = [0, 0]
            var span = bytes.mutableSpan
            var raw = span.mutableBytes
            try region.read(into: &raw, at: 101)
            #expect(bytes == [2, 3])
            #expect(throws: PeerMRError.self) { try region.write([1].span.bytes, at: 4096) }
            #expect(throws: PeerMRError.self) { try region.write([1].span.bytes, at: -1) }
        }
    }

    /// The CPU's caches are made right before its access and after it.
    @Test func theCPUsAccessIsBetweenTheKernelsBrackets() throws {
        try withFakeVerbs { fake in
            let buffer = try TestBuffer(8192)
            let shared = try DMABuf(duplicating: buffer.descriptor)
            fake_verbs_clear_journal()
            let three: [UInt8] = [1, 2, 3]
            try shared.write(three.span.bytes, at: 4095)
            #expect(fake.journal == ["DMA_BUF_IOCTL_SYNC start write", "DMA_BUF_IOCTL_SYNC end write"])
            #expect(Array(buffer.contents[4094..<4099]) == [0, 1, 2, 3, 0])
            fake_verbs_clear_journal()
            #expect(try bytes(3, of: shared, at: 4095) == three)
            #expect(fake.journal == ["DMA_BUF_IOCTL_SYNC start read", "DMA_BUF_IOCTL_SYNC end read"])
        }
    }

    /// Before the bracket nothing is copied; what its end says counts; what was begun is ended.
    @Test func aBracketThatFailsIsAnError() throws {
        try withFakeVerbs { fake in
            let buffer = try TestBuffer(4096)
            let shared = try DMABuf(duplicating: buffer.descriptor)
            let seven: [UInt8] = [7]
            fake.fail("DMA_BUF_IOCTL_SYNC start write", .operationNotSupportedByDevice)
            let refused = #expect(throws: PeerMRError.self) { try shared.write(seven.span.bytes, at: 0) }
            #expect(refused?.errno == .operationNotSupportedByDevice && buffer.contents[0] == 0)
            fake.fail("DMA_BUF_IOCTL_SYNC end write", .ioError)
            let unended = #expect(throws: PeerMRError.self) { try shared.write(seven.span.bytes, at: 0) }
            #expect(unended?.errno == .ioError && buffer.contents[0] == 7, "copied before the bracket ends")
            fake.fail("DMA_BUF_IOCTL_SYNC start read", .operationNotSupportedByDevice)
            #expect(throws: PeerMRError.self) { try bytes(1, of: shared, at: 0) }
            fake.fail("DMA_BUF_IOCTL_SYNC end read", .operationNotSupportedByDevice)
            #expect(throws: PeerMRError.self) { try bytes(1, of: shared, at: 0) }
        }
    }

    /// Before anything is mapped, and with what would help.
    @Test func aBufferThatIsOpenForReadingIsNotWrittenTo() throws {
        try withFakeVerbs { fake in
            let buffer = try TestBuffer(4096, readOnly: true)
            let shared = try DMABuf(duplicating: buffer.descriptor)
            fake_verbs_clear_journal()
            let seven: [UInt8] = [7]
            let error = #expect(throws: PeerMRError.self) { try shared.write(seven.span.bytes, at: 0) }
            #expect(error?.code == .notPermitted)
            #expect(error?.remedy?.contains("O_RDWR") == true)
            #expect(fake.journal.isEmpty)
            #expect(try bytes(1, of: shared, at: 0) == [0])
        }
    }

    private func bytes(_ count: Int, of buffer: DMABuf, at offset: UInt64) throws(PeerMRError) -> [UInt8] {
        var bytes = [UInt8](repeating: 0, count: count)
        var span = bytes.mutableSpan
        var raw = span.mutableBytes
        try buffer.read(into: &raw, at: offset)
        return bytes
    }

    @Test func anAddressIsForBuffersOnly() throws {
        try withFakeVerbs { _ in
            let machine = try Machine()
            let error = #expect(throws: PeerMRError.self) {
                _ = try PeerRegion(
                    registering: HostMemory(allocating: 4096), on: machine.domain, access: [.localWrite],
                    options: RegistrationOptions(ioAddress: 0))
            }
            #expect(error?.code == .invalidArgument)
        }
    }

    // MARK: - Hints

    @Test func anOldLibraryHasNoHandles() throws {
        try withFakeVerbs { _ in
            #expect(!DMAHandle.isInLibrary)
            let context = try Device(name: "fake0").open()
            let error = #expect(throws: PeerMRError.self) { _ = try DMAHandle(ProcessingHints(cpu: 1), on: context) }
            #expect(error?.code == .notSupported)
            #expect(error?.remedy?.contains("rdma-core 59") == true)
        }
    }

    @Test func hintsReachTheDevice() throws {
        try withFakeVerbs { fake in
            fake_verbs_set_new_library(1)
            fake_verbs_set_buffer_probe(EBADF)
            #expect(DMAHandle.isInLibrary)
            let machine = try Machine()
            let buffer = try TestBuffer(65536)
            do {
                let handle = try DMAHandle(
                    ProcessingHints(cpu: 3, hint: 2, memoryType: .persistent), on: machine.context)
                #expect(fake_verbs_hints().comp_mask == 0b111)
                #expect(fake_verbs_hints().cpu_id == 3)
                #expect(fake_verbs_hints().ph == 2)
                #expect(fake_verbs_hints().tph_mem_type == 1)
                let region = try PeerRegion(
                    registering: buffer.memory(offset: 5000, byteCount: 10), on: machine.domain,
                    access: [.localWrite], options: RegistrationOptions(handle: handle))
                #expect(fake_verbs_last_buffer().has_handle == 1)
                #expect(fake_verbs_last_buffer().offset == 4096)
                #expect(fake_verbs_last_buffer().iova == 4096)
                #expect(region.keys.address == 5000)
                let host = try PeerRegion(
                    registering: HostMemory(allocating: 4096), on: machine.domain, access: [.localWrite],
                    options: RegistrationOptions(handle: handle))
                #expect(fake_verbs_registered_address() == host.keys.address)
            }
            #expect(fake.journal.filter { $0 == "ibv_reg_mr_ex" }.count == 2)
            #expect(fake.teardown.last { !$0.hasPrefix("ibv_close") && $0 != "ibv_dealloc_pd" } != nil)
            #expect(fake.live(FAKE_DMA_HANDLE) == 0)
        }
    }

    @Test(arguments: [(EOPNOTSUPP, "notSupported"), (EINVAL, "invalidArgument"), (EIO, "system")] as [(Int32, String)])
    func aHandleThatIsRefused(_ errno: Int32, _ code: String) throws {
        try withFakeVerbs { fake in
            fake_verbs_set_new_library(1)
            fake.fail("ibv_alloc_dmah", Errno(rawValue: errno))
            let context = try Device(name: "fake0").open()
            let error = #expect(throws: PeerMRError.self) { _ = try DMAHandle(ProcessingHints(cpu: 1), on: context) }
            #expect(error?.code.jsonName == code)
        }
    }

    // MARK: - Memory of the NIC itself

    @Test func aNICsOwnMemory() throws {
        try withFakeVerbs { _ in
            let machine = try Machine()
            let memory = try DeviceMemory(allocating: 4096, on: machine.context)
            let region = try MemoryRegion(registering: memory, on: machine.domain)
            #expect(region.keys.address == 0)
            #expect(region.keys.byteCount == 4096)
            let two: [UInt8] = [5, 6]
            try memory.write(two.span.bytes, at: 10)
            var bytes: [UInt8] = [0, 0]
            var span = bytes.mutableSpan
            var raw = span.mutableBytes
            try memory.read(into: &raw, at: 10)
            #expect(bytes == [5, 6])
            #expect(throws: PeerMRError.self) { try memory.write([1].span.bytes, at: 4096) }
        }
    }

    @Test func isExportedWhereTheLibraryCan() throws {
        try withFakeVerbs { _ in
            let memory = try DeviceMemory(allocating: 4096, on: Device(name: "fake0").open())
            let error = #expect(throws: PeerMRError.self) { _ = try memory.export() }
            #expect(error?.code == .notSupported)
            #expect(error?.remedy?.contains("rdma-core 62") == true)
            fake_verbs_set_new_library(1)
            let file = try memory.export()
            #expect(fcntl(file.rawValue, F_GETFD) >= 0)
        }
    }

    @Test(arguments: [(EOPNOTSUPP, "notSupported"), (ENOMEM, "resourceLimit"), (EIO, "system")] as [(Int32, String)])
    func memoryOfANICThatIsRefused(_ errno: Int32, _ code: String) throws {
        try withFakeVerbs { fake in
            fake.fail("ibv_alloc_dm", Errno(rawValue: errno))
            let context = try Device(name: "fake0").open()
            let error = #expect(throws: PeerMRError.self) { _ = try DeviceMemory(allocating: 4096, on: context) }
            #expect(error?.code.jsonName == code)
            #expect(throws: PeerMRError.self) { _ = try DeviceMemory(allocating: 0, on: context) }
        }
    }
}
