// SPDX-License-Identifier: Apache-2.0

import Glibc
import PeerMR

/// One address is p2pmem, p2pmem that was mapped anew, a udmabuf and host memory in turn; each is looked up in a cache
/// by its address alone, and what the lease's region moves is compared: DEVICE BDF TIMES. Without dma-bufs on a device
/// that imports none.
func regionByAddress(_ words: [String]) throws(PeerMRError) {
    let probe = try AddressProbe(device: words[0], pool: words[1])
    for round in 0..<(Int(words[2]) ?? 1) {
        try probe.asPeerMemory(again: false)
        // Other pages of the pool, which nothing distinguishes: the region follows what is mapped.
        try probe.asPeerMemory(again: true)
        if probe.imports { try probe.asBuffer() }
        try probe.asHostMemory()
        if round == 0 { try probe.measure() }
    }
    let seen = try probe.cache.statistics()
    tell("proven", "\(probe.proven)")
    tell("stale", "\(probe.stale)")
    tell("refused", "\(probe.refused)")
    tell("found", "\(seen.hits - probe.measured)")
    tell("registered", "\(seen.misses)")
    tell("ended", "\(seen.invalidations[.range] ?? 0)")
    tell("nanoseconds", "\(probe.nanoseconds)")
}

/// A function's memory is looked up by its address and by its object, and the function goes: DEVICE BDF HOW TIMES. HOW
/// is `waits`, for another who takes it away, or `unbinds`, and binds again. No key that the cache gives may move
/// anything then, and none at all is given once a lease was found dead.
func regionProviderGone(_ words: [String]) throws(PeerMRError) {
    let probe = try AddressProbe(device: words[0], pool: words[1])
    for _ in 0..<(Int(words[3]) ?? 1) {
        try probe.asPeerMemory(again: nil)
        let own = probe.provider.flatMap { try? P2PMemory(allocating: 8192, from: $0) }
        guard let own else { MemoryProbe.stop("no memory of \(words[1])") }
        try probe.look(own)
        tell("ready", "yes")
        if words[2] == "unbinds" { probe.setBound(false) }
        probe.waitUntil(isThere: false)
        probe.lookAtLoss(own)
        guard words[2] == "unbinds" else { break }
        probe.setBound(true)
        probe.waitUntil(isThere: true)
        // It is there again, and what is mapped is of its life before.
        tellError("again") { () throws(PeerMRError) in try probe.look(probe.request) }
    }
    let seen = try probe.cache.statistics()
    tell("proven", "\(probe.proven)")
    tell("stale", "\(probe.stale)")
    tell("dead", "\(probe.dead)")
    tell("refused", "\(probe.refused)")
    tell("loss", "\(seen.invalidations[.loss] ?? 0)")
    tell("regions", "\(seen.regions)")
}

/// A cache, and what was wrong with what it gave.
@safe
private final class AddressProbe {
    let cache: RegistrationCache
    let domain: ProtectionDomain
    let request: AddressRequest
    let imports: Bool
    private let pool: String
    private let area: UnsafeMutableRawPointer
    private var address: UInt64 { unsafe UInt64(UInt(bitPattern: area)) }
    private(set) var proven = 0
    private(set) var stale = 0
    private(set) var refused = 0
    private(set) var dead = 0
    private(set) var nanoseconds: UInt64 = 0
    private(set) var measured: UInt64 = 0
    private static let byteCount = 8192
    private static let rights: Access = [.localWrite, .remoteWrite, .remoteRead]

    init(device: String, pool: String) throws(PeerMRError) {
        domain = try ProtectionDomain(try Device(name: device).open())
        imports = domain.context.dmaBufSupport().isSupported == true
        cache = try RegistrationCache()
        request = try cache.addressRequest(on: domain, access: Self.rights)
        self.pool = pool
        let mapped = unsafe mmap(nil, Self.byteCount, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0)
        guard let mapped = unsafe mapped, unsafe mapped != MAP_FAILED else { MemoryProbe.stop("mmap") }
        unsafe area = unsafe mapped
    }

    private func map(_ file: Int32, _ flags: Int32) {
        let mapped = unsafe mmap(area, Self.byteCount, PROT_READ | PROT_WRITE, flags | MAP_FIXED, file, 0)
        if unsafe mapped != area { MemoryProbe.stop("mmap at an address") }
    }

    /// The proof compares with what is at the address now.
    func look(_ request: AddressRequest) throws(PeerMRError) {
        let lease = try cache.lease(request, at: address, count: Self.byteCount)
        if lease.keys.address != address { stale += 1 }
        try prove(lease)
    }

    /// The same by an object.
    func look(_ memory: any Memory) throws(PeerMRError) {
        try prove(try cache.lease(memory, on: domain, access: Self.rights))
    }

