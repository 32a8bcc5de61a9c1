// SPDX-License-Identifier: Apache-2.0

import CFakeVerbs
import Glibc
@testable import PeerMR
import TestSupport
import Testing

/// Leases by those who have an address alone. What is mapped is asked of the running kernel, for which a file that the
/// fake takes for a dma-buf has such a name; where it lacks the call, and for p2pmem, a file tells it.
@Suite struct CacheAddressTests {
    private static let rights: Access = [.localWrite, .remoteRead]
    private let folder = TemporaryFolder()
    // swift-format-ignore: NeverForceUnwrap
    private let provider = PCIAddress("0000:01:00.0")!

    private func refusal(_ body: () throws -> Void) -> PeerMRError? {
        #expect(throws: PeerMRError.self) { try body() }
    }

    @Test func aMappedBufferIsFoundByItsAddress() throws {
        try withBuffers { fake, machine, cache in
            let buffer = try TestBuffer(65536)
            let area = try Area(65536)
            area.map(buffer.descriptor, at: 4096)
            let request = try cache.addressRequest(on: machine.domain, access: Self.rights)
            let first = try cache.lease(request, at: area.address + 8192, count: 16384).keys
            #expect(first.address == area.address + 8192 && first.byteCount == 16384)
            let call = fake_verbs_last_buffer()
            #expect(call.offset == 4096 + 8192 && call.iova == area.address + 8192 && call.byte_count == 16384)
            let part = try cache.lease(request, at: area.address + 12288, count: 100).keys
            #expect(part.localKey == first.localKey && part.address == area.address + 12288)
            #expect(fake.live(FAKE_REGION) == 1)
            // The object that an application may make finds the same, and finds it there.
            let memory = try unsafe UserMemory(at: area.address, byteCount: 32768)
            let inner = try cache.lease(memory, 8192..<9000, on: machine.domain, access: Self.rights).keys
            #expect(inner.localKey == first.localKey && inner.address == area.address + 8192)
            let seen = try cache.statistics()
            #expect(seen.hits == 2 && seen.misses == 1)
        }
    }

    @Test func anAddressThatMeansOtherMemoryFindsNothingOfBefore() throws {
        try withBuffers { fake, machine, cache in
            let (one, other) = (try TestBuffer(65536), try TestBuffer(65536))
            let area = try Area(65536)
            let request = try cache.addressRequest(on: machine.domain, access: Self.rights)
            func key() throws -> UInt32 { try cache.lease(request, at: area.address, count: 4096).keys.localKey }
            area.map(one.descriptor)
            let first = try key()
            area.map(other.descriptor)
            let second = try key()
            #expect(first != second)
            // Another part of the same, and the same at another address.
            area.map(one.descriptor, at: 4096)
            #expect(![first, second].contains(try key()))
            area.map(one.descriptor)
            #expect(try key() == first)
            let elsewhere = try Area(65536)
            elsewhere.map(one.descriptor)
            #expect(try cache.lease(request, at: elsewhere.address, count: 4096).keys.localKey != first)
            area.map(-1)
            #expect(refusal { _ = try key() }?.reason.contains("no identity") == true)
            area.unmap()
            #expect(refusal { _ = try key() }?.code == .invalidArgument)
            #expect(fake.live(FAKE_REGION) == 4)
        }
    }

    @Test func whatTheMappingDoesNotAllowIsRefusedAlsoWhereTheCacheHasIt() throws {
        try withBuffers { _, machine, cache in
            let buffer = try TestBuffer(65536)
            let area = try Area(65536)
            area.map(buffer.descriptor)
            let writing = try cache.addressRequest(on: machine.domain, access: Self.rights)
            let reading = try cache.addressRequest(on: machine.domain, access: [.remoteRead])
            let key = try cache.lease(writing, at: area.address, count: 65536).keys
            mprotect(area.base, 65536, PROT_READ)
            #expect(refusal { _ = try cache.lease(writing, at: area.address, count: 4096) }?.code == .notPermitted)
            #expect(try cache.lease(reading, at: area.address, count: 4096).keys.localKey == key.localKey)
            // A part of it: two mappings of one buffer in their order are one memory.
            mprotect(area.base + 4096, 4096, PROT_READ | PROT_WRITE)
            #expect(try cache.lease(writing, at: area.address + 4096, count: 4096).keys.localKey == key.localKey)
            #expect(refusal { _ = try cache.lease(writing, at: area.address, count: 8192) }?.code == .notPermitted)
            #expect(try cache.lease(reading, at: area.address, count: 65536).keys.localKey == key.localKey)
            area.map(buffer.descriptor, flags: MAP_PRIVATE)
            #expect(refusal { _ = try cache.lease(reading, at: area.address, count: 4096) }?.code == .notSupported)
        }
    }

