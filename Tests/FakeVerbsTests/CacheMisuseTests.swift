// SPDX-License-Identifier: Apache-2.0

import CFakeVerbs
import Glibc
@testable import PeerMR
import Testing

/// What a cache refuses, and that nothing is left of it.
@Suite struct CacheMisuseTests {
    private static let rights: Access = [.localWrite, .remoteRead]

    private func refusal(_ body: () throws -> Void) -> PeerMRError? {
        #expect(throws: PeerMRError.self) { try body() }
    }

    @Test func requestsOfAnotherCacheAreRefused() throws {
        try withFakeVerbs { fake in
            let machine = try Machine()
            let (cache, other) = (try RegistrationCache(), try RegistrationCache())
            let memory = try HostMemory(allocating: 4096)
            let own = try cache.request(for: memory, on: machine.domain, access: Self.rights)
            let strange = try other.request(for: memory, on: machine.domain, access: Self.rights)
            let keys = try cache.lease(own).keys
            // Also where the cache has the region.
            let error = refusal { _ = try cache.lease(strange) }
            #expect(error?.code == .invalidArgument && error?.reason.contains("another cache") == true)
            var reader = try cache.reader()
            let (found, none) = (reader.keys(own, at: 0, count: 1), reader.keys(strange, at: 0, count: 1))
            #expect(found?.localKey == keys.localKey && none == nil)
            #expect(fake.live(FAKE_REGION) == 1)
        }
    }

    @Test func requestsOfAReleasedDomainAreRefused() throws {
        try withFakeVerbs { fake in
            let machine = try Machine()
            let cache = try RegistrationCache()
            let memory = try HostMemory(allocating: 4096)
            let old = try cache.request(for: memory, on: machine.domain, access: Self.rights)
            _ = try cache.lease(old)
            try cache.release(machine.domain)
            #expect(fake.live(FAKE_REGION) == 0)
            let error = refusal { _ = try cache.lease(old) }
            #expect(error?.code == .invalidArgument && error?.reason.contains("released") == true)
            // Who asks anew is served, and the old request is not by what that registered.
            let new = try cache.request(for: memory, on: machine.domain, access: Self.rights)
            _ = try cache.lease(new)
            _ = refusal { _ = try cache.lease(old) }
            try cache.release(machine.domain)
            try cache.release(machine.domain)
            #expect(fake.live(FAKE_REGION) == 0)
            #expect(try cache.statistics().invalidations == [.domain: 2])
        }
    }

    @Test func aDomainIsReleasedBitByBit() throws {
        try withFakeVerbs { fake in
            let machine = try Machine()
            let cache = try RegistrationCache()
            let memory = try HostMemory(allocating: 8192)
            do {
                let first = try cache.lease(memory, 0..<4096, on: machine.domain, access: Self.rights)
                #expect(refusal { try cache.release(machine.domain) }?.code == .busy)
                // The application goes on with the domain, and lets go of it later.
                let second = try cache.lease(memory, 4096..<8192, on: machine.domain, access: Self.rights)
                let error = refusal { try cache.release(machine.domain) }
                #expect(error?.code == .busy && error?.reason.hasPrefix("2 ") == true)
                #expect(first.keys.localKey != second.keys.localKey)
            }
            try cache.release(machine.domain)
            #expect(fake.live(FAKE_REGION) == 0)
        }
    }

    @Test func accessThatMemoryDoesNotAllowIsRefusedAndForgotten() throws {
        try withFakeVerbs { fake in
            fake_verbs_set_buffer_probe(EBADF)
            let machine = try Machine()
            let cache = try RegistrationCache()
            let file = fake_verbs_memory_file()
            ftruncate(file, 4096)
            let readonly = open("/proc/self/fd/\(file)", O_RDONLY | O_CLOEXEC)
            fake_verbs_declare_buffer(readonly)
            let memory = try DMABufMemory(duplicating: readonly)
            let error = refusal { _ = try cache.lease(memory, on: machine.domain, access: Self.rights) }
            #expect(error?.code == .invalidArgument)
            #expect(try cache.lease(memory, on: machine.domain, access: [.remoteRead]).keys.byteCount == 4096)
            #expect(try cache.statistics().regions == 1)
            close(readonly)
            close(file)
        }
    }

    @Test func anEmptyRangeEndsNothing() throws {
        try withFakeVerbs { fake in
            let machine = try Machine()
            let cache = try RegistrationCache()
            let memory = try HostMemory(allocating: 4096)
            _ = try cache.lease(memory, on: machine.domain, access: Self.rights)
            #expect(try cache.invalidate(memory, 100..<100) == 0)
            #expect(try cache.invalidate(memory, Int.min..<0) == 0)
            #expect(try cache.invalidate(memory, 4096..<Int.max) == 0)
            #expect(fake.live(FAKE_REGION) == 1)
            #expect(try cache.invalidate(memory, Int.min..<Int.max) == 1)
        }
    }

    /// Everything once, right and wrong, a thousand times.
    @Test func aThousandCyclesLeaveNothing() throws {
        try withFakeVerbs { fake in
            fake_verbs_set_buffer_probe(EBADF)
            let machine = try Machine()
            let buffer = try TestBuffer(65536)
            for round in 0..<1000 {
                try cycle(machine, buffer, round)
                #expect(fake.live(FAKE_REGION) == 0 && fake.live(FAKE_PROTECTION_DOMAIN) == 1)
                // Nobody is to read thousands of calls afterwards.
                fake_verbs_clear_journal()
            }
        }
    }

    private func cycle(_ machine: Machine, _ buffer: TestBuffer, _ round: Int) throws {
        let cache = try RegistrationCache(.init(regions: 3, bytes: 40_000))
        weak let store = cache.store
        let (domain, host) = (try ProtectionDomain(machine.context), try HostMemory(allocating: 8192))
        var reader = try cache.reader()
        for memory in [host, try buffer.memory()] as [any Memory] {
            let request = try cache.request(for: memory, on: domain, access: Self.rights)
            for offset in stride(from: 0, to: 8192, by: 2048) {
                let lease = try cache.lease(request, at: offset, count: 2048)
                _ = reader.keys(request, at: offset, count: 2048)
                if offset == 4096 { lease.invalidate() }
            }
            _ = refusal { _ = try cache.lease(request, at: 1, count: 65536) }
            reader.advance()
        }
        fake_verbs_fail_times("ibv_reg_mr", round % 2 == 0 ? ENOMEM : EINVAL, 3)
        _ = try? cache.lease(host, on: domain, access: [])
        fake_verbs_fail_no_more()
        _ = refusal { _ = try RegistrationCache(.init(regions: 0)) }
        _ = refusal { _ = try RegistrationCache(.init(bytes: 0)) }
        try cache.invalidate(host)
        // What the reader may still see is busy until it advances.
        #expect(refusal { try cache.release(domain) }?.code == .busy)
        reader.advance()
        try cache.release(domain)
        #expect(store != nil)
    }
}
