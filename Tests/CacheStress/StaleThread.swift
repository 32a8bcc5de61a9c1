// SPDX-License-Identifier: Apache-2.0

import CFakeVerbs
import Glibc
import PeerMR
import Synchronization
import TestSupport

/// One thread's share of the cycles, with addresses, files and PCI functions of its own.
struct StaleThread {
    private let stale: StaleRun
    private let stage: StaleStage
    private let number: Int
    private var random: UInt64
    /// What is written at the beginning of each page of new memory.
    private var generation: UInt64
    private let area: UnsafeMutableRawPointer
    /// What stands in place of /proc and /sys: what is mapped at the area is told here.
    private let folder = TemporaryFolder()
    private let provider: PCIAddress
    private static let pages = 8
    private static let bytes = pages * 4096
    private static let rights: [Access] = [[.localWrite], [.localWrite, .remoteRead], [.localWrite, .remoteWrite]]

    init(_ run: StaleRun, _ stage: StaleStage, _ number: Int, _ seed: UInt64) throws {
        stale = run
        self.stage = stage
        self.number = number
        random = seed &* 0x9e37_79b9_7f4a_7c15 &+ UInt64(number + 1)
        generation = UInt64(number + 1) << 48
        // Never unmapped: the cache has regions over it to the end.
        area = mmap(nil, Self.bytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0)
        guard area != MAP_FAILED, let provider = PCIAddress("0000:\(number % 10)0:00.0") else {
            throw PeerMRError(.resourceLimit, reason: "no addresses")
        }
        self.provider = provider
        folder.poolOf(provider)
        folder.folder("proc/self/fd")
        folder.file("proc/self/maps", "")
    }

    private mutating func next(_ limit: Int) -> Int {
        random = random &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
        return Int(random >> 33) % limit
    }

    mutating func cycle(_ reader: inout CacheReader) throws {
        reader.advance()
        switch next(4) {
        case 0: try reuseDescriptor()
        case 1: try turnAddress()
        case 2: try reset(&reader)
        default: try unplug()
        }
    }

    // MARK: - What happens to memory

    /// A descriptor is closed, and its number is another buffer's.
    private mutating func reuseDescriptor() throws {
        let first = try newFile()
        do {
            let memory = try DMABufMemory(duplicating: first)
            try lookUp(memory, .file(first))
            if next(3) == 0 { try stage.cache.invalidate(memory) }
        }
        close(first)
        let second = try newFile()
        if second == first { stale.turns.add(1, ordering: .relaxed) }
        // The cache's memory owns this one: its number goes when the region does.
        let memory = try DMABufMemory(adopting: second)
        try lookUp(memory, .file(second))
        if next(2) == 0 { try stage.cache.invalidate(memory) }
    }

    /// One address is peer memory, a dma-buf and host memory in turn.
    private mutating func turnAddress() throws {
        for _ in 0..<3 {
            stale.turns.add(1, ordering: .relaxed)
            switch next(3) {
            case 0: try asPeerMemory()
            case 1: try asBuffer()
            default: try asHostMemory()
            }
        }
    }

    private mutating func asPeerMemory() throws {
        let file = try newFile()
        defer { close(file) }
        try map(file)
        folder.replace("proc/self/maps", line("00:20 15926   /sys/bus/pci/devices/\(provider)/p2pmem/allocate"))
        try lookUpArea(.address)
    }

    private mutating func asBuffer() throws {
        let file = try newFile()
        defer { close(file) }
        try map(file)
        var status = stat()
        guard fstat(file, &status) == 0 else { throw PeerMRError(.system, reason: "fstat") }
        let device = "\(String(status.st_dev >> 8, radix: 16)):\(String(status.st_dev & 0xff, radix: 16))"
        folder.replace("proc/self/maps", line("\(device) \(status.st_ino)   /dmabuf:"))
        folder.replace("proc/self/fd/\(file)", "")
        defer { folder.remove("proc/self/fd/\(file)") }
        try lookUpArea(.file(file))
    }

    private mutating func asHostMemory() throws {
        guard mmap(area, Self.bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) == area
        else {
            throw PeerMRError(.resourceLimit, reason: "mmap")
        }
        generation += 1
        for page in 0..<Self.pages { (area + page * 4096).storeBytes(of: generation, as: UInt64.self) }
        let arena = unsafe try HostArena(at: area, byteCount: Self.bytes)
        if next(2) == 0 {
            folder.replace("proc/self/maps", line("00:00 0").replacing("rw-s", with: "rw-p"))
            try lookUpByAddress(.address, [arena])
        } else {
            try lookUp(arena, .address)
        }
        // What an arena's owner has to do before other memory is there.
        try stage.cache.invalidate(arena)
    }

    /// A completion with an error tells of a reset: the region is dead, and what is registered next is another.
    private mutating func reset(_ reader: inout CacheReader) throws {
        let file = try newFile()
        defer { close(file) }
        let memory = try FunctionMemory(file, of: provider, byteCount: Self.bytes)
        let request = try stage.cache.request(for: memory, on: stage.domain, access: Self.rights[1])
        let dead: RegionKeys
        do {
            let lease = try stage.cache.lease(request)
            check(lease.keys, .file(file), Self.rights[1])
            dead = lease.keys
            _ = reader.keys(request, at: 0, count: Self.bytes)
            lease.invalidate()
            if let keys = reader.keys(request, at: 0, count: Self.bytes), keys.localKey == dead.localKey {
                stale.report("a reader gives \(keys) of a region that has ended")
            }
            let other = try stage.cache.lease(request, at: 4096, count: 4096)
            if other.keys.localKey == dead.localKey { stale.report("a lease of \(other.keys), which has ended") }
            check(other.keys, .file(file), Self.rights[1])
        }
        reader.advance()
        // Else another thread's reader may be what keeps it.
        if stale.threads == 1, fake_verbs_coverage(dead.localKey).is_live != 0 {
            stale.report("\(dead) is registered after its last lease")
        }
    }

