// SPDX-License-Identifier: Apache-2.0

import PeerMemory
import RegistrationBench
import PeerMRCore
import TestSupport
import Testing

@Suite struct BenchMemoryTests {
    @Test(arguments: [
        ("host", "host", "host:4096"), ("p2pmem:03:00.0", "p2pmem:0000:03:00.0", "p2pmem:0000:03:00.0:4096"),
        ("vfio:0000:03:00.0:2", "vfio:0000:03:00.0:2", "vfio:0000:03:00.0:2:0:4096"),
        ("udmabuf", "udmabuf", "udmabuf:4096"),
        ("heap:system", "heap:system", "heap:system:4096"), ("cuda:1", "cuda:1", "cuda:1:4096"),
        ("fd:5", "fd:5", "fd:5:0:4096"),
        ("nic", "nic", "nic:4096"),
    ])
    func aNameWithoutASizeTakesAny(_ text: String, _ name: String, _ specification: String) throws {
        let memory = try BenchMemory(text)
        #expect("\(memory)" == name)
        #expect(memory.limit == nil)
        #expect("\(memory.specification(4096))" == specification)
    }

    @Test(arguments: [
        ("host:1M", UInt64(1) << 20), ("vfio:03:00.0:2:4K:64K", 65536), ("heap:system:8K", 8192), ("fd:3:0:4096", 4096),
    ])
    func aSizeIsTheLimit(_ text: String, _ limit: UInt64) throws {
        #expect(try BenchMemory(text).limit == limit)
    }

    @Test func aPartKeepsItsPlace() throws {
        let memory = try BenchMemory("vfio:03:00.0:2:8K:64K")
        #expect(memory.offset == 8192)
        #expect("\(memory.specification(4096))" == "vfio:0000:03:00.0:2:8192:4096")
    }

    /// With a 1 behind them some would name other memory than was meant.
    @Test(arguments: [
        "", "hos", "vfio:03:00.0", "vfio", "fd", "heap", "cuda", "p2pmem", "host:0", "p2pmem:zz", "nic:x",
    ])
    func whatNamesNoMemoryIsRefused(_ text: String) {
        let error = #expect(throws: PeerMRError.self) { _ = try BenchMemory(text) }
        #expect(error?.code == .invalidArgument)
    }
}
