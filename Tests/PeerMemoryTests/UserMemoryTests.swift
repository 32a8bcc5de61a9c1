// SPDX-License-Identifier: Apache-2.0

import Glibc
import PCITopology
import PeerMRCore
import TestSupport
import Testing
import Verbs

@testable import PeerMemory

/// What stands at an address that an application names.
@Suite struct UserMemoryTests {
    private func range(
        _ address: UInt64, _ byteCount: UInt64, _ root: SystemRoot = CapturedMap.root
    ) throws -> MappedRange {
        try MappedRange(at: address, byteCount: byteCount, root: root)
    }

    private func refusal(
        _ address: UInt64, _ byteCount: UInt64, _ root: SystemRoot = CapturedMap.root
    ) -> PeerMRError? {
        let error = #expect(throws: PeerMRError.self) { _ = try range(address, byteCount, root) }
        #expect(error?.remedy != nil)
        return error
    }

    /// Lines of mappings, one after the other from 0x1000 on, each of a page.
    private func pages(_ objects: (flags: String, offset: Int, object: String)...) -> SystemRoot {
        var text = ""
        for (number, page) in objects.enumerated() where !page.object.isEmpty {
            let start = 0x1000 * (number + 1)
            text += "\(String(start, radix: 16))-\(String(start + 0x1000, radix: 16)) \(page.flags) "
            text += "\(String(page.offset, radix: 16)) \(page.object)\n"
        }
        return CapturedMap.root(text)
    }

    private let pool = "00:20 15926  /sys/devices/pci0000:00/0000:00:02.0/0000:01:00.0/p2pmem/allocate"
    private let other = "00:20 16000  /sys/devices/pci0000:00/0000:02:00.0/p2pmem/allocate"
    private let buffer = "00:0e 1  /dmabuf:frame store"

