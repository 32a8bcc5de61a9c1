// SPDX-License-Identifier: Apache-2.0

import Foundation
import Glibc
import PCITopology
import SystemPackage
import PeerMRCore
import TestSupport
import Testing

@testable import PeerMemory

/// Memory of a GPU, over a library that stands in for NVIDIA's: what it is told, and what its errors become.
@Suite(.serialized) final class CUDATests {
    private let folder = TemporaryFolder()

    deinit {
        for name in ["DEVICES", "ATTRIBUTE", "FAIL", "BUS", "NO_DESCRIPTOR"] { unsetenv("FAKE_CUDA_\(name)") }
    }

    /// Builds the fake: a library of its own for each test, so that counts begin at zero.
    private func build(_ options: String...) throws -> String {
        let tests = String(#filePath.dropLast("/PeerMemoryTests/CUDATests.swift".count))
        let library = folder.path.appending("libcuda.so.1").string
        let process = Process()
        process.executableURL = URL(fileURLWithPath: "/usr/bin/env")
        process.arguments =
            ["cc", "-shared", "-fPIC"] + options + ["-o", library, "\(tests)/lab/fake_cuda.c"]
        try process.run()
        process.waitUntilExit()
        try #require(process.terminationStatus == 0, "the fake is not built")
        return library
    }

    private func live(_ path: String) throws -> [Int32] {
        let handle = try #require(dlopen(path, RTLD_NOW))
        let symbol = try #require(dlsym(handle, "fake_cuda_live"))
        let count = unsafeBitCast(symbol, to: (@convention(c) (Int32) -> Int32).self)
        return (0..<4).map { count($0) }
    }

    private func owner(_ byteCount: UInt64 = 5000, ordinal: Int32 = 0) throws -> CUDAAllocation {
        try CUDAAllocation(try CUDALibrary.load(try build()), ordinal: ordinal, byteCount: byteCount)
    }

    @Test func bytesGoInAndOut() throws {
        let path = try build()
        let bytes = (0..<5000).map { UInt8(truncatingIfNeeded: $0 &* 7) }
        do {
            let owner = try CUDAAllocation(try CUDALibrary.load(path), ordinal: 0, byteCount: 3 << 20)
            #expect(owner.byteCount == 4 << 20, "whole pages of the GPU")
            #expect(owner.provider == PCIAddress("0000:3b:00.0"))
            #expect(try live(path) == [1, 1, 0, 0])
            try owner.write(bytes.span.bytes, at: 4_000_000 - 123)
            var back = [UInt8](repeating: 0, count: bytes.count)
            var span = back.mutableSpan
            var raw = span.mutableBytes
            try owner.read(into: &raw, at: 4_000_000 - 123)
            #expect(back == bytes)
        }
        #expect(try live(path) == [0, 0, 0, 0], "freed in its context, and the context let go")
    }

    @Test func aPartOutsideIsRefused() throws {
        let owner = try owner()
        for offset: UInt64 in [2 << 20, (2 << 20) - 1, 1 << 63, .max] {
            #expect(throws: PeerMRError.self) { try owner.write([1, 2].span.bytes, at: offset) }
        }
    }

    @Test func whatTheLibraryExportsIsLookedAt() throws {
        let library = try CUDALibrary.load(try build())
        let before = openFiles("/memfd:fake-gpu")
        let error = #expect(throws: PeerMRError.self) {
            _ = try CUDAMemory(allocating: 4096, ordinal: 0, library: library)
        }
        // There is no /dev/udmabuf where these tests run: the fake gave a file.
        if access("/dev/udmabuf", R_OK) != 0 {
            #expect(error?.reason.contains("no dma-buf but") == true)
            #expect(openFiles("/memfd:fake-gpu") == before)
        }
        setenv("FAKE_CUDA_NO_DESCRIPTOR", "1", 1)
        let none = #expect(throws: PeerMRError.self) {
            _ = try CUDAMemory(allocating: 4096, ordinal: 0, library: library)
        }
        #expect(none?.reason.contains("returned no descriptor") == true)
    }

    @Test func busAddresses() throws {
        for (text, address) in [
            ("00000000:3B:00.0", "0000:3b:00.0"), ("0001:AF:00.1", "0001:af:00.1"), ("nonsense", nil),
        ] {
            setenv("FAKE_CUDA_BUS", text, 1)
            #expect(try owner().provider == address.flatMap { PCIAddress($0) })
        }
    }

    @Test func aMachineWithoutTheLibrary() {
        let error = #expect(throws: PeerMRError.self) { _ = try CUDALibrary.load("libcuda-that-is-not.so.1") }
        #expect(error?.code == .notFound)
        #expect(error?.remedy?.contains("install NVIDIA's driver") == true)
    }

    @Test func aLibraryThatIsTooOld() throws {
        let path = try build("-DFAKE_CUDA_OLD")
        let error = #expect(throws: PeerMRError.self) { _ = try CUDALibrary.load(path) }
        #expect(error?.code == .notSupported)
        #expect(error?.reason.contains("has no cuMemGetHandleForAddressRange") == true)
        #expect(error?.remedy?.contains("11.7") == true)
    }

    @Test func aGPUThatThereIsNot() throws {
        setenv("FAKE_CUDA_DEVICES", "2", 1)
        for ordinal: Int32 in [2, -1, .max] {
            let error = #expect(throws: PeerMRError.self) { _ = try owner(ordinal: ordinal) }
            #expect(error?.code == .notFound)
            #expect(error?.reason == "there is no GPU \(ordinal): CUDA sees 2")
        }
        setenv("FAKE_CUDA_DEVICES", "0", 1)
        let none = #expect(throws: PeerMRError.self) { _ = try owner() }
        #expect(none?.remedy?.contains("nvidia-smi") == true)
    }

    @Test func aDriverThatExportsNothing() throws {
        setenv("FAKE_CUDA_ATTRIBUTE", "0", 1)
        let error = #expect(throws: PeerMRError.self) { _ = try owner() }
        #expect(error?.code == .notSupported)
        #expect(error?.reason.contains("GPU 0 (0000:3b:00.0) exports no dma-bufs") == true)
        #expect(error?.remedy?.contains("open kernel modules") == true)
    }

    @Test(arguments: [
        ("cuInit", 100, "CUDA_ERROR_NO_DEVICE", PeerMRError.Code.notFound),
        ("cuMemAlloc_v2", 2, "CUDA_ERROR_OUT_OF_MEMORY", .resourceLimit),
        ("cuDevicePrimaryCtxRetain", 46, "CUresult 46", .busy),
        ("cuCtxPushCurrent_v2", 201, "CUDA_ERROR_INVALID_CONTEXT", .system),
        ("cuPointerSetAttribute", 1, "CUDA_ERROR_INVALID_VALUE", .system),
    ])
    func aCallThatFails(_ name: String, _ result: Int, _ word: String, _ code: PeerMRError.Code) throws {
        let path = try build()
        setenv("FAKE_CUDA_FAIL", "\(name)=\(result)", 1)
        let error = #expect(throws: PeerMRError.self) {
            _ = try CUDAAllocation(try CUDALibrary.load(path), ordinal: 0, byteCount: 4096)
        }
        #expect(error?.code == code)
        #expect(error?.reason.contains(word) == true)
        #expect(error?.remedy != nil)
        unsetenv("FAKE_CUDA_FAIL")
        #expect(try live(path)[1...] == [0, 0, 0])
        // What was allocated cannot be freed where no context can be made current.
        if name != "cuCtxPushCurrent_v2" { #expect(try live(path)[0] == 0) }
    }

    @Test(arguments: ["cuMemcpyHtoD_v2", "cuCtxSynchronize"])
    func aCopyThatFails(_ name: String) throws {
        let owner = try owner()
        setenv("FAKE_CUDA_FAIL", "\(name)=700", 1)
        let error = #expect(throws: PeerMRError.self) { try owner.write([1].span.bytes, at: 0) }
        #expect(error?.code == .memoryRevoked)
        #expect(error?.remedy?.contains("Xid") == true)
    }

    @Test(arguments: [0, UInt64.max, UInt64(Int64.max)])
    func whatIsNoSizeIsRefused(_ byteCount: UInt64) {
        #expect(throws: PeerMRError.self) { _ = try owner(byteCount) }
    }

    @Test func everyResultGivesAWholeSentence() {
        for result in Int32(1)...1000 {
            for call in ["cuInit", "cuMemGetHandleForAddressRange"] {
                let error = PeerMRError.cuda(call, result, name: "CUresult \(result)", "")
                #expect(error.reason.contains("\(result)") && error.remedy?.hasSuffix(".") == false)
            }
        }
    }
}
