// SPDX-License-Identifier: Apache-2.0

import CLinux
import Glibc
import SystemPackage
import PeerMRCore
import TestSupport
import Testing

@testable import PeerMemory

/// What can be told of dma-bufs without one. Real ones are tried in the lab.
@Suite struct DMABufTests {
    let folder = TemporaryFolder()

    @Test func theNameOfTheExporter() {
        let text = "pos:\t0\nflags:\t02000002\nsize:\t4096\ncount:\t2\nexp_name:\tvfio_pci_core\nname:\tx"
        #expect(DMABufInfo.exporter(in: text) == "vfio_pci_core")
        for other in ["", "exp_name:", "exp_name:\t\n", "name:\tudmabuf"] {
            #expect(DMABufInfo.exporter(in: other) == "unknown")
        }
    }

    @Test func whatIsNoBufferStaysOpen() throws {
        var ends: [Int32] = [-1, -1]
        try #require(pipe(&ends) == 0)
        defer { for end in ends { close(end) } }
        let memory = peermr_sealed_memory("not-a-buffer", 4096)
        defer { close(memory) }
        for (descriptor, what) in [(ends[0], "pipe:["), (memory, "not-a-buffer")] {
            let error = #expect(throws: PeerMRError.self) { _ = try DMABuf(adopting: descriptor) }
            #expect(error?.code == .invalidArgument)
            #expect(error?.reason.contains("no dma-buf but") == true && error?.reason.contains(what) == true)
            #expect(fcntl(descriptor, F_GETFD) >= 0)
            #expect(throws: PeerMRError.self) { _ = try DMABufMemory(adopting: descriptor, byteCount: 1) }
            #expect(throws: PeerMRError.self) { _ = try DMABufMemory(duplicating: descriptor) }
            #expect(fcntl(descriptor, F_GETFD) >= 0)
        }
    }

    @Test(arguments: [-1, 9999, Int32.min, .max])
    func whatIsNotOpen(_ descriptor: Int32) {
        let error = #expect(throws: PeerMRError.self) { _ = try DMABuf(adopting: descriptor) }
        #expect(error?.errno == .badFileDescriptor)
        #expect(error?.reason == "descriptor \(descriptor) is not open")
    }

    @Test(arguments: [(0, 4096), (0, 1), (4095, 1), (1, 4095)] as [(UInt64, UInt64)])
    func aPartInside(_ offset: UInt64, _ byteCount: UInt64) throws {
        _ = try DMABuf.validate(offset: offset, byteCount: byteCount, of: 4096)
    }

    @Test(
        arguments: [
            (0, 0), (4096, 0), (0, 4097), (4096, 1), (1, 4096), (1 << 63, 1), (0, 1 << 63), (.max, .max), (1, .max),
        ] as [(UInt64, UInt64)])
    func aPartOutside(_ offset: UInt64, _ byteCount: UInt64) {
        let error = #expect(throws: PeerMRError.self) { _ = try DMABuf.validate(offset: offset, byteCount: byteCount, of: 4096) }
        #expect(error?.code == .invalidArgument)
        #expect(error?.reason.contains("\(byteCount) bytes") == true && error?.reason.contains("4096") == true)
    }

    /// The largest buffer there could be has parts up to its last byte.
    @Test func noSumOverflows() throws {
        _ = try DMABuf.validate(offset: UInt64(Int64.max) - 1, byteCount: 1, of: UInt64(Int64.max))
        #expect(throws: PeerMRError.self) { _ = try DMABuf.validate(offset: .max, byteCount: 2, of: .max) }
    }

    /// Memory that its owner has taken back would end this process, were it touched.
    @Test func copyingFromMemoryThatIsGoneIsAnError() throws {
        let file = peermr_sealed_memory("gone", 8192)
        defer { close(file) }
        // Mapped beyond its end: touching the third page is SIGBUS.
        let mapped = try #require(mmap(nil, 12288, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0))
        defer { munmap(mapped, 12288) }
        mapped.storeBytes(of: 0x5a, toByteOffset: 8191, as: UInt8.self)
        var bytes = [UInt8](repeating: 0, count: 12288)
        #expect(peermr_copy_by_kernel(&bytes, mapped, 8192) == 0)
        #expect(bytes[8191] == 0x5a)
        #expect(peermr_copy_by_kernel(&bytes, mapped, 12288) == -1)
        #expect(errno == EFAULT)
        #expect(peermr_copy_by_kernel(mapped, &bytes, 12288) == -1)
        #expect(errno == EFAULT)
    }

    @Test func copiesOfMoreThanOnePiece() throws {
        let from = (0..<3_000_001).map { UInt8(truncatingIfNeeded: $0 &* 31 >> 3) }
        var to = [UInt8](repeating: 0, count: from.count)
        #expect(peermr_copy_by_kernel(&to, from, from.count) == 0)
        #expect(to == from)
    }

