// SPDX-License-Identifier: Apache-2.0

import Glibc
import PeerMR

private let allAccess: Access = [.localWrite, .remoteWrite, .remoteRead]

/// A mapping of the host, of which no page is there: DEVICE BYTES. It is registered on demand, in one piece and in
/// chunks, and each chunk is proven at both ends.
func regionChunks(_ words: [String]) throws(PeerMRError) {
    let domain = try ProtectionDomain(try Device(name: words[0]).open())
    let byteCount = Int(words[1]) ?? 0
    let flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE
    let mapped = unsafe mmap(nil, byteCount, PROT_READ | PROT_WRITE, flags, -1, 0)
    guard let base = unsafe mapped, unsafe base != MAP_FAILED else { MemoryProbe.stop("mmap") }
    defer { _ = unsafe munmap(base, byteCount) }
    let arena = try unsafe HostArena(at: base, byteCount: byteCount)
    let access = allAccess.union(.onDemand)
    tellError("whole") { () throws(PeerMRError) in _ = try PeerRegion(registering: arena, on: domain, access: access) }
    let region = try PeerRegion.register([arena], on: [domain], access: access, concurrency: 4)[0, 0]
    tell("chunks", "\(region.chunkCount)")
    tell("chunk bytes", "\(region.chunkBytes)")
    tell("address", region.address == UInt64(UInt(bitPattern: base)) ? "right" : "wrong")
    var (proven, covered): (Int, UInt64) = (0, 0)
    guard let pieces = try? region.pieces(at: 0, count: region.byteCount) else { MemoryProbe.stop("no pieces") }
    for piece in pieces {
        if piece.address != region.address + covered { tell("gap", "\(covered)") }
        let state = try region.withRegion(at: covered) { (region) throws(PeerMRError) -> Proof.State in
            try region.prove(ProofOptions(byteCount: 8192, timeoutMilliseconds: 60_000)).state
        }
        if state == .proven { proven += 1 }
        covered += piece.byteCount
    }
    tell("covered", "\(covered)")
    tell("proven", "\(proven)")
}

/// One address is peer memory, a udmabuf and host memory in turn, and one descriptor's number several buffers; each is
/// looked up in a cache, and what the lease's region moves is compared: DEVICE BDF TIMES. Without dma-bufs on a device
/// that imports none.
func regionStale(_ words: [String]) throws(PeerMRError) {
    let stale = try StaleProbe(device: words[0], pool: words[1])
    for _ in 0..<(Int(words[2]) ?? 1) {
        try stale.turnAddress()
        try stale.reuseDescriptor()
    }
    let seen = try stale.cache.statistics()
    tell("proven", "\(stale.proven)")
    tell("stale", "\(stale.stale)")
    tell("reused", "\(stale.reused)")
    tell("registered", "\(seen.misses)")
    tell("found", "\(seen.hits)")
}

/// A function is reset under a lease: DEVICE BDF BAR.
func regionStaleReset(_ words: [String]) throws(PeerMRError) {
    let stale = try StaleProbe(device: words[0], pool: nil)
    guard let address = PCIAddress(words[1]), let bar = Int(words[2]) else { MemoryProbe.stop("BDF BAR") }
    let device = try VFIODevice(address)
    let memory = try device.export(bar: bar, offset: 0, byteCount: 4096)
    let lease = try stale.cache.lease(memory, on: stale.domain, access: allAccess)
    let dead = lease.keys.localKey
    try device.reset()
    tellError("lost") { () throws(PeerMRError) in
        _ = try lease.withRegion { (region) throws(PeerMRError) in try region.check(timeoutMilliseconds: 30_000) }
    }
    lease.invalidate()
    let again = try device.export(bar: bar, offset: 0, byteCount: 4096)
    let next = try stale.cache.lease(again, on: stale.domain, access: allAccess)
    tell("key", next.keys.localKey == dead ? "the dead one" : "another")
    _ = try next.withRegion { (region) throws(PeerMRError) in try region.check(timeoutMilliseconds: 30_000) }
    tell("anew", "works")
}

/// A cache, and what was wrong with what it gave.
@safe
private final class StaleProbe {
    let cache: RegistrationCache
    let domain: ProtectionDomain
    private let pool: String?
    private let imports: Bool
    private let area: UnsafeMutableRawPointer
    private(set) var proven = 0
    private(set) var stale = 0
    private(set) var reused = 0
    private static let byteCount = 8192