    @Test func whatStandsThere() throws {
        let provider = try #require(PCIAddress("0000:01:00.0"))
        #expect(try range(0x7fbd_93e6_9000, 65536).object == .p2pmem(provider))
        #expect(try range(0x7fbd_93e7_8fff, 1).object == .p2pmem(provider))
        let identity = DMABuf.Identity(device: 14, inode: 1)
        let inner = try range(0x7fbd_93e5_2001, 100)
        #expect(inner.object == .dmabuf(identity, name: "frame store"))
        #expect(inner.offset == 0x5001, "where the mapping begins, and how far behind that the range does")
        #expect(try range(0x7ffe_5109_9000, 4096).object == .host)
        #expect(
            try range(0x7fbd_93e3_a000, 4096).object == .device(path: "/sys/devices/pci0000:00/0000:00:1e.1/resource1"))
    }

    private let device = "00:13 65  anon_inode:[vfio-device]"

    /// Mappings of a vfio device: which BAR they are of can be told, and the device by its descriptor alone.
    @Test func vfioMappings() throws {
        func refusal(_ byteCount: UInt64, _ objects: (String, Int, String)...) -> PeerMRError? {
            var text = ""
            for (number, object) in objects.enumerated() {
                let start = 0x1000 * (number + 1)
                text += "\(String(start, radix: 16))-\(String(start + 0x1000, radix: 16)) \(object.0) "
                text += "\(String(object.1, radix: 16)) \(object.2)\n"
            }
            let root = CapturedMap.root(text)
            let error = #expect(throws: PeerMRError.self) {
                _ = try unsafe UserMemory(at: 0x1000, byteCount: byteCount, root: root)
            }
            #expect(error?.remedy != nil)
            return error
        }
        let bar = 2 << 40
        let closed = refusal(4096, ("rw-s", bar, device))
        #expect(closed?.code == .notFound)
        #expect(closed?.reason.hasPrefix("BAR 2 of a vfio device is mapped at 0x1000, and this process has no") == true)
        let region = refusal(4096, ("rw-s", 7 << 40, device))
        #expect(region?.code == .notSupported)
        #expect(region?.reason.contains("region 7 of a vfio device") == true)
        let pieces = refusal(8192, ("rw-s", bar, device), ("rw-s", bar + 4096, device))
        #expect(pieces?.code == .invalidArgument)
        #expect(pieces?.reason.contains("several mappings of vfio's, the second from 0x2000 on") == true)
        let mixed = refusal(8192, ("rw-s", bar, device), ("rw-s", 0, buffer))
        #expect(mixed?.reason.contains("begin in a mapping of a vfio device and go on in the dma-buf") == true)
        // A device of its own has a name of its own.
        let named = refusal(4096, ("rw-s", bar, "00:06 700  /dev/vfio/devices/vfio0"))
        #expect(named?.code == .notFound)
    }

    @Test func theFunctionOfADescriptor() throws {
        let text = "pos:\t0\nvfio-device-syspath: /sys/devices/pci0000:00/0000:00:02.0/0000:01:00.0\n"
        #expect(MappedBAR.function(in: text) == PCIAddress("0000:01:00.0"))
        for text in ["", "pos: 0\n", "vfio-device-syspath:", "vfio-device-syspath: /sys/devices/platform/x\n"] {
            #expect(MappedBAR.function(in: text) == nil)
        }
    }

    @Test func whatCannotBeARange() {
        #expect(refusal(0x7fbd_93e6_9000, 0)?.reason == "0 bytes at 0x7fbd93e69000 were to be registered")
        for (address, count): (UInt64, UInt64) in [(.max, 1), (0x1000, .max), (.max - 4095, 4096), (1, .max - 1)] {
            #expect(refusal(address, count)?.reason.contains("beyond the end of the address space") == true)
        }
        #expect(refusal(0, 4096)?.reason.contains("nothing is mapped at 0x0,") == true)
        #expect(refusal(0, UInt64(Int.max))?.code == .invalidArgument)
    }

    @Test func holes() {
        let root = pages(("rw-s", 0, pool), ("", 0, ""), ("rw-s", 0, pool))
        #expect(refusal(0x1000, 0x1001, root)?.reason.contains("nothing is mapped at 0x2000") == true)
        #expect(refusal(0x1000, 0x3000, root)?.reason.contains("nothing is mapped at 0x2000") == true)
        #expect(refusal(0x2fff, 2, root)?.reason.contains("nothing is mapped at 0x2fff") == true)
        #expect(refusal(0x3000, 0x2000, root)?.reason.contains("nothing is mapped at 0x4000") == true)
        #expect(throws: Never.self) { _ = try range(0x3000, 0x1000, root) }
    }

    @Test func severalMappingsOfOneObject() throws {
        // mprotect splits a mapping; each of a pool begins at offset 0 again.
        let root = pages(("rw-s", 0, pool), ("r--s", 0, pool), ("rw-s", 0, buffer), ("rw-s", 0x1000, buffer))
        let both = try range(0x1800, 0x1000, root)
        #expect(both.object == .p2pmem(try #require(PCIAddress("0000:01:00.0"))))
        #expect(!both.isWritable && both.isShared)
        #expect(try range(0x1000, 0x1000, root).isWritable)
        #expect(try range(0x3004, 0x1ff0, root).offset == 4)
        let host = pages(("rw-p", 0, "00:00 0"), ("rw-p", 0, "00:00 0  [heap]"), ("r--p", 0, "00:1c 5  /lib/x.so"))
        #expect(try range(0x1000, 0x3000, host).object == .host)
    }

    @Test func severalObjects() {
        let root = pages(
            ("rw-s", 0, pool), ("rw-s", 0, other), ("rw-p", 0, "00:00 0"), ("rw-s", 0, buffer),
            ("rw-s", 0x1000, "00:0e 2  /dmabuf:frame store"))
        let pools = refusal(0x1000, 0x2000, root)?.reason
        #expect(
            pools
                == "the 8192 bytes from 0x1000 on begin in p2pmem of 0000:01:00.0 and go on in p2pmem of 0000:02:00.0, "
                + "from 0x2000 on")
        #expect(refusal(0x3000, 0x1001, root)?.reason.contains("memory of the host and go on in the dma-buf") == true)
        let buffers = refusal(0x4000, 0x2000, root)?.reason
        #expect(buffers?.contains("go on in the dma-buf \"frame store\" (number 2)") == true)
    }

    @Test func partsOfABufferInAnotherOrder() {
        let root = pages(("rw-s", 0x1000, buffer), ("rw-s", 0, buffer), ("rw-s", 0x2000, buffer))
        #expect(refusal(0x1000, 0x2000, root)?.reason.contains("are not contiguous in it") == true)
        #expect(refusal(0x2000, 0x2000, root)?.reason.contains("breaks off at 0x3000") == true)
        // As udmabuf's two mappings stood in the lab.
        #expect(refusal(0x7fbd_93e5_1000, 0x9000)?.code == .invalidArgument)
    }

    @Test func aPoolThatIsNoMore() {
        let root = pages(("rw-s", 0, other))
        #expect(refusal(0x1000, 0x1000, root)?.code == .memoryRevoked)
        // The device is back, and its pool has another number: the mapping is of the pool that went.
        let returned = pages(("rw-s", 0, pool), ("rw-s", 0, pool.replacing("15926", with: "15999")))
        #expect(refusal(0x1000, 0x2000, returned)?.reason.contains("go on in another p2pmem of") == true)
    }

    /// A pool that is there again is another one: what was mapped of the first has no memory.
    @Test func aPoolThatCameAgain() throws {
        let provider = try #require(PCIAddress("0000:01:00.0"))
        try MappedRange.validate(door: 15926, is: 15926, provider)
        try MappedRange.validate(door: nil, is: 15926, provider)
        let error = #expect(throws: PeerMRError.self) { try MappedRange.validate(door: 16000, is: 15926, provider) }
        #expect(error?.code == .memoryRevoked)
    }

    /// Looked at again before the memory is used: another object, though of the same name, is another memory.
    @Test func whatIsMappedInItsPlaceIsNotTaken() throws {
        let folder = TemporaryFolder()
        func map(_ object: String) { folder.file("proc/self/maps", "1000-2000 rw-s 0 \(object)\n") }
        map(buffer)
        let seen = try range(0x1000, 0x1000, folder.root)
        try seen.validateUnchanged()
        for object in ["00:0e 2  /dmabuf:frame store", pool, "00:00 0"] {
            map(object)
            let error = #expect(throws: PeerMRError.self) { try seen.validateUnchanged() }
            #expect(error?.code == .memoryRevoked, "\(object)")
        }
    }

    @Test func aBufferWithoutANumber() {
        let root = pages(("rw-s", 0, "00:0b 9  anon_inode:dmabuf"))
        #expect(refusal(0x1000, 1, root)?.code == .notSupported)
    }

    private func user(_ address: UInt64, _ byteCount: UInt64) throws -> UserMemory {
        try UserMemory(at: address, byteCount: byteCount, root: CapturedMap.root)
    }

    @Test func mappingsThatDevicesWouldMiss() throws {
        let copied = try user(0x7fbd_93f8_6000, 4096)
        let error = #expect(throws: PeerMRError.self) { _ = try copied.backing(for: [.remoteRead]) }
        #expect(error?.reason.contains("mapped privately") == true)
        let reading = try user(0x7fbd_945b_5000, 4096)
        let refused = #expect(throws: PeerMRError.self) { _ = try reading.backing(for: [.localWrite]) }
        #expect(refused?.code == .notPermitted)
        // For reading it goes on to the descriptor, which this process has not.
        let closed = #expect(throws: PeerMRError.self) { _ = try reading.backing(for: [.remoteRead]) }
        #expect(closed?.code == .notFound)
        #expect(closed?.reason.contains("no descriptor of it open any more") == true)
    }

    @Test func theApplicationsMemoryIsLeftAlone() throws {
        let memory = try HostMemory(allocating: 8192)
        let address = UInt64(UInt(bitPattern: memory.baseAddress))
        do {
            let user = try UserMemory(at: address + 8, byteCount: 4096)
            #expect(user.kind == .host)
            #expect(user.byteCount == 4096)
            guard case .mapped(let mapping) = try user.backing(for: [.localWrite]) else {
                Issue.record("not mapped")
                return
            }
            #expect(UInt64(mapping.address) == address + 8 && mapping.byteCount == 4096)
        }
        memory.bytes[8191] = 9
        #expect(memory.bytes[8191] == 9, "still mapped")
    }

    @Test func aPoolIsTakenWithItsProviderAndDriver() throws {
        let memory = try user(0x7fbd_93e6_9000, 4096)
        #expect(memory.kind == .p2pmem)
        #expect(memory.provider == PCIAddress("0000:01:00.0"))
        #expect(memory.providerDriver == "nvme")
    }
}