    @Test func hostMemoryIsOfAnArenaOrRefused() throws {
        try withFakeVerbs { fake in
            let machine = try Machine()
            let cache = try RegistrationCache()
            let area = try Area(65536)
            area.map(-1)
            let none = try cache.addressRequest(on: machine.domain, access: Self.rights)
            #expect(refusal { _ = try cache.lease(none, at: area.address, count: 1) }?.code == .invalidArgument)
            let arena = try unsafe HostArena(at: area.base, byteCount: 32768)
            let request = try cache.addressRequest(on: machine.domain, access: Self.rights, arenas: [arena])
            let keys = try cache.lease(request, at: area.address + 5, count: 100).keys
            #expect(keys.address == area.address + 5)
            #expect(try cache.lease(request, at: area.address + 50, count: 10).keys.localKey == keys.localKey)
            // As by the arena.
            let whole = try cache.request(for: arena, on: machine.domain, access: Self.rights)
            #expect(try cache.lease(whole, at: 60, count: 10).keys.localKey == keys.localKey)
            #expect(fake.live(FAKE_REGION) == 1)
            #expect(refusal { _ = try cache.lease(request, at: area.address + 32768, count: 1) } != nil)
            #expect(refusal { _ = try cache.lease(request, at: area.address, count: 32769) } != nil)
            try cache.invalidate(arena)
            #expect(fake.live(FAKE_REGION) == 0)
        }
    }

    @Test func p2pmemOfTheApplicationIsKnownByPoolAndAddress() throws {
        try withPool(isOnDemand: true) { fake, machine, cache, request, memory, start in
            let keys = try cache.lease(request, at: start + 4096, count: 8192).keys
            #expect(keys.address == start + 4096)
            #expect(fake_verbs_registered_access() & 1 << 6 != 0, "on demand")
            #expect(try cache.lease(request, at: start + 4096, count: 1).keys.localKey == keys.localKey)
            // Objects over it, made at any time, have the same identity.
            for offset in [UInt64(0), 4096] {
                let user = try unsafe UserMemory(at: start + offset, byteCount: 12288 - offset, root: folder.root)
                let part = try MemoryPart(of: user, at: Int(4096 - offset), count: 8192)
                #expect(try cache.lease(part, on: machine.domain, access: Self.rights).keys == keys)
            }
            #expect(fake.live(FAKE_REGION) == 1)
            // Another pool at the address, or the same that has come again: what was over it would open that one.
            tell(memory, pool(15927))
            let next = try cache.lease(request, at: start, count: 65536).keys
            #expect(next.localKey != keys.localKey)
            #expect(fake.live(FAKE_REGION) == 1)
            #expect(try cache.statistics().invalidations == [.range: 1])
            // Host memory there does the same, although it is refused.
            tell(memory, "00:00 0", "rw-p")
            #expect(refusal { _ = try cache.lease(request, at: start + 65535, count: 1) } != nil)
            #expect(fake.live(FAKE_REGION) == 0)
        }
    }

    @Test func aRegionThatIsOverMoreThanIsMappedNowEnds() throws {
        try withPool(isOnDemand: true) { fake, machine, cache, request, memory, start in
            let whole = try cache.lease(request, at: start, count: 65536).keys
            let part = try cache.lease(request, at: start + 4096, count: 4096).keys
            #expect(part.localKey == whole.localKey)
            // Its second half is other memory by now, which the whole one's key would open.
            tell(memory, pool(15926), count: 32768)
            let next = try cache.lease(request, at: start + 4096, count: 4096).keys
            #expect(next.localKey != whole.localKey)
            #expect(try cache.statistics().invalidations == [.range: 1])
            #expect(try cache.lease(request, at: start + 4096, count: 4096).keys == next)
            #expect(try cache.invalidate(addresses: start + 8191..<start + 8192) == 1)
            #expect(fake.live(FAKE_REGION) == 0)
            withExtendedLifetime(memory) {}
        }
    }

    @Test func p2pmemThatIsPinnedIsNotFoundAgainByItsAddress() throws {
        try withPool(isOnDemand: false) { fake, machine, cache, request, memory, start in
            do {
                let first = try cache.lease(request, at: start, count: 8192)
                let second = try cache.lease(request, at: start, count: 8192)
                #expect(first.keys.localKey != second.keys.localKey)
                #expect(fake.live(FAKE_REGION) == 2)
            }
            #expect(fake.live(FAKE_REGION) == 0)
            // The application's object says how long the address means this memory.
            let user = try unsafe UserMemory(at: start, byteCount: 65536, root: folder.root)
            let keys = try cache.lease(user, on: machine.domain, access: Self.rights).keys
            #expect(try cache.lease(user, on: machine.domain, access: Self.rights).keys == keys)
            let other = try unsafe UserMemory(at: start, byteCount: 65536, root: folder.root)
            #expect(try cache.lease(other, on: machine.domain, access: Self.rights).keys != keys)
            #expect(try cache.invalidate(user) == 1)
            #expect(try cache.invalidate(other, 0..<1) == 1)
            #expect(fake.live(FAKE_REGION) == 0)
        }
    }

