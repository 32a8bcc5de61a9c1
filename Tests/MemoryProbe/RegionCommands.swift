// SPDX-License-Identifier: Apache-2.0

import Glibc
import PeerMR

private let allAccess: Access = [.localWrite, .remoteWrite, .remoteRead]

private func domain(_ words: [String]) throws(PeerMRError) -> ProtectionDomain {
    try ProtectionDomain(try Device(name: words[0]).open())
}

private func region(_ words: [String], _ domain: ProtectionDomain) throws(PeerMRError) -> PeerRegion {
    try PeerRegion(registering: try MemorySpecification(words[1]).open(), on: domain, access: allAccess)
}

private func microseconds(since start: UInt64) -> UInt64 { (monotonicNanoseconds() - start) / 1000 }

/// Whether the device imports dma-bufs, and how long it takes to find out, the first time and the next: DEVICE.
func imports(_ words: [String]) throws(PeerMRError) {
    let context = try Device(name: words[0]).open()
    var best = UInt64.max
    var found = context.dmaBufSupport()
    tell("imports", found.isSupported.map { "\($0)" } ?? "unknown")
    tell("errno", found.errno.map { "\($0.rawValue)" } ?? "none")
    tell("reason", found.sentence)
    tell("remedy", found.remedy ?? "")
    // The machine is shared: the best of some is what the question costs.
    for _ in 0..<20 {
        let other = try Device(name: words[0]).open()
        let start = monotonicNanoseconds()
        found = other.dmaBufSupport()
        best = min(best, microseconds(since: start))
    }
    tell("microseconds", "\(best)")
    let start = monotonicNanoseconds()
    _ = context.dmaBufSupport()
    tell("remembered nanoseconds", "\(monotonicNanoseconds() - start)")
}

/// A proof with few bytes: DEVICE MEMORY BYTES.
func regionProve(_ words: [String]) throws(PeerMRError) {
    let domain = try domain(words)
    let region = try region(words, domain)
    let before = try bytes(of: region)
    let proof = try region.prove(ProofOptions(byteCount: Int(words[2]) ?? 4096, timeoutMilliseconds: 60_000))
    tell("state", proof.state.rawValue)
    tell("reason", proof.reason)
    tell("restored", "\(try bytes(of: region) == before)")
}

private func bytes(of region: borrowing PeerRegion) throws(PeerMRError) -> [UInt8] {
    var bytes = [UInt8](repeating: 0, count: region.byteCount)
    var span = bytes.mutableSpan
    var raw = unsafe span.mutableBytes
    try region.read(into: &raw, at: 0)
    return bytes
}

/// Uses a region again and again until that fails, and says why, then once more: DEVICE MEMORY SECONDS.
func regionHold(_ words: [String]) throws(PeerMRError) {
    let domain = try domain(words)
    let region = try region(words, domain)
    try region.check(timeoutMilliseconds: 30_000)
    tell("holding", words[1])
    let deadline = monotonicNanoseconds() + (UInt64(words[2]) ?? 30) * 1_000_000_000
    while monotonicNanoseconds() < deadline {
        let start = monotonicNanoseconds()
        do throws(PeerMRError) {
            try region.check(timeoutMilliseconds: 30_000)
        } catch {
            tell("lost", error)
            tell("microseconds", "\(microseconds(since: start))")
            break
        }
        usleep(20_000)
    }
    tellError("again") { () throws(PeerMRError) in try region.check(timeoutMilliseconds: 5000) }
    tellError("owner") { () throws(PeerMRError) in
        // The driver is gone before the memory is: the kernel unmaps it in the course of the removal.
        for _ in 0..<200 {
            _ = try bytes(of: region)
            usleep(50_000)
        }
    }
    tellError("proof") { () throws(PeerMRError) in
        _ = try region.prove(ProofOptions(byteCount: 4096, timeoutMilliseconds: 5000))
    }
}

