// SPDX-License-Identifier: Apache-2.0

import CFakeVerbs
import Glibc
import PeerMR
import TestSupport
import Testing

/// Regions over memory that stays the application's, recognised by its address. What is mapped where is told by a file
/// in place of `/proc/self/maps`, with the addresses of this process's own mappings.
@Suite struct UserMemoryRegionTests {
    let folder = TemporaryFolder()
    // swift-format-ignore: NeverForceUnwrap
    let provider = PCIAddress("0000:01:00.0")!

    /// Memory of this test, told to be a mapping of something.
    private func user(
        _ memory: HostMemory, as object: String, at offset: UInt64 = 0, from inner: Int = 0, count: Int,
        permissions: String = "rw-s"
    ) throws -> UserMemory {
        let start = UInt64(UInt(bitPattern: memory.baseAddress))
        let end = start + UInt64(memory.byteCount)
        folder.file(
            "proc/self/maps",
            "\(String(start, radix: 16))-\(String(end, radix: 16)) \(permissions) \(String(offset, radix: 16)) \(object)\n")
        return try UserMemory(at: start + UInt64(inner), byteCount: UInt64(count), root: folder.root)
    }

    private func pool() -> String {
        let place = "sys/bus/pci/devices/\(provider)/p2pmem"
        folder.file("\(place)/size", "65536\n")
        folder.file("\(place)/available", "65536\n")
        folder.file("\(place)/allocate", [UInt8](repeating: 0xa5, count: 65536))
        return "00:20 15926   /\(place)/allocate"
    }

    @Test func p2pmemIsPagedOnDemandAndStaysMapped() throws {
        let memory = try HostMemory(allocating: 16384)
        try withFakeVerbs { fake in
            fake_verbs_set_kernel("7.3.4")
            fake_verbs_set_on_demand(1, 0x1f)
            let machine = try Machine()
            let range = try user(memory, as: pool(), from: 4096, count: 8192)
            do {
                let region = try PeerRegion(registering: range, on: machine.domain, access: [.localWrite, .remoteWrite])
                #expect(region.kind == .p2pmem)
                #expect(region.provider == provider)
                #expect(region.choice.method == .onDemand)
                #expect(region.isPeerToPeer == true)
                #expect(region.keys.address == UInt64(range.address))
                #expect(fake_verbs_registered_bytes() == 8192)
                #expect(fake_verbs_registered_access() == 0b100_0011)
            }
            #expect(fake.live(FAKE_REGION) == 0)
        }
        memory.bytes[4096] = 3
        #expect(memory.bytes[4096] == 3, "neither unmapped nor changed")
    }