    @Test func regionsEndByAddressWhateverIsMappedThere() throws {
        try withFakeVerbs { fake in
            fake_verbs_set_kernel("7.3.4")
            fake_verbs_set_on_demand(1, 0x1f)
            fake_verbs_set_buffer_probe(EBADF)
            let machine = try Machine()
            let cache = try RegistrationCache()
            let (buffer, area) = (try TestBuffer(65536), try Area(65536))
            area.map(buffer.descriptor)
            let request = try cache.addressRequest(on: machine.domain, access: Self.rights)
            for offset in stride(from: UInt64(0), to: 65536, by: 8192) {
                _ = try cache.lease(request, at: area.address + offset, count: 8192)
            }
            // By its descriptor it has no address.
            _ = try cache.lease(try buffer.memory(), on: machine.domain, access: Self.rights)
            area.unmap()
            #expect(try cache.invalidate(addresses: area.address + 8191..<area.address + 8193) == 2)
            #expect(try cache.invalidate(addresses: area.address..<area.address) == 0)
            #expect(try cache.invalidate(addresses: 0..<UInt64.max) == 6)
            #expect(fake.live(FAKE_REGION) == 1)
            // Of p2pmem, an object's own.
            let memory = try HostMemory(allocating: 65536)
            let start = UInt64(UInt(bitPattern: memory.baseAddress))
            tell(memory, pool(15926))
            let user = try unsafe UserMemory(at: start, byteCount: 8192, root: folder.root)
            let beside = try unsafe UserMemory(at: start + 8192, byteCount: 8192, root: folder.root)
            for memory in [user, beside] { _ = try cache.lease(memory, on: machine.domain, access: Self.rights) }
            #expect(try cache.invalidate(user) == 1)
            #expect(try cache.invalidate(beside, 0..<1) == 1)
            #expect(fake.live(FAKE_REGION) == 1)
        }
    }

    @Test func wideningTakesTheMapping() throws {
        try withBuffers { fake, machine, cache in
            let (buffer, area) = (try TestBuffer(65536), try Area(65536))
            area.map(buffer.descriptor)
            let wide = try cache.addressRequest(on: machine.domain, access: [.localWrite], widening: .buffer)
            let keys = try cache.lease(wide, at: area.address + 4096, count: 4096).keys
            #expect(fake_verbs_last_buffer().byte_count == 65536 && keys.address == area.address + 4096)
            #expect(try cache.lease(wide, at: area.address, count: 65536).keys.localKey == keys.localKey)
            let remote = try cache.addressRequest(on: machine.domain, access: Self.rights, widening: .buffer)
            _ = try cache.lease(remote, at: area.address + 4096, count: 4096)
            #expect(fake_verbs_last_buffer().byte_count == 4096)
            #expect(fake.live(FAKE_REGION) == 2)
        }
    }