    /// A function goes, with its driver and its memory, and another one is there by its address.
    private mutating func unplug() throws {
        let first = try newFile()
        let memory = try FunctionMemory(first, of: provider, byteCount: Self.bytes)
        let request = try stage.cache.request(for: memory, on: stage.domain, access: Self.rights[next(3)])
        do {
            let lease = try stage.cache.lease(request)
            check(lease.keys, .file(first), request.access)
            memory.takeBack()
            try stage.cache.invalidate(provider: provider)
        }
        close(first)
        do throws(PeerMRError) {
            let lease = try stage.cache.lease(request)
            stale.report("\(lease.keys) of memory of a function that is gone")
        } catch {
            if error.code != .memoryRevoked { throw error }
        }
        let second = try newFile()
        defer { close(second) }
        if first == second { stale.turns.add(1, ordering: .relaxed) }
        try lookUp(try FunctionMemory(second, of: provider, byteCount: Self.bytes), .file(second))
    }

    // MARK: - What is right

    /// What a key has to be of.
    private enum Backing {
        case file(Int32)
        case address
    }

    /// Several lookups of one memory, most of which find what the first registered.
    private mutating func lookUp(_ memory: any Memory, _ backing: Backing) throws {
        let access = Self.rights[next(3)]
        let request = try stage.cache.request(
            for: memory, on: stage.domain, access: access, widening: next(2) == 0 ? .buffer : .none)
        for _ in 0..<3 {
            let first = next(Self.pages)
            let lease = try stage.cache.lease(request, at: first * 4096, count: (1 + next(Self.pages - first)) * 4096)
            check(lease.keys, backing, access)
        }
    }

    /// What is mapped at the area, as memory of the application's or by its address alone.
    private mutating func lookUpArea(_ backing: Backing) throws {
        guard next(2) == 0 else { return try lookUpByAddress(backing) }
        try lookUp(
            unsafe UserMemory(at: UInt64(UInt(bitPattern: area)), byteCount: UInt64(Self.bytes), root: folder.root),
            backing)
    }

    private mutating func lookUpByAddress(_ backing: Backing, _ arenas: [HostArena] = []) throws {
        let access = Self.rights[next(3)]
        let request = try stage.cache.addressRequest(
            on: stage.domain, access: access, widening: next(2) == 0 ? .buffer : .none, arenas: arenas,
            root: folder.root)
        for _ in 0..<3 {
            let first = next(Self.pages)
            let address = UInt64(UInt(bitPattern: area)) + UInt64(first * 4096)
            let lease = try stage.cache.lease(request, at: address, count: (1 + next(Self.pages - first)) * 4096)
            if lease.keys.address != address { stale.report("\(lease.keys) is not at \(address)") }
            check(lease.keys, backing, access)
        }
    }

    private func check(_ keys: RegionKeys, _ backing: Backing, _ access: Access) {
        stale.keys.add(1, ordering: .relaxed)
        for key in [keys.localKey, keys.remoteKey] {
            let seen = fake_verbs_coverage(key)
            var status = stat()
            let isRight =
                switch backing {
                case .file(let file):
                    fstat(file, &status) == 0 && seen.inode == status.st_ino && seen.device == UInt64(status.st_dev)
                case .address: seen.inode == 0 && seen.address >= UInt64(UInt(bitPattern: area))
                }
            let remote: Access = [.remoteRead, .remoteWrite]
            guard seen.is_live != 0, isRight, seen.stamp == generation, keys.address >= seen.iova,
                keys.address + keys.byteCount <= seen.iova + seen.byte_count,
                Access(rawValue: seen.access).intersection(remote) == access.intersection(remote)
            else {
                stale.report("\(keys) for \(access) of \(generation): it opens \(seen)")
                return
            }
        }
    }

    // MARK: - Memory

    private mutating func newFile() throws -> Int32 {
        let file = fake_verbs_memory_file()
        guard file >= 0, ftruncate(file, Self.bytes) == 0 else { throw PeerMRError(.resourceLimit, reason: "no file") }
        generation += 1
        var stamp = generation
        for page in 0..<Self.pages { pwrite(file, &stamp, 8, page * 4096) }
        return file
    }

    private func map(_ file: Int32) throws {
        guard mmap(area, Self.bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, file, 0) == area else {
            throw PeerMRError(.resourceLimit, reason: "mmap")
        }
    }

    /// A line of /proc/self/maps about the area.
    private func line(_ object: String) -> String {
        let start = UInt(bitPattern: area)
        return "\(String(start, radix: 16))-\(String(start + UInt(Self.bytes), radix: 16)) rw-s 00000000 \(object)\n"
    }
}

extension TemporaryFolder {
    /// What P2PPool reads of a function.
    fileprivate func poolOf(_ provider: PCIAddress) {
        let place = "sys/bus/pci/devices/\(provider)/p2pmem"
        file("\(place)/size", "65536\n")
        file("\(place)/available", "65536\n")
        file("\(place)/allocate", [UInt8](repeating: 0xa5, count: 4096))
    }

    /// Writes a file that is there, or whose folder is.
    fileprivate func replace(_ relative: String, _ text: String) {
        let file = Glibc.open(path.appending(relative).string, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0o600)
        var text = text
        text.withUTF8 { _ = Glibc.write(file, $0.baseAddress, $0.count) }
        close(file)
    }

    fileprivate func remove(_ relative: String) { unlink(path.appending(relative).string) }
}
