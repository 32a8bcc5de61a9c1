// SPDX-License-Identifier: Apache-2.0

import Glibc
import PCITopology
import PeerMRCore
import SystemPackage
import TestSupport
import Testing

@testable import PeerMemory

/// Lines of `/proc/self/maps`, as Linux 7.3 wrote them.
@Suite struct MemoryMapTests {
    private func line(_ text: String) -> MemoryMapLine? { MemoryMapLine(Array(text.utf8)[...]) }

    @Test func aMappingOfAPool() throws {
        let found = try #require(line(CapturedMap.pool))
        #expect(found.addresses == 0x7fbd_93e6_9000..<0x7fbd_93e7_9000)
        #expect(found.isReadable && found.isWritable && found.isShared)
        #expect(found.offset == 0)
        #expect(found.device == 0x20)
        #expect(found.inode == 15926)
        #expect(found.path == "/sys/devices/pci0000:00/0000:00:02.0/0000:01:00.0/p2pmem/allocate")
        #expect(MappedObject(found) == .p2pmem(try #require(PCIAddress("0000:01:00.0"))))
    }

    @Test func aMappingOfABuffer() throws {
        let found = try #require(
            line("7fbd93e51000-7fbd93e59000 rw-s 00004000 00:0e 1                          /dmabuf:frame store"))
        #expect(found.offset == 0x4000)
        let identity = DMABuf.Identity(device: 14, inode: 1)
        #expect(MappedObject(found) == .dmabuf(identity, name: "frame store"))
        #expect("\(MappedObject(found))" == "the dma-buf \"frame store\" (number 1)")
        let bare = try #require(line("7fbd93e41000-7fbd93e51000 rw-s 00000000 00:0e 2       /dmabuf:"))
        #expect("\(MappedObject(bare))" == "a dma-buf (number 2)")
    }

    @Test func flags() throws {
        let reading = try #require(line("00400000-00420000 r-xp 00000000 00:1c 19834567   /usr/bin/python3.13"))
        #expect(reading.isReadable && !reading.isWritable && !reading.isShared)
        let none = try #require(line("7f0000000000-7f0000001000 ---p 00000000 00:00 0 "))
        #expect(!none.isReadable && none.path.isEmpty && none.inode == 0)
    }

    @Test func numbersOfFileSystems() throws {
        #expect(line("1000-2000 rw-s 0 103:02 7 /data")?.device == 0x1_0302)
        #expect(line("1000-2000 rw-s 0 00:1ff 7 /data")?.device == 0x10_00ff)
        #expect(line("1000-2000 rw-s 0 1fff:00 7 /data")?.device == 0x1000_000f_ff00)
    }

    @Test(arguments: [
        "", "\n", "1000", "1000-2000", "1000-2000 rw-s", "1000-2000 rw-s 0", "1000-2000 rw-s 0 00:01",
        "1000-2000 rw-s 0 00:01 x", "1000-2000 rw-s 0 0001 7 /x", "2000-1000 rw-s 0 00:01 7 /x",
        "1000-1000 rw-s 0 00:01 7 /x", "g000-h000 rw-s 0 00:01 7 /x", "1000-2000 rw-sx 0 00:01 7 /x",
        "-2000 rw-s 0 00:01 7 /x", "10000000000000000-20000000000000000 rw-s 0 00:01 7 /x",
        "1000-2000 rw-s 0 100000000:01 7 /x", "1000-2000 rw-s 0 00:01 99999999999999999999 /x",
    ])
    func noLine(_ text: String) {
        #expect(line(text) == nil)
    }

    @Test func anyBytesAreTaken() {
        var generator = SeededGenerator(seed: 7)
        let pieces = Array(CapturedMap.pool.utf8)
        for _ in 0..<25_000 {
            var bytes = pieces
            for _ in 0..<Int.random(in: 1...6, using: &generator) {
                let place = Int.random(in: 0..<bytes.count, using: &generator)
                bytes[place] = UInt8.random(in: 0...255, using: &generator)
            }
            let found = MemoryMapLine(bytes.prefix(Int.random(in: 0...bytes.count, using: &generator)))
            if let found {
                #expect(!found.addresses.isEmpty)
                _ = MappedObject(found)
            }
        }
    }

    @Test(arguments: [
        ("/dev/shm/ring", "memory of the host"), ("/dev/hugepages-1G/0", "memory of the host"),
        ("/dev/zero (deleted)", "memory of the host"), ("/anon_hugepage (deleted)", "memory of the host"),
        ("/memfd:payload (deleted)", "memory of the host"), ("[heap]", "memory of the host"),
        ("", "memory of the host"),
        ("/SYSV00000000 (deleted)", "memory of the host"), ("/tmp/resource0", "memory of the host"),
        ("/tmp/p2pmem/allocate", "memory of the host"), ("/dmabuf", "memory of the host"),
        ("/sys/devices/pci0000:00/0000:00:02.0/resource0", "BAR 0 of 0000:00:02.0"),
        ("/sys/devices/pci0000:00/0000:00:02.0/resource2_wc", "BAR 2 of 0000:00:02.0"),
        ("/dev/mem", "a mapping of /dev/mem"), ("/dev/nvidia0", "a mapping of /dev/nvidia0"),
        ("anon_inode:[vfio-device]", "a mapping of a vfio device"),
        ("/dev/vfio/devices/vfio0", "a mapping of a vfio device"), ("anon_inode:i915", "a mapping of anon_inode:i915"),
        ("/sys/devices/pci0000:00/0000:00:02.0/0000:01:00.0/p2pmem/allocate", "p2pmem of 0000:01:00.0"),
    ])
    func objects(_ path: String, _ words: String) throws {
        let found = try #require(line("1000-2000 rw-s 00000000 00:20 15926            \(path)"))
        #expect("\(MappedObject(found))" == words)
    }

    @Test func onlyWhatHasAPartOfTheRangeIsTaken() throws {
        let root = CapturedMap.root
        #expect(try MemoryMap.lines(covering: 0x400000..<0x400001, root: root).count == 1)
        #expect(try MemoryMap.lines(covering: 0x41ffff..<0x420001, root: root).count == 2)
        #expect(try MemoryMap.lines(covering: 0x7000_0000_0000..<0x7000_0000_1000, root: root).isEmpty)
        #expect(
            try MemoryMap.lines(covering: 0..<UInt64.max, root: root).count
                == CapturedMap.text.split(separator: "\n").count)
        let noProc = SystemRoot(CapturedTree())
        let error = #expect(throws: PeerMRError.self) { _ = try MemoryMap.lines(covering: 0..<1, root: noProc) }
        #expect(error?.reason.contains("/proc/self/maps") == true)
    }

    /// The kernel hands the file out in pieces, which end anywhere in a line.
    @Test func linesOverTheEndOfAPiece() throws {
        var text = ""
        for number in 0..<2000 {
            let start = 0x1000 * (2 * number + 1)
            text += "\(String(start, radix: 16))-\(String(start + 0x1000, radix: 16)) rw-p 00000000 00:00 0 "
            text += String(repeating: " ", count: number % 60) + "[anon:\(number)]\n"
        }
        let root = CapturedMap.root(text)
        for number in stride(from: 0, to: 2000, by: 97) {
            let start = UInt64(0x1000 * (2 * number + 1))
            let found = try MemoryMap.lines(covering: start..<start + 1, root: root)
            #expect(found.map(\.path) == ["[anon:\(number)]"])
        }
    }

    /// This process's own file, whatever is in it.
    @Test func theRunningProcess() throws {
        let memory = try HostMemory(allocating: 65536)
        let address = UInt64(UInt(bitPattern: memory.baseAddress))
        #expect(try MappedRange(at: address + 5, byteCount: 65536 - 5).object == .host)
        #expect(try MemoryMap.lines(covering: 0..<UInt64.max, root: .live).count > 20)
    }

    /// What the kernel answers is what its file says, on kernels that answer.
    @Test func theAnswerIsTheLine() throws {
        // Tests beside this one map and unmap, but not this.
        let bytes = 16 << 12
        let mapped = try #require(mmap(nil, bytes, PROT_READ, MAP_SHARED | MAP_ANONYMOUS, -1, 0))
        defer { munmap(mapped, bytes) }
        #expect(mprotect(mapped + 4 << 12, 4096, PROT_READ | PROT_WRITE) == 0)
        let start = UInt64(UInt(bitPattern: mapped))
        let text = try #require(SystemRoot.live.contents("proc/self/maps", limit: 64 << 20))
        let lines = text.split(separator: 10).compactMap { MemoryMapLine($0) }
            .filter { $0.addresses.overlaps(start..<start + UInt64(bytes)) }
        guard let asked = MemoryMap.asked(for: start..<start + UInt64(bytes)) else {
            return  // Linux before 6.11.
        }
        #expect(asked == lines)
        #expect(asked.count == 3)
        #expect(MemoryMap.asked(for: start + 1..<start + 2) == [lines[0]])
        // The last page below the end of what programs may have, and what is behind it.
        #expect(MemoryMap.asked(for: 1 << 47 - 1..<1 << 48) == [])
    }

    /// A program that closes all descriptors, and opens others.
    @Test func aDescriptorThatWasTakenAwayIsNotUsed() throws {
        let range = UInt64(UInt(bitPattern: #dsohandle))..<UInt64(UInt(bitPattern: #dsohandle)) + 1
        let before = MemoryMap.asked(for: range)
        // Each descriptor on the file is made one of another: whichever is kept.
        for name in SystemRoot.live.entries("proc/self/fd") ?? [] {
            guard let number = Int32(name),
                SystemRoot.live.linkTarget("proc/self/fd/\(name)")?.string.hasSuffix("/maps") == true
            else { continue }
            let other = open("/dev/null", O_RDONLY | O_CLOEXEC)
            #expect(dup2(other, number) == number)
            close(other)
        }
        #expect(MemoryMap.asked(for: range) == before)
    }
}
