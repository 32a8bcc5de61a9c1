// SPDX-License-Identifier: Apache-2.0

import CFakeVerbs
import Glibc
import PeerMR
import Testing

/// A file in memory that the fake takes for a dma-buf. It stays open as long as the test; what is registered is a
/// duplicate.
final class TestBuffer {
    let descriptor: Int32
    let byteCount: Int

    init(_ byteCount: Int, readOnly: Bool = false) throws {
        self.byteCount = byteCount
        let made = fake_verbs_memory_file()
        try #require(made >= 0)
        try #require(ftruncate(made, byteCount) == 0)
        descriptor = readOnly ? open("/proc/self/fd/\(made)", O_RDONLY | O_CLOEXEC) : made
        if readOnly { close(made) }
        try #require(descriptor >= 0)
        fake_verbs_declare_buffer(descriptor)
    }

    deinit { close(descriptor) }

    /// A part, as an application has it.
    func memory(
        offset: UInt64 = 0, byteCount: UInt64? = nil, owner: TestOwner? = nil
    ) throws(PeerMRError) -> DMABufMemory {
        let buffer = try DMABuf(duplicating: descriptor)
        let count = byteCount ?? UInt64(self.byteCount) - offset
        return try DMABufMemory(
            buffer, owner: owner ?? TestOwner(descriptor), offset: offset, byteCount: count)
    }

    /// The bytes, read as a file.
    var contents: [UInt8] {
        var bytes = [UInt8](repeating: 0, count: byteCount)
        _ = pread(descriptor, &bytes, byteCount, 0)
        return bytes
    }

    func fill(_ bytes: [UInt8]) { _ = pwrite(descriptor, bytes, bytes.count, 0) }
}

/// The owner of a test buffer, which may lose it, or have no way to the bytes.
final class TestOwner: DMABufOwner {
    let provider: PCIAddress?
    var refusal: PeerMRError?
    private let descriptor: Int32
    private let gone: (() -> Void)?

    init(_ descriptor: Int32, provider: PCIAddress? = nil, refusal: PeerMRError? = nil, gone: (() -> Void)? = nil) {
        self.descriptor = descriptor
        self.provider = provider
        self.refusal = refusal
        self.gone = gone
    }

    deinit { gone?() }

    func read(into bytes: inout MutableRawSpan, at offset: UInt64) throws(PeerMRError) {
        if let refusal { throw refusal }
        bytes.withUnsafeMutableBytes { _ = pread(descriptor, $0.baseAddress, $0.count, Int(offset)) }
    }

    func write(_ bytes: RawSpan, at offset: UInt64) throws(PeerMRError) {
        if let refusal { throw refusal }
        bytes.withUnsafeBytes { _ = pwrite(descriptor, $0.baseAddress, $0.count, Int(offset)) }
    }
}

/// How many descriptors this process has open on a file.
func openDescriptors(of descriptor: Int32) -> Int {
    func identity(_ number: Int32) -> (UInt64, UInt64)? {
        var status = stat()
        return fstat(number, &status) == 0 ? (UInt64(status.st_dev), UInt64(status.st_ino)) : nil
    }
    guard let wanted = identity(descriptor) else { return 0 }
    return (0..<Int32(1024)).count { identity($0).map { $0 == wanted } ?? false }
}