    init(device: String, pool: String?) throws(PeerMRError) {
        domain = try ProtectionDomain(try Device(name: device).open())
        imports = domain.context.dmaBufSupport().isSupported == true
        cache = try RegistrationCache(.init(regions: 6))
        self.pool = pool
        let mapped = unsafe mmap(nil, Self.byteCount, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0)
        guard let mapped = unsafe mapped, unsafe mapped != MAP_FAILED else { MemoryProbe.stop("mmap") }
        unsafe area = unsafe mapped
    }

    private func map(_ file: Int32, _ flags: Int32) {
        let wanted = PROT_READ | PROT_WRITE
        let mapped = unsafe mmap(area, Self.byteCount, wanted, flags | MAP_FIXED, file, 0)
        if unsafe mapped != area { MemoryProbe.stop("mmap at an address") }
    }

    private func here() throws(PeerMRError) -> UserMemory {
        try unsafe UserMemory(at: UInt64(UInt(bitPattern: area)), byteCount: UInt64(Self.byteCount))
    }

    /// Twice, so that the second finds what the first has registered. The proof compares with what is at the address
    /// now.
    private func look(_ memory: any Memory, _ kind: MemoryKind) throws(PeerMRError) {
        if memory.kind != kind { stale += 1 }
        for _ in 0..<2 {
            let lease = try cache.lease(memory, on: domain, access: allAccess)
            let state = try lease.withRegion { (region) throws(PeerMRError) -> Proof.State in
                try region.prove(ProofOptions(byteCount: 4096, timeoutMilliseconds: 60_000)).state
            }
            if state == .proven { proven += 1 } else { stale += 1 }
        }
    }

    func turnAddress() throws(PeerMRError) {
        if let pool {
            let file = unsafe open("/sys/bus/pci/devices/\(pool)/p2pmem/allocate", O_RDWR | O_CLOEXEC)
            map(file, MAP_SHARED)
            close(file)
            try look(try here(), .p2pmem)
        }
        if imports {
            let buffer = try UDMABufMemory(allocating: UInt64(Self.byteCount))
            map(buffer.buffer.descriptor, MAP_SHARED)
            try look(try here(), .dmabuf)
        }
        map(-1, MAP_PRIVATE | MAP_ANONYMOUS)
        let arena = try unsafe HostArena(at: area, byteCount: Self.byteCount)
        try look(arena, .host)
        try cache.invalidate(arena)
    }

    func reuseDescriptor() throws(PeerMRError) {
        var number: Int32 = -1
        for _ in 0..<(imports ? 2 : 0) {
            let buffer = try UDMABufMemory(allocating: UInt64(Self.byteCount))
            let copy = dup(buffer.buffer.descriptor)
            if copy == number { reused += 1 }
            number = copy
            defer { close(copy) }
            let marked = pattern(Self.byteCount, UInt64(proven))
            try buffer.put(marked, at: 0)
            let memory = try DMABufMemory(duplicating: copy)
            if try memory.bytes(at: 0, count: Self.byteCount) != marked { stale += 1 }
            try look(memory, .dmabuf)
            // What the proof has put back is there for the buffer's owner, too.
            if try buffer.bytes(at: 0, count: Self.byteCount) != marked { stale += 1 }
        }
    }
}

/// Registers new host memory as it is, and populated by one thread and by two, pinned and on demand: DEVICE BYTES RUNS.
/// What is told is a median in microseconds.
func regionPopulate(_ words: [String]) throws(PeerMRError) {
    let domain = try ProtectionDomain(try Device(name: words[0]).open())
    let (byteCount, runs) = (Int(words[1]) ?? 0, Int(words[2]) ?? 1)
    for (name, access) in [("pinned", allAccess), ("on demand", allAccess.union(.onDemand))] {
        var times: [String: [UInt64]] = [:]
        for _ in 0..<runs {
            // In turn, so that what disturbs the machine disturbs all.
            for threads in 0...2 {
                let memory = try HostMemory(allocating: byteCount)
                let set = try PeerRegion.register(
                    [memory], on: [domain], access: access, concurrency: max(1, threads),
                    prepare: threads == 0 ? .none : .populate)
                let way = threads == 0 ? "\(name), cold" : "\(name), populated by \(threads)"
                times["\(way), register", default: []].append(set.registrationNanoseconds / 1000)
                times["\(way), both", default: []].append(
                    (set.registrationNanoseconds + set.preparationNanoseconds) / 1000)
                let isAll = set.populatedBytes == (threads == 0 ? 0 : UInt64(byteCount))
                if !isAll { MemoryProbe.stop("\(way): \(set.populatedBytes) bytes were populated") }
            }
        }
        for (way, all) in times.sorted(by: { $0.key < $1.key }) { tell(way, "\(all.sorted()[all.count / 2])") }
    }
}
