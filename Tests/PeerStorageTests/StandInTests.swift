// SPDX-License-Identifier: Apache-2.0

import CLinux
import Glibc
import PeerMRCore
import SystemPackage
import TestSupport
import Testing
import Verbs

@testable import PeerStorage

/// Ranges and queues over a file in place of a drive.
@Suite struct StandInTests {
    private static let block = 512
    private let folder = TemporaryFolder()

    private func device(_ byteCount: Int = 16384, claims: UInt64? = nil) throws -> BlockDevice {
        folder.file("drive", [UInt8](repeating: 0xaa, count: byteCount))
        return BlockDevice(
            standIn: try OwnedDescriptor(opening: folder.path.appending("drive"), flags: O_RDWR), name: "drive",
            byteCount: claims ?? UInt64(byteCount), blockBytes: Self.block)
    }

    private var bytes: [UInt8] { folder.root.contents("drive", limit: 1 << 20) ?? [] }

    /// A mounted drive is refused by the kernel (open(2), O_EXCL), and what holds something by what it holds.
    @Test func aDriveIsOpenedForThisProcessAlone() {
        #expect(BlockDevice.flags(overwrite: false) & O_EXCL != 0)
        #expect(BlockDevice.flags(overwrite: true) & O_EXCL == 0)
        for overwrite in [false, true] {
            let flags = BlockDevice.flags(overwrite: overwrite)
            #expect(flags & peermr_o_direct() != 0 && flags & O_ACCMODE == O_RDWR)
        }
    }

