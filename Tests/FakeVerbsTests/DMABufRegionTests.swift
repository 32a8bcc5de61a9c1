// SPDX-License-Identifier: Apache-2.0

import CFakeVerbs
import Glibc
import PeerMR
import Synchronization
import Testing

/// What the device is given for a part of a dma-buf, and what the region keeps to itself.
@Suite struct DMABufRegionTests {
    private let page = UInt64(pageBytes)

    private func withBuffer(
        _ byteCount: Int = 65536, readOnly: Bool = false,
        _ body: (Machine, TestBuffer, FakeVerbs) throws -> Void
    ) throws {
        try withFakeVerbs { fake in
            fake_verbs_set_buffer_probe(EBADF)
            try body(Machine(), TestBuffer(byteCount, readOnly: readOnly), fake)
        }
    }

    @Test func theDeviceGetsOffsetLengthAddressAndAccess() throws {
        try withBuffer { machine, buffer, _ in
            let region = try MemoryRegion(
                registering: TestRange(DMABufRange(of: buffer.descriptor, offset: 8192, byteCount: 12288, ioAddress: 0x7000_0000)),
                on: machine.domain, access: [.localWrite, .remoteRead, .relaxedOrdering])
            let call = fake_verbs_last_buffer()
            #expect(call.offset == 8192)
            #expect(call.byte_count == 12288)
            #expect(call.iova == 0x7000_0000)
            #expect(call.fd == buffer.descriptor)
            #expect(call.access == 0b101 | 1 << 20)
            #expect(region.keys.address == 0x7000_0000, "never what libibverbs writes into mr->addr")
            #expect(region.keys.byteCount == 12288)
            #expect(region.keys.remoteKey == region.keys.localKey + 1)
            #expect(region.padding == (0, 0))
        }
    }

    @Test func theOffsetIsTheAddressWhereNoneIsGiven() throws {
        try withBuffer { machine, buffer, _ in
            let region = try MemoryRegion(
                registering: TestRange(DMABufRange(of: buffer.descriptor, offset: 4096, byteCount: 4096)), on: machine.domain)
            #expect(region.keys.address == 4096)
            #expect(fake_verbs_last_buffer().iova == 4096)
        }
    }

    /// Devices map pages: the region is widened, and its keys is not.
    @Test func aPartInsidePagesKeepsItsPlace() throws {
        try withBuffer { machine, buffer, _ in
            let region = try MemoryRegion(
                registering: TestRange(DMABufRange(of: buffer.descriptor, offset: 5000, byteCount: 100, ioAddress: 0x10000 + 904)),
                on: machine.domain)
            let call = fake_verbs_last_buffer()
            #expect(call.offset == 4096)
            #expect(call.byte_count == 4096)
            #expect(call.iova == 0x10000)
            #expect(region.keys.address == 0x10000 + 904)
            #expect(region.keys.byteCount == 100)
            #expect(region.padding == (904, 4096 - 904 - 100))
            #expect(throws: SliceError.outOfBounds) { try region.keys.element(at: 0, count: 101) }
        }
    }

    /// A buffer whose end is no page's end is widened to its end only: the kernel takes no more.
    @Test func wideningEndsWithTheBuffer() throws {
        try withBuffer(10_000) { machine, buffer, _ in
            let region = try MemoryRegion(
                registering: TestRange(DMABufRange(of: buffer.descriptor, offset: 9000, byteCount: 500)), on: machine.domain)
            #expect(fake_verbs_last_buffer().offset == 8192)
            #expect(fake_verbs_last_buffer().byte_count == 10_000 - 8192)
            #expect(region.padding == (808, 500))
        }
    }

    @Test func descriptorZeroIsOneLikeAnyOther() throws {
        try withBuffer { machine, buffer, _ in
            let kept = dup(0)
            defer {
                if kept >= 0 {
                    dup2(kept, 0)
                    close(kept)
                } else {
                    close(0)
                }
            }
            try #require(dup2(buffer.descriptor, 0) == 0)
            let region = try MemoryRegion(
                registering: TestRange(DMABufRange(of: 0, offset: 0, byteCount: 4096)), on: machine.domain)
            #expect(fake_verbs_last_buffer().fd == 0)
            #expect(region.keys.byteCount == 4096)
        }
    }