    private func prove(_ lease: borrowing RegionLease) throws(PeerMRError) {
        let state = try lease.withRegion { (region) throws(PeerMRError) -> Proof.State in
            try region.prove(ProofOptions(byteCount: 4096, timeoutMilliseconds: 60_000)).state
        }
        if state == .proven { proven += 1 } else { stale += 1 }
    }

    /// - Parameter again: over the same, and so found; nil where that does not matter.
    func asPeerMemory(again: Bool?) throws(PeerMRError) {
        let file = unsafe open("/sys/bus/pci/devices/\(pool)/p2pmem/allocate", O_RDWR | O_CLOEXEC)
        map(file, MAP_SHARED)
        close(file)
        let before = try cache.statistics().misses
        try look(request)
        if let again, (try cache.statistics().misses == before) != again { stale += 1 }
    }

    func asBuffer() throws(PeerMRError) {
        let buffer = try UDMABufMemory(allocating: UInt64(Self.byteCount))
        map(buffer.buffer.descriptor, MAP_SHARED)
        for _ in 0..<2 { try look(request) }
    }

    func asHostMemory() throws(PeerMRError) {
        map(-1, MAP_PRIVATE | MAP_ANONYMOUS)
        do throws(PeerMRError) {
            try look(request)
            stale += 1
        } catch {
            if error.code != .invalidArgument { throw error }
            refused += 1
        }
        let arena = try unsafe HostArena(at: area, byteCount: Self.byteCount)
        let request = try cache.addressRequest(on: domain, access: Self.rights, arenas: [arena])
        for _ in 0..<2 { try look(request) }
        try cache.invalidate(addresses: address..<address + 1)
    }

    var provider: PCIAddress? { PCIAddress(pool) }

    func setBound(_ isBound: Bool) {
        let file = unsafe open("/sys/bus/pci/drivers/nvme/\(isBound ? "bind" : "unbind")", O_WRONLY | O_CLOEXEC)
        let written = unsafe write(file, pool, pool.utf8.count)
        if written != pool.utf8.count { MemoryProbe.stop("cannot bind or unbind \(pool)") }
        close(file)
    }

    func waitUntil(isThere: Bool) {
        let door = "/sys/bus/pci/devices/\(pool)/p2pmem/allocate"
        for _ in 0..<1200 where (unsafe access(door, F_OK) == 0) != isThere { usleep(50_000) }
        if (unsafe access(door, F_OK) == 0) != isThere { MemoryProbe.stop("\(pool) is\(isThere ? " not" : "") there") }
    }

    /// By address, or by an object.
    private func lease(_ own: (any Memory)?) throws(PeerMRError) -> RegionLease {
        if let own { return try cache.lease(own, on: domain, access: Self.rights) }
        return try cache.lease(request, at: address, count: Self.byteCount)
    }

    private func move(_ lease: borrowing RegionLease) throws(PeerMRError) {
        _ = try lease.withRegion { (region) throws(PeerMRError) in try region.check(timeoutMilliseconds: 30_000) }
    }

    /// The memory is gone: what leases give moves nothing, the regions are dead from then on, and there are no others.
    func lookAtLoss(_ own: any Memory) {
        for memory in [nil, own] {
            tellError("lost") { () throws(PeerMRError) in
                let lease = try lease(memory)
                defer { lease.invalidate() }
                do throws(PeerMRError) {
                    try move(lease)
                } catch {
                    dead += 1
                    throw error
                }
                stale += 1
            }
            do throws(PeerMRError) {
                try move(try lease(memory))
                stale += 1
            } catch {
                tell("then", error)
                refused += 1
            }
        }
    }

    /// What a lookup that finds p2pmem by its address takes.
    func measure() throws(PeerMRError) {
        let file = unsafe open("/sys/bus/pci/devices/\(pool)/p2pmem/allocate", O_RDWR | O_CLOEXEC)
        map(file, MAP_SHARED)
        close(file)
        _ = try cache.lease(request, at: address, count: Self.byteCount)
        let count: UInt64 = 1000
        nanoseconds = .max
        for _ in 0..<20 {
            let began = now()
            for _ in 0..<count { _ = try cache.lease(request, at: address, count: Self.byteCount) }
            nanoseconds = min(nanoseconds, (now() - began) / count)
            measured += count
        }
        try cache.invalidate(addresses: address..<address + 1)
    }
}

private func now() -> UInt64 {
    var time = timespec()
    _ = unsafe clock_gettime(CLOCK_MONOTONIC, &time)
    return UInt64(time.tv_sec) * 1_000_000_000 + UInt64(time.tv_nsec)
}