    @Test func badLookupsAreErrorsAndLeaveNothing() throws {
        try withFakeVerbs { fake in
            fake_verbs_set_buffer_probe(EBADF)
            let machine = try Machine()
            let (cache, other) = (try RegistrationCache(), try RegistrationCache())
            let (buffer, second, area) = (try TestBuffer(65536), try TestBuffer(65536), try Area(131072))
            area.map(buffer.descriptor, count: 65536)
            area.map(second.descriptor, count: 65536, to: 65536)
            let request = try cache.addressRequest(on: machine.domain, access: Self.rights)
            for (address, count) in [
                (area.address, 0), (area.address, -1), (area.address, Int.min), (area.address, Int.max),
                (.max, 1), (.max, 2), (0, 4096), (area.address + 65535, 2), (area.address, 131072),
            ] as [(UInt64, Int)] {
                let error = refusal { _ = try cache.lease(request, at: address, count: count) }
                #expect(error?.code == .invalidArgument, "\(address), \(count): \(String(describing: error))")
            }
            #expect(refusal { _ = try other.lease(request, at: area.address, count: 1) }?.code == .invalidArgument)
            #expect(
                refusal {
                    _ = try cache.addressRequest(
                        on: machine.domain, access: Self.rights, options: RegistrationOptions(ioAddress: 4096))
                }?.code == .invalidArgument)
            _ = try cache.lease(request, at: area.address, count: 1)
            try cache.release(machine.domain)
            #expect(refusal { _ = try cache.lease(request, at: area.address, count: 1) }?.code == .invalidArgument)
            let device = "20000000000 00:0f 77 anon_inode:[vfio-device]"
            folder.file("proc/self/maps", "7f0000000000-7f0000010000 rw-s \(device)\n")
            let bar = try cache.addressRequest(on: machine.domain, access: Self.rights, root: folder.root)
            #expect(refusal { _ = try cache.lease(bar, at: 0x7f00_0000_0000, count: 1) }?.code == .notSupported)
            #expect(fake.live(FAKE_REGION) == 0)
        }
    }

    @Test func aHitAllocatesNothing() throws {
        try withBuffers { _, machine, cache in
            let (buffer, area) = (try TestBuffer(65536), try Area(65536))
            area.map(buffer.descriptor)
            let request = try cache.addressRequest(on: machine.domain, access: Self.rights)
            _ = try cache.lease(request, at: area.address, count: 65536)
            guard kernelCanBeAsked() else { return }
            let before = fake_verbs_allocations()
            for index in 0..<1000 {
                _ = try cache.lease(request, at: area.address + UInt64(index), count: 4096)
            }
            #expect(fake_verbs_allocations() == before)
        }
    }

    /// Whether the running kernel has PROCMAP_QUERY (6.11).
    private func kernelCanBeAsked() -> Bool { KernelRelease.running().map { $0 >= KernelRelease(6, 11) } ?? false }

    /// A cache of a device that imports buffers.
    private func withBuffers(_ body: (FakeVerbs, Machine, RegistrationCache) throws -> Void) throws {
        try withFakeVerbs { fake in
            fake_verbs_set_buffer_probe(EBADF)
            try body(fake, try Machine(), try RegistrationCache())
        }
    }

    /// The same of one that knows no buffers, with memory and its address, which is said to be a pool's.
    private func withPool(
        isOnDemand: Bool,
        _ body: (FakeVerbs, Machine, RegistrationCache, AddressRequest, HostMemory, UInt64) throws -> Void
    ) throws {
        try withFakeVerbs { fake in
            fake_verbs_set_kernel("7.3.4")
            if isOnDemand { fake_verbs_set_on_demand(1, 0x1f) }
            let (machine, cache) = (try Machine(), try RegistrationCache())
            let memory = try HostMemory(allocating: 65536)
            tell(memory, pool(15926))
            let request = try cache.addressRequest(on: machine.domain, access: Self.rights, root: folder.root)
            try body(fake, machine, cache, request, memory, UInt64(UInt(bitPattern: memory.baseAddress)))
        }
    }

    private func pool(_ inode: Int) -> String {
        let place = "sys/bus/pci/devices/\(provider)/p2pmem"
        for name in ["size", "available"] { folder.file("\(place)/\(name)", "65536\n") }
        folder.file("\(place)/allocate", [UInt8](repeating: 0xa5, count: 65536))
        return "00:20 \(inode)   /\(place)/allocate"
    }

    /// Says what a memory is a mapping of.
    private func tell(_ memory: HostMemory, _ object: String, _ flags: String = "rw-s", count: Int? = nil) {
        let start = UInt64(UInt(bitPattern: memory.baseAddress))
        let end = String(start + UInt64(count ?? memory.byteCount), radix: 16)
        folder.file("proc/self/maps", "\(String(start, radix: 16))-\(end) \(flags) 00000000 \(object)\n")
    }
}

/// Addresses that are one memory after another.
private final class Area {
    let base: UnsafeMutableRawPointer
    private let byteCount: Int
    private var isMapped = true
    var address: UInt64 { UInt64(UInt(bitPattern: base)) }

    init(_ byteCount: Int) throws {
        self.byteCount = byteCount
        let mapped = mmap(nil, byteCount, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0)
        base = try #require(mapped == MAP_FAILED ? nil : mapped)
    }

    deinit { unmap() }

    func map(_ file: Int32, at offset: Int = 0, count: Int? = nil, to place: Int = 0, flags: Int32 = MAP_SHARED) {
        let kind = file < 0 ? MAP_PRIVATE | MAP_ANONYMOUS : flags
        let count = count ?? byteCount - offset
        let made = mmap(base + place, count, PROT_READ | PROT_WRITE, kind | MAP_FIXED, file, offset)
        #expect(made == base + place)
    }

    func unmap() {
        if isMapped { munmap(base, byteCount) }
        isMapped = false
    }
}