    @Test func aDriveThatHoldsSomethingIsRefused() throws {
        var image = [UInt8](repeating: 0, count: 1 << 20)
        folder.file("image", image)
        let path = folder.path.appending("image")
        try BlockDevice.checkContent(of: OwnedDescriptor(opening: path, flags: O_RDONLY), path)
        // The magic number of a swap space of version 1, with the version.
        image.replaceSubrange(4086..<4096, with: Array("SWAPSPACE2".utf8))
        (image[1024], image[1028]) = (1, 200)
        folder.file("image", image)
        let error = #expect(throws: PeerMRError.self) {
            try BlockDevice.checkContent(of: OwnedDescriptor(opening: path, flags: O_RDONLY), path)
        }
        #expect(error?.code == .busy)
    }

    /// The kernel takes the size of a drive away that is pulled out.
    @Test func aDriveWithoutItsSizeIsGone() throws {
        let device = try device()
        #expect(device.isWhole(16384) && device.isWhole(20000))
        #expect(!device.isWhole(0) && !device.isWhole(16383))
    }

    @Test(
        arguments: [
            (0, nil, 16384), (512, nil, 15872), (512, 1024, 1024), (15872, 512, 512), (0, 16384, 16384),
            (1, nil, nil), (0, 1, nil), (511, 512, nil), (0, 16896, nil), (16384, nil, nil), (16384, 0, nil),
            (15872, 1024, nil), (512, 0, nil), (0, .max - 511, nil), (.max - 511, 512, nil),
        ] as [(UInt64, UInt64?, UInt64?)])
    func aRangeIsOfWholeBlocksWithinTheDrive(_ offset: UInt64, _ count: UInt64?, _ expected: UInt64?) throws {
        let device = try device()
        do throws(PeerMRError) {
            let range = try device.range(at: offset, count: count)
            #expect(range.byteCount == expected && range.offset == offset)
        } catch {
            #expect(expected == nil && error.code == .invalidArgument)
        }
    }

    /// What comes after the range ends is not this queue's, nor what is before it.
    @Test func aQueueTouchesNothingOutsideOfItsRange() throws {
        let device = try device()
        var queue = try StorageQueue(device, range: BlockRange(offset: 4096, byteCount: 4096), depth: 4)
        let memory = Buffer(8192, 0x11)
        for (offset, count) in [
            (4096, 512), (3584, 1024), (0, 4608), (8192, 512), (UInt64.max - 511, 512), (1, 512), (0, 511), (256, 256),
        ] as [(UInt64, Int)] {
            for isWrite in [true, false] {
                let errno = #expect(throws: Errno.self) {
                    if isWrite {
                        try queue.write(memory.slice(count), at: offset, tag: 0)
                    } else {
                        try queue.read(memory.slice(count), at: offset, tag: 0)
                    }
                }
                #expect(errno == .invalidArgument, "\(count) bytes at \(offset)")
            }
        }
        #expect(queue.inFlight == 0)
        try queue.write(memory.slice(4096), at: 0, tag: 1)
        #expect(try Self.end(&queue).result == 4096)
        let expected = [UInt8](repeating: 0xaa, count: 4096) + [UInt8](repeating: 0x11, count: 4096)
        #expect(bytes == expected + [UInt8](repeating: 0xaa, count: 8192))
    }

    /// Offsets count from the beginning of the range, both ways.
    @Test func offsetsCountFromTheRange() throws {
        var queue = try StorageQueue(try device(), range: BlockRange(offset: 4096, byteCount: 8192), depth: 4)
        let memory = Buffer(4096, 0x22)
        try queue.write(memory.slice(512), at: 512, tag: 1)
        #expect(try Self.end(&queue).result == 512)
        #expect(bytes.firstIndex(of: 0x22) == 4608 && bytes.lastIndex(of: 0x22) == 5119)
        let back = Buffer(4096, 0)
        try queue.read(back.slice(1024), at: 0, tag: 2)
        #expect(try Self.end(&queue).result == 1024)
        #expect(back.bytes[511] == 0xaa && back.bytes[512] == 0x22 && back.bytes[1023] == 0x22)
    }

    @Test func aFlushIsOfTheDrive() throws {
        var queue = try StorageQueue(try device(), range: BlockRange(offset: 0, byteCount: 512), depth: 4)
        try queue.flush(tag: 7)
        let completion = try Self.end(&queue)
        #expect(completion == StorageCompletion(tag: 7, result: 0) && completion.errno == nil)
    }

    @Test func anErrorIsOneAndAFullQueueTakesNoMore() throws {
        let device = try device()
        var queue = try StorageQueue(device, range: BlockRange(offset: 0, byteCount: 4096), depth: 1)
        let nowhere = IOVector(address: 0x1000, byteCount: 512)
        try queue.write(nowhere, at: 0, tag: 1)
        let errno = #expect(throws: Errno.self) { try queue.flush(tag: 2) }
        #expect(errno == .resourceBusy)
        #expect(try Self.end(&queue).errno == .badAddress)
    }

    /// A command carries no metadata, and goes by the drive's blocks.
    @Test func onlyAFormatWithoutMetadataTakesCommands() throws {
        let device = try device()
        for (metadata, shift, isTaken) in [(0, 9, true), (8, 9, false), (0, 12, false), (64, 12, false)] {
            var bytes = [UInt8](repeating: 0, count: 4096)
            (bytes[128], bytes[130]) = (UInt8(metadata), UInt8(shift))
            let format = try #require(NamespaceFormat(parsing: bytes))
            do throws(PeerMRError) {
                try PassthroughQueue.check(format, device)
                #expect(isTaken)
            } catch { #expect(!isTaken && error.code == .notSupported) }
        }
    }

    @Test(arguments: [("512", "127", 524288), ("128", "1025", 131072), ("1024", "33", 131072), (nil, nil, 4096)])
    func aCommandIsAsLongAsTheDriveTakes(_ kilobytes: String?, _ segments: String?, _ expected: Int) {
        if let kilobytes { folder.file("sys/block/nvme0n1/queue/max_hw_sectors_kb", "\(kilobytes)\n") }
        if let segments { folder.file("sys/block/nvme0n1/queue/max_segments", "\(segments)\n") }
        let limit = PassthroughQueue.commandLimit(of: "nvme0n1", folder.root)
        #expect(limit == min(expected, max(1, (Int(segments ?? "1") ?? 1) - 1) * pageBytes))
    }

    private static func end(_ queue: inout StorageQueue) throws -> StorageCompletion {
        try queue.submit()
        for _ in 0..<10_000 {
            if let completion = queue.next() { return completion }
            usleep(1000)
        }
        throw Errno.timedOut
    }
}

/// Memory for the kernel to read and write.
private final class Buffer {
    private let memory: UnsafeMutableRawBufferPointer
    init(_ byteCount: Int, _ value: UInt8) {
        memory = .allocate(byteCount: byteCount, alignment: 4096)
        memory.initializeMemory(as: UInt8.self, repeating: value)
    }
    deinit { memory.deallocate() }
    var bytes: [UInt8] { Array(memory) }
    func slice(_ count: Int) -> IOVector { IOVector(address: UInt(bitPattern: memory.baseAddress), byteCount: count) }
}
