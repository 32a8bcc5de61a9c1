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

    /// A part, as an exporter has it.
    func memory(
        offset: UInt64 = 0, byteCount: UInt64? = nil, provider: PCIAddress? = nil, refusal: PeerMRError? = nil,
        exporter: String? = nil, gone: (@Sendable () -> Void)? = nil
    ) throws(PeerMRError) -> TestMemory {
        TestMemory(
            try DMABuf(duplicating: descriptor), offset, Int(byteCount ?? UInt64(self.byteCount) - offset), provider,
            refusal, exporter, gone)
    }

    /// The bytes, read as a file.
    var contents: [UInt8] {
        var bytes = [UInt8](repeating: 0, count: byteCount)
        _ = pread(descriptor, &bytes, byteCount, 0)
        return bytes
    }

    func fill(_ bytes: [UInt8]) { _ = pwrite(descriptor, bytes, bytes.count, 0) }
}

/// Memory of a test buffer, which may be lost, or have no way to the bytes.
final class TestMemory: DMABufBacked, @unchecked Sendable {
    let buffer: DMABuf
    let offset: UInt64
    let byteCount: Int
    let provider: PCIAddress?
    var refusal: PeerMRError?
    /// As the kernel would name it, of a buffer that were one.
    let exporter: String?
    var owner: MemoryOwner {
        exporter.flatMap { Exporter.exporting(as: $0)?.owner(isRouteAllowed: nil) } ?? .unknown
    }
    private let gone: (@Sendable () -> Void)?

    init(
        _ buffer: DMABuf, _ offset: UInt64, _ byteCount: Int, _ provider: PCIAddress?, _ refusal: PeerMRError?,
        _ exporter: String?, _ gone: (@Sendable () -> Void)?
    ) {
        self.buffer = buffer
        self.offset = offset
        self.byteCount = byteCount
        self.provider = provider
        self.refusal = refusal
        self.exporter = exporter ?? buffer.exporter
        self.gone = gone
    }

    deinit { gone?() }

    func read(into bytes: inout MutableRawSpan, at offset: Int) throws(PeerMRError) {
        if let refusal { throw refusal }
        let place = Int(self.offset) + offset
        bytes.withUnsafeMutableBytes { _ = pread(buffer.descriptor, $0.baseAddress, $0.count, place) }
    }

    func write(_ bytes: RawSpan, at offset: Int) throws(PeerMRError) {
        if let refusal { throw refusal }
        let place = Int(self.offset) + offset
        bytes.withUnsafeBytes { _ = pwrite(buffer.descriptor, $0.baseAddress, $0.count, place) }
    }
}

/// A range of any descriptor, for what ``Verbs/MemoryRegion`` does with it.
final class TestRange: Memory {
    let range: DMABufRange
    let kind = MemoryKind.dmabuf
    var byteCount: Int { Int(clamping: range.byteCount) }

    init(_ range: DMABufRange) { self.range = range }

    func backing(for access: Access) -> MemoryBacking { .dmaBuf(range) }
    func read(into bytes: inout MutableRawSpan, at offset: Int) throws(PeerMRError) {}
    func write(_ bytes: RawSpan, at offset: Int) throws(PeerMRError) {}
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
