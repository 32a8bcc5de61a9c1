// SPDX-License-Identifier: Apache-2.0

import CFakeVerbs
import Glibc
import PeerMR
import Testing

/// Whether a page of this process is mapped, by mincore(2).
private func isMapped(_ address: UInt64) -> Bool {
    var resident: UInt8 = 0
    return mincore(UnsafeMutableRawPointer(bitPattern: UInt(address)), 1, &resident) == 0
}

@Suite struct RegionTests {
    @Test func theDeviceGetsTheMemoryAndTheAccess() throws {
        try withFakeVerbs { _ in
            let machine = try Machine()
            let memory = try HostMemory(allocating: 12288)
            let address = UInt64(UInt(bitPattern: memory.baseAddress))
            let region = try MemoryRegion(
                registering: memory, on: machine.domain, access: [.localWrite, .remoteRead])
            #expect(fake_verbs_registered_address() == address)
            #expect(fake_verbs_registered_bytes() == 12288)
            #expect(fake_verbs_registered_access() == 0b101)
            #expect(region.keys.address == address)
            #expect(region.keys.byteCount == 12288)
            #expect(region.keys.remoteKey == region.keys.localKey + 1, "as the fake counts them")
        }
    }

    @Test func localAccessIsTheDefault() throws {
        try withFakeVerbs { _ in
            _ = try Machine().region()
            #expect(fake_verbs_registered_access() == Access.localWrite.rawValue)
        }
    }

    /// The fake's ibv_dereg_mr looks whether the memory is still mapped, and complains where it is not.
    @Test func theMemoryGoesAfterTheRegion() throws {
        try withFakeVerbs { fake in
            // Not by its address: tests beside this one may map other memory there.
            weak var left: (any Memory)?
            do {
                let region = try Machine().region(1 << 20)
                left = region.memory
                #expect(isMapped(region.keys.address))
                #expect(!fake.teardown.contains("ibv_dereg_mr"))
            }
            #expect(fake.teardown.contains("ibv_dereg_mr"))
            #expect(left == nil, "it does go")
        }
    }

    /// The kernel gives up where a signal is pending, which is handled when the call has returned.
    @Test func aRegistrationThatASignalInterruptsIsMadeAgain() throws {
        try withFakeVerbs { fake in
            let machine = try Machine()
            fake_verbs_fail_times("ibv_reg_mr", EINTR, 3)
            let region = try machine.region()
            #expect(region.keys.byteCount == 4096)
            fake.fail("ibv_reg_mr", .interrupted)
            let error = #expect(throws: PeerMRError.self) { _ = try machine.region() }
            #expect(error?.errno == .interrupted, "not for ever")
        }
    }

    @Test func theMemoryIsFreedWhenRegistrationFails() throws {
        try withFakeVerbs { fake in
            fake.fail("ibv_reg_mr", .noMemory)
            weak var left: HostMemory?
            let error = #expect(throws: PeerMRError.self) {
                let memory = try HostMemory(allocating: 1 << 20)
                left = memory
                _ = try MemoryRegion(registering: memory, on: Machine().domain)
            }
            #expect(error?.code == .resourceLimit)
            #expect(error?.reason.contains("memory lock limit is not the cause") == true)
            #expect(left == nil)
            #expect(!fake.journal.contains("ibv_dereg_mr"))
        }
    }

    /// The fake can tell: it is asked here about memory that is gone.
    @Test func memoryThatGoesTooEarlyIsNoticed() throws {
        final class Gone: MappingBacked, @unchecked Sendable {
            let baseAddress: UnsafeMutableRawPointer
            let byteCount = 4096
            let kind = MemoryKind.host
            init(baseAddress: UnsafeMutableRawPointer) { self.baseAddress = baseAddress }
        }
        fake_verbs_begin()
        defer { fake_verbs_end() }
        do {
            let mapped = mmap(nil, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0)
            let memory = Gone(baseAddress: try #require(mapped))
            let region = try MemoryRegion(registering: memory, on: Machine().domain)
            munmap(mapped, 4096)
            #expect(region.keys.byteCount == 4096)
        }
        #expect(FakeVerbs().complaints == ["ibv_dereg_mr: the memory has been unmapped before"])
    }
}