    @Test func aPoolThatCameAgainIsAnotherOne() throws {
        let memory = try HostMemory(allocating: 16384)
        try withFakeVerbs { fake in
            fake_verbs_set_kernel("7.3.4")
            fake_verbs_set_on_demand(1, 0x1f)
            let machine = try Machine()
            let before = try user(memory, as: pool(), count: 16384)
            let now = try user(memory, as: pool().replacing("15926", with: "15999"), count: 16384)
            #expect(before.identity != now.identity && before.identityOffset == now.identityOffset)
            let error = #expect(throws: PeerMRError.self) {
                _ = try PeerRegion(registering: before, on: machine.domain, access: [.localWrite])
            }
            #expect(error?.code == .memoryRevoked)
            #expect(try PeerRegion(registering: now, on: machine.domain, access: [.localWrite]).kind == .p2pmem)
            #expect(fake.live(FAKE_REGION) == 0)
        }
    }

    @Test func hostMemoryIsPinnedAsItStands() throws {
        let memory = try HostMemory(allocating: 8192)
        try withFakeVerbs { _ in
            let machine = try Machine()
            let range = try user(memory, as: "00:00 0  [heap]", from: 5, count: 4097)
            let region = try PeerRegion(registering: range, on: machine.domain, access: [.localWrite])
            #expect(region.kind == .host)
            #expect(region.choice.method == .pinned)
            #expect(fake_verbs_registered_address() == UInt64(range.address))
            #expect(fake_verbs_registered_bytes() == 4097)
        }
    }

    @Test func aBufferIsFoundByItsNumberAndKeepsItsAddress() throws {
        let memory = try HostMemory(allocating: 16384)
        try withFakeVerbs { fake in
            fake_verbs_set_buffer_probe(EBADF)
            let machine = try Machine()
            let buffer = try TestBuffer(65536)
            var status = stat()
            try #require(fstat(buffer.descriptor, &status) == 0)
            let place = "00:\(String(status.st_dev, radix: 16)) \(status.st_ino)   /dmabuf:store"
            try #require(status.st_dev < 256, "else the number is written otherwise")
            // The folder has no /proc/self/fd of its own: the number stands there as any file would.
            folder.file("proc/self/fd/\(buffer.descriptor)", "")
            do {
                let range = try user(memory, as: place, at: 8192, from: 100, count: 5000)
                let region = try PeerRegion(registering: range, on: machine.domain, access: [.localWrite, .remoteRead])
                #expect(region.kind == .dmabuf)
                #expect(region.choice.method == .dmaBuf)
                #expect(region.keys.address == UInt64(range.address))
                #expect(region.byteCount == 5000)
                #expect(fake_verbs_last_buffer().offset == 8192, "whole pages")
                #expect(fake_verbs_last_buffer().iova == UInt64(range.address) - 100)
            }
            #expect(openDescriptors(of: buffer.descriptor) == 1, "the application's own is still open")
            #expect(fake.live(FAKE_REGION) == 0)
            // What it says does not fit the buffer: nothing is guessed.
            for offset: UInt64 in [65536, 61440, 1 << 32, 1 << 33] {
                let odd = try user(memory, as: place, at: offset, count: 8192)
                let error = #expect(throws: PeerMRError.self) {
                    _ = try PeerRegion(registering: odd, on: machine.domain, access: [.localWrite])
                }
                #expect(error?.reason.contains("which is outside it") == true)
            }
            #expect(openDescriptors(of: buffer.descriptor) == 1)
        }
    }

    @Test func aDriversMappingIsExplainedWhenTheKernelRefuses() throws {
        let memory = try HostMemory(allocating: 4096)
        try withFakeVerbs { fake in
            let machine = try Machine()
            let range = try user(memory, as: "00:20 9  /sys/devices/pci0000:00/0000:00:02.0/resource0", count: 4096)
            for errno in [Errno.badAddress, Errno(rawValue: 121)] {
                fake.fail("ibv_reg_mr", errno)
                let error = #expect(throws: PeerMRError.self) {
                    _ = try PeerRegion(registering: range, on: machine.domain, access: [.localWrite])
                }
                #expect(error?.code == .notSupported)
                #expect(error?.errno == errno)
                #expect(error?.reason.hasPrefix("BAR 0 of 0000:00:02.0 cannot be registered by its address") == true)
                #expect(error?.remedy?.contains("vfio-pci") == true)
            }
            fake.fail("ibv_reg_mr", .noMemory)
            let limit = #expect(throws: PeerMRError.self) {
                _ = try PeerRegion(registering: range, on: machine.domain, access: [.localWrite])
            }
            #expect(limit?.code == .resourceLimit, "another matter")
        }
    }

    /// The device pages nothing on demand, of which the mapping is no case.
    @Test(arguments: [
        ("r--s", "is mapped for reading only at ADDRESS, and devices were to write"),
        ("rw-p", "is mapped privately at ADDRESS: what the CPU writes there stays in a copy that no device sees"),
    ])
    func aMappingThatWillNotDoIsNoMatterOfTheDevice(_ permissions: String, _ words: String) throws {
        let memory = try HostMemory(allocating: 4096)
        try withFakeVerbs { fake in
            let machine = try Machine()
            let range = try user(memory, as: pool(), count: 4096, permissions: permissions)
            let error = #expect(throws: PeerMRError.self) {
                _ = try PeerRegion(registering: range, on: machine.domain, access: [.localWrite])
            }
            let address = "0x" + String(range.address, radix: 16)
            let reason = "p2pmem of \(provider) " + words.replacing("ADDRESS", with: address)
            #expect(error?.reason == reason)
            #expect(error?.errno == nil)
            #expect(!fake.journal.contains("ibv_reg_mr"), "the kernel was not asked")
        }
    }

    @Test func anotherAddressIsForBuffersOnly() throws {
        let memory = try HostMemory(allocating: 4096)
        try withFakeVerbs { _ in
            let machine = try Machine()
            let range = try user(memory, as: "00:00 0", count: 4096)
            let same = RegistrationOptions(ioAddress: UInt64(range.address))
            #expect(throws: Never.self) {
                _ = try PeerRegion(registering: range, on: machine.domain, access: [.localWrite], options: same)
            }
            let error = #expect(throws: PeerMRError.self) {
                _ = try PeerRegion(
                    registering: range, on: machine.domain, access: [.localWrite],
                    options: RegistrationOptions(ioAddress: UInt64(range.address) + 4096))
            }
            #expect(error?.code == .invalidArgument)
        }
    }
}