/// Resets a function by way of vfio under a region that is in use; then the memory is registered anew: DEVICE BDF BAR.
func regionReset(_ words: [String]) throws(PeerMRError) {
    let domain = try domain(words)
    guard let address = PCIAddress(words[1]), let bar = Int(words[2]) else { MemoryProbe.stop("BDF BAR") }
    let device = try VFIODevice(address)
    do {
        let memory = try device.export(bar: bar, offset: 0, byteCount: 4096)
        let region = try PeerRegion(registering: memory, on: domain, access: allAccess)
        try region.check(timeoutMilliseconds: 30_000)
        tell("before", "works")
        try device.reset()
        let start = monotonicNanoseconds()
        tellError("lost") { () throws(PeerMRError) in try region.check(timeoutMilliseconds: 30_000) }
        tell("microseconds", "\(microseconds(since: start))")
        tellError("proof") { () throws(PeerMRError) in
            _ = try region.prove(ProofOptions(byteCount: 4096, timeoutMilliseconds: 30_000))
        }
    }
    let again = try PeerRegion(
        registering: try device.export(bar: bar, offset: 0, byteCount: 4096), on: domain, access: allAccess)
    try again.check(timeoutMilliseconds: 30_000)
    tell("anew", "works")
}

/// What cannot be registered of a dma-buf, on a device that imports them: DEVICE MEMORY.
func regionRefusals(_ words: [String]) throws(PeerMRError) {
    let domain = try domain(words)
    let memory = try memory(words[1])
    let descriptor = memory.buffer.descriptor
    let size = memory.buffer.byteCount
    func attempt(
        _ name: String, _ number: Int32, _ offset: UInt64, _ count: UInt64, _ address: UInt64? = nil,
        _ access: Access = allAccess
    ) {
        tellError(name) { () throws(PeerMRError) in
            let range = DMABufRange(of: number, offset: offset, byteCount: count, ioAddress: address)
            _ = try MemoryRegion(registering: Unchecked(range), on: domain, access: access)
        }
    }
    attempt("good", descriptor, 0, size)
    attempt("wrong offset", descriptor, size, 1)
    attempt("wrong length", descriptor, 0, size + 1)
    attempt("length 0", descriptor, 0, 0)
    attempt("length 2^63", descriptor, 0, 1 << 63)
    attempt("misaligned", descriptor, 0, 4096, 1)
    attempt("inside a page", descriptor, 100, 200, 0x7000_0000_0064)
    attempt("on demand", descriptor, 0, 4096, nil, [.localWrite, .onDemand])
    attempt("remote write only", descriptor, 0, 4096, nil, [.remoteWrite])
    let closed = dup(descriptor)
    close(closed)
    attempt("closed", closed, 0, 4096)
    let file = unsafe open("/proc/self/exe", O_RDONLY)
    attempt("file", file, 0, 4096, nil, [.remoteRead])
    close(file)
    // An exporter that hands out for reading only: dma-heap does when asked so.
    if let reading = readOnlyBuffer() {
        attempt("read only", reading, 0, 4096)
        attempt("read only, for reading", reading, 0, 4096, nil, [.remoteRead])
        close(reading)
    }
    let input = dup(0)
    dup2(descriptor, 0)
    attempt("descriptor 0", 0, 0, 4096)
    if input >= 0 {
        dup2(input, 0)
        close(input)
    } else {
        close(0)
    }
}

/// A page of the system heap, open for reading; nil where there is no such heap.
private func readOnlyBuffer() -> Int32? {
    let heap = unsafe open("/dev/dma_heap/system", O_RDWR | O_CLOEXEC)
    guard heap >= 0 else { return nil }
    defer { close(heap) }
    // struct dma_heap_allocation_data: length, descriptor, its flags, flags of the heap.
    var request: [3 of UInt64] = [4096, UInt64(UInt32(bitPattern: O_RDONLY | O_CLOEXEC)) << 32, 0]
    let allocate: UInt = 0xc018_4800
    guard unsafe ioctl(heap, allocate, &request) == 0 else { return nil }
    return Int32(truncatingIfNeeded: request[1])
}

/// Registers and deregisters many times: DEVICE MEMORY TIMES.
func regionAgain(_ words: [String]) throws(PeerMRError) {
    let domain = try domain(words)
    for _ in 0..<(Int(words[2]) ?? 1) { _ = try region(words, domain) }
    tell("registered", words[2])
}

/// A range of any descriptor, as nothing has checked it.
private final class Unchecked: Memory {
    let kind = MemoryKind.dmabuf
    let byteCount = 0
    private let range: DMABufRange

    init(_ range: DMABufRange) { self.range = range }

    func backing(for access: Access) -> MemoryBacking { .dmaBuf(range) }
    func read(into bytes: inout MutableRawSpan, at offset: Int) throws(PeerMRError) {}
    func write(_ bytes: RawSpan, at offset: Int) throws(PeerMRError) {}
}