    @Test func theLentDescriptorStaysOpen() throws {
        try withBuffer { machine, buffer, _ in
            _ = try MemoryRegion(
                registering: TestRange(DMABufRange(of: buffer.descriptor, offset: 0, byteCount: 4096)), on: machine.domain)
            #expect(fcntl(buffer.descriptor, F_GETFD) >= 0)
        }
    }

    @Test func theMemoryGoesAfterTheRegion() throws {
        try withBuffer { machine, buffer, fake in
            let journal = Mutex<[String]>([])
            do {
                let memory = try buffer.memory { journal.withLock { $0 = FakeVerbs().journal } }
                _ = try MemoryRegion(registering: memory, on: machine.domain)
            }
            #expect(journal.withLock { $0 }.contains("ibv_dereg_mr"))
        }
    }

    /// Memory is a parent, as in verbs: regions over it come and go.
    @Test func severalRegionsOverOneMemory() throws {
        try withBuffer { machine, buffer, fake in
            do {
                let memory = try buffer.memory(offset: 4096, byteCount: 4096)
                let first = try MemoryRegion(registering: memory, on: machine.domain)
                do {
                    let second = try MemoryRegion(registering: memory, on: machine.domain, access: [.remoteRead])
                    #expect(first.keys.localKey != second.keys.localKey)
                }
                #expect(first.keys.address == 4096)
                #expect(openDescriptors(of: buffer.descriptor) == 2, "one descriptor for both")
            }
            #expect(openDescriptors(of: buffer.descriptor) == 1)
            #expect(fake.live(FAKE_REGION) == 0)
        }
    }

    // MARK: - What cannot be registered, and the sentence that the user sees

