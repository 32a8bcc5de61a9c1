// SPDX-License-Identifier: Apache-2.0

import CFakeVerbs
import PeerMR

/// One thread's share.
struct StressThread {
    private let stress: StressRun
    private let stage: StressStage
    private var random: UInt64
    private var requests: [RegionRequest] = []

    init(_ run: StressRun, _ stage: StressStage, _ number: Int) {
        stress = run
        self.stage = stage
        random = run.seed &* 0x9e37_79b9_7f4a_7c15 &+ UInt64(number + 1)
    }

    mutating func run() {
        do {
            for memory in stage.memories {
                for access: Access in [[.localWrite], [.localWrite, .remoteRead]] {
                    requests.append(
                        try stage.cache.request(
                            for: memory, on: stage.domain, access: access,
                            widening: next(4) == 0 ? .buffer : .none))
                }
            }
            var reader = try stage.cache.reader()
            for _ in 0..<stress.operations { try step(&reader) }
        } catch {
            stress.report("\(error)")
        }
    }

    private mutating func next(_ limit: Int) -> Int {
        random = random &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
        return Int(random >> 33) % limit
    }

    private mutating func step(_ reader: inout CacheReader) throws {
        let request = requests[next(requests.count)]
        let first = next(stage.pages)
        let (offset, count) = (first * 4096, (1 + next(stage.pages - first)) * 4096)
        switch next(1000) {
        case 0..<15: try stage.cache.invalidate(request.memory)
        case 15..<25: try stage.cache.invalidate(request.memory, offset..<offset + count)
        case 25: try stage.cache.invalidateAll()
        case 26..<40: try replaced(count)
        case 40..<300:
            if let keys = reader.keys(request, at: offset, count: count) { check(keys, request, offset, count) }
            if next(8) == 0 { reader.advance() }
        default:
            let lease = try stage.cache.lease(request, at: offset, count: count)
            check(lease.keys, request, offset, count)
            if next(4) == 0 { try compare(lease, request) }
            if next(200) == 0 { lease.invalidate() }
        }
    }

    /// The address tells whose region it is: no two memories have one in common, and all live.
    private func check(_ keys: RegionKeys, _ request: RegionRequest, _ offset: Int, _ count: Int) {
        let base = (request.memory as? HostMemory).map { UInt64(UInt(bitPattern: $0.baseAddress)) } ?? 0
        if keys.address != base + UInt64(offset) || keys.byteCount != UInt64(count) {
            stress.report("\(keys) are not of \(count) bytes at \(offset) of memory at \(base)")
        }
    }

    /// The region that the lease keeps is the one whose keys it has.
    private func compare(_ lease: borrowing RegionLease, _ request: RegionRequest) throws {
        let isRight = lease.withRegion { region in
            region.keys.localKey == lease.keys.localKey && region.keys.remoteKey == lease.keys.remoteKey
                && region.memory.identity == request.memory.identity && region.access.isSuperset(of: request.access)
        }
        if isRight != true { stress.report("a lease of \(lease.keys) is of another region") }
    }

    /// Memory that comes and goes: its address, and the number of its object, are used again.
    private mutating func replaced(_ count: Int) throws {
        let memory = try HostMemory(allocating: count)
        let lease = try stage.cache.lease(memory, on: stage.domain, access: [.localWrite])
        if lease.keys.address != UInt64(UInt(bitPattern: memory.baseAddress)) {
            stress.report("\(lease.keys) are not of new memory at \(memory.baseAddress)")
        }
    }
}