    @Test func bytesOfSealedMemory() throws {
        let file = OwnedDescriptor(adopting: peermr_sealed_memory("owner", 8192))
        let bytes = (0..<5000).map { UInt8(truncatingIfNeeded: $0) }
        try DescriptorBytes.write(file.rawValue, bytes.span.bytes, at: 3192)
        var back = [UInt8](repeating: 0, count: 5000)
        var span = back.mutableSpan
        var raw = span.mutableBytes
        try DescriptorBytes.read(file.rawValue, into: &raw, at: 3192)
        #expect(back == bytes)
        #expect(throws: Errno.ioError) {
            var beyond = [UInt8](repeating: 0, count: 5000)
            var span = beyond.mutableSpan
            var raw = span.mutableBytes
            try DescriptorBytes.read(file.rawValue, into: &raw, at: 3193)
        }
        #expect(throws: Errno.self) { try DescriptorBytes.write(file.rawValue, bytes.span.bytes, at: 1 << 63) }
    }

    // Host memory as dma-bufs

    @Test func aMachineWithoutUDMABuffers() {
        let error = #expect(throws: PeerMRError.self) {
            _ = try UDMABufMemory(allocating: 4096, root: folder.root)
        }
        #expect(error?.code == .notFound)
        #expect(error?.remedy?.contains("modprobe udmabuf") == true)
    }

    @Test func whatIsNoUDMABufferDevice() {
        folder.file("dev/udmabuf", "")
        folder.file("sys/module/udmabuf/parameters/size_limit_mb", "64\n")
        let error = #expect(throws: PeerMRError.self) {
            _ = try UDMABufMemory(allocating: 4096, root: folder.root)
        }
        #expect(error?.call == "UDMABUF_CREATE")
        #expect(error?.errno == .inappropriateIOCTLForDevice)
        #expect(openFiles(folder.path.string, "/memfd:peermr ") == 0, "the device and the memory are closed")
    }

    @Test func overTheLimitOfUDMABuffers() {
        let error = PeerMRError.createUDMABuffer(.invalidArgument, 65 << 20, limitMiB: 64)
        #expect(error.code == .resourceLimit)
        #expect(error.reason == "65 MiB were asked for, and udmabuf allows 64 MiB apiece")
        #expect(error.remedy?.contains("echo 66 > /sys/module/udmabuf/parameters/size_limit_mb") == true)
    }

    @Test func moreThanTheMachineHas() {
        folder.file("proc/meminfo", "MemTotal: 4096 kB\nMemAvailable:   1024 kB\n")
        for allocate in [
            { _ = try UDMABufMemory(allocating: 2 << 20, root: folder.root) },
            { _ = try DMABufMemory.heap(try DMAHeap("system"), allocating: 2 << 20, root: folder.root) },
        ] {
            let error = #expect(throws: PeerMRError.self) { try allocate() }
            #expect(error?.code == .resourceLimit)
            #expect(error?.reason == "2 MiB of host memory were asked for, and 1 MiB are available")
        }
    }

    @Test(arguments: [0, 1 << 63, UInt64.max, UInt64(Int64.max)])
    func whatIsNoSizeIsRefused(_ byteCount: UInt64) {
        #expect(throws: PeerMRError.self) { _ = try UDMABufMemory(allocating: byteCount, root: folder.root) }
    }

    @Test func heaps() throws {
        #expect(DMAHeap.all(root: folder.root).isEmpty)
        folder.file("dev/dma_heap/system", "")
        folder.file("dev/dma_heap/reserved", "")
        #expect(DMAHeap.all(root: folder.root).map(\.name) == ["reserved", "system"])
        let missing = #expect(throws: PeerMRError.self) {
            _ = try DMABufMemory.heap(try DMAHeap("cma"), allocating: 4096, root: folder.root)
        }
        #expect(missing?.code == .notFound)
        #expect(missing?.remedy == "name one that it has: reserved, system")
        let file = #expect(throws: PeerMRError.self) {
            _ = try DMABufMemory.heap(try DMAHeap("system"), allocating: 4096, root: folder.root)
        }
        #expect(file?.reason == "/dev/dma_heap/system is no dma-heap")
    }

    @Test(arguments: ["", ".", "..", "a/b", "a\nb", "a\0b", String(repeating: "x", count: 256)])
    func whatIsNoNameOfAHeap(_ name: String) {
        #expect(throws: PeerMRError.self) { _ = try DMAHeap(name) }
    }

    @Test func everyErrnoGivesAWholeSentence() throws {
        let heap = try DMAHeap("system")
        for number in Array(Int32(1)...133) + [524] {
            let errno = Errno(rawValue: number)
            let errors: [PeerMRError] = [
                .noDescriptor(errno, 3), .sizeUnknown(errno, 3), .duplicate(errno, 3), .mapBuffer(errno, "udmabuf"),
                .syncBuffer(errno, "udmabuf"), .copyBuffer(errno, "udmabuf"), .ownerBytes("pread", errno, "it"),
                .openUDMABuffer(errno), .sealedMemory(errno, 1), .createUDMABuffer(errno, 1, limitMiB: nil),
                .openHeap(errno, heap, others: []), .allocateFromHeap(errno, heap, 1),
            ]
            for error in errors {
                #expect(error.errno == errno && error.call != nil)
                #expect(!error.reason.isEmpty && !error.reason.hasSuffix("."))
                #expect(error.remedy?.hasSuffix(".") == false)
            }
        }
    }
}