    private func sentence(
        _ part: DMABufRange, _ machine: Machine, _ fake: FakeVerbs, access: Access = [.localWrite]
    ) -> String {
        let error = #expect(throws: PeerMRError.self) {
            _ = try MemoryRegion(registering: TestRange(part), on: machine.domain, access: access)
        }
        #expect(!fake.journal.contains("ibv_reg_dmabuf_mr"), "the kernel was not asked")
        return error.map(\.description) ?? ""
    }

    @Test(
        arguments: [
            (0, 65537), (65536, 1), (70000, 1), (.max, 1), (1, .max), (0, 1 << 63), (4096, 65536),
        ] as [(UInt64, UInt64)])
    func aPartOutsideTheBuffer(_ offset: UInt64, _ count: UInt64) throws {
        try withBuffer { machine, buffer, fake in
            let part = DMABufRange(of: buffer.descriptor, offset: offset, byteCount: count)
            #expect(
                sentence(part, machine, fake)
                    == "\(count) bytes at offset \(offset) are not inside a dma-buf of 65536 bytes; name a part that "
                    + "is; nothing is ever shortened silently")
        }
    }

    @Test func nothing() throws {
        try withBuffer { machine, buffer, fake in
            #expect(
                sentence(DMABufRange(of: buffer.descriptor, offset: 0, byteCount: 0), machine, fake)
                    == "0 bytes of a dma-buf cannot be registered; name a part of at least one byte")
        }
    }

    @Test func aClosedDescriptor() throws {
        try withBuffer { machine, _, fake in
            let closed = dup(0)
            close(closed)
            #expect(
                sentence(DMABufRange(of: closed, offset: 0, byteCount: 4096), machine, fake)
                    == "descriptor \(closed) is not open: it has been closed, or was never a descriptor (fstatfs: "
                    + "Bad file descriptor, errno 9); keep the dma-buf open until it is registered")
        }
    }

    @Test func aNegativeDescriptor() throws {
        try withBuffer { machine, _, fake in
            #expect(
                sentence(DMABufRange(of: -1, offset: 0, byteCount: 4096), machine, fake)
                    .hasPrefix("descriptor -1 is not open"))
        }
    }

    @Test func aPipe() throws {
        try withBuffer { machine, _, fake in
            var ends: [Int32] = [0, 0]
            try #require(pipe(&ends) == 0)
            defer { ends.forEach { close($0) } }
            #expect(
                sentence(DMABufRange(of: ends[0], offset: 0, byteCount: 4096), machine, fake)
                    == "descriptor \(ends[0]) is not a dma-buf; pass what an exporter returned")
        }
    }

    /// Its position is the application's.
    @Test func aFileThatIsNoBufferKeepsItsPosition() throws {
        try withBuffer { machine, _, fake in
            let file = fake_verbs_memory_file()
            defer { close(file) }
            try #require(ftruncate(file, 65536) == 0 && lseek(file, 1234, SEEK_SET) == 1234)
            #expect(
                sentence(DMABufRange(of: file, offset: 0, byteCount: 4096), machine, fake)
                    == "descriptor \(file) is not a dma-buf; pass what an exporter returned")
            #expect(lseek(file, 0, SEEK_CUR) == 1234)
        }
    }

    /// What is no dma-buf for the driver.
    @Test func aBufferThatTheKernelRefuses() throws {
        try withBuffer { machine, buffer, fake in
            fake.fail("ibv_reg_dmabuf_mr", .invalidArgument)
            let error = #expect(throws: PeerMRError.self) {
                _ = try MemoryRegion(
                    registering: TestRange(DMABufRange(of: buffer.descriptor, offset: 0, byteCount: 4096)), on: machine.domain)
            }
            #expect(
                error?.description
                    == "descriptor \(buffer.descriptor) is not a dma-buf (ibv_reg_dmabuf_mr: Invalid argument, "
                    + "errno 22); pass what an exporter returned")
        }
    }

    @Test(arguments: [Access.localWrite, [.localWrite, .remoteWrite], .remoteAtomic])
    func aBufferForReadingOnly(_ access: Access) throws {
        try withBuffer(readOnly: true) { machine, buffer, fake in
            let part = DMABufRange(of: buffer.descriptor, offset: 0, byteCount: 4096)
            #expect(
                sentence(part, machine, fake, access: access)
                    == "descriptor \(buffer.descriptor) is a dma-buf exported for reading only, and the access lets a "
                    + "NIC write; export it for reading and writing (O_RDWR, DRM_RDWR), or register it without write "
                    + "access")
            _ = try MemoryRegion(registering: TestRange(part), on: machine.domain, access: [.remoteRead])
            #expect(fake.journal.contains("ibv_reg_dmabuf_mr"), "for reading it will do")
        }
    }

    @Test(arguments: [(0, 1), (4096, 4097), (5000, 4096), (1, 0)] as [(UInt64, UInt64)])
    func aMisalignedAddress(_ offset: UInt64, _ address: UInt64) throws {
        try withBuffer { machine, buffer, fake in
            let part = DMABufRange(of: buffer.descriptor, offset: offset, byteCount: 100, ioAddress: address)
            #expect(
                sentence(part, machine, fake)
                    == "the I/O address 0x\(String(address, radix: 16)) does not fit the offset \(offset): they must "
                    + "be congruent modulo the page size, 4096 bytes; choose an I/O address "
                    + "that is a multiple of 4096, plus \(offset % 4096), or leave it out")
        }
    }

    @Test func anAddressThatEndsBeyondAll() throws {
        try withBuffer { machine, buffer, fake in
            let part = DMABufRange(
                of: buffer.descriptor, offset: 0, byteCount: 8192, ioAddress: .max - 4095)
            #expect(
                sentence(part, machine, fake)
                    == "8192 bytes at the I/O address 0xfffffffffffff000 end beyond 2^64; choose a lower I/O "
                    + "address, or leave it out")
        }
    }

    @Test func onDemand() throws {
        try withBuffer { machine, buffer, fake in
            #expect(
                sentence(
                    DMABufRange(of: buffer.descriptor, offset: 0, byteCount: 4096), machine, fake,
                    access: [.localWrite, .onDemand])
                    == "a dma-buf cannot be registered on demand: its exporter decides where its memory is; leave on-demand "
                    + "access out")
        }
    }
}
