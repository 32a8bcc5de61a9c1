// SPDX-License-Identifier: Apache-2.0

import Glibc
import PeerMR

private func device(_ words: [String]) throws(PeerMRError) -> VFIODevice {
    guard let address = PCIAddress(words[0]) else { MemoryProbe.stop("\(words[0]) is no address") }
    return try VFIODevice(address)
}

private func bar(_ words: [String]) -> Int { Int(words[1]) ?? -1 }

/// The dma-buf of a BAR cannot be mapped, and a descriptor for reading cannot write.
func vfioOwner(_ words: [String]) throws(PeerMRError) {
    let device = try device(words)
    tell("exports", "\(device.exportsBuffers)")
    tell("size", "\(try device.region(bar: bar(words)).byteCount)")
    let memory = try device.export(bar: bar(words), writable: false)
    tell("writable", "\(memory.buffer.isWritable)")
    let view = try DMABufMemory(memory.buffer, provider: device.address)
    tellError("mapping") { () throws(PeerMRError) in _ = try view.bytes(at: 0, count: 8) }
    tellError("writing") { () throws(PeerMRError) in try view.put([1], at: 0) }
    // The first bytes of the BAR, for a look from outside.
    try memory.put(Array("peermr was here".utf8), at: 4096)
}

/// Parts of a BAR stand one after the other in the dma-buf, and one may be named twice.
func vfioRanges(_ words: [String]) throws(PeerMRError) {
    let device = try device(words)
    let p = pageBytes
    let page = UInt64(p)
    let whole = try device.export(bar: bar(words))
    let all = pattern(Int(4 * page), 21)
    try whole.put(all, at: 0)
    let ranges = [(2, 1), (0, 1), (2, 2)].map { VFIODevice.Range(offset: $0.0 * page, byteCount: $0.1 * page) }
    let parts = try device.export(bar: bar(words), ranges: ranges)
    tell("size", "\(parts.buffer.byteCount / page)")
    let wanted = all[2 * p..<3 * p] + all[..<p] + all[2 * p..<4 * p]
    tell("order", "\(try parts.bytes(at: 0, count: 4 * p) == Array(wanted))")
    // Across the border of two parts.
    try parts.put(pattern(100, 22), at: p - 50)
    tell("first half", "\(try whole.bytes(at: 3 * p - 50, count: 50) == Array(pattern(100, 22)[..<50]))")
    tell("second half", "\(try whole.bytes(at: 0, count: 50) == Array(pattern(100, 22)[50...]))")
}

/// BARs that are not there, parts that lie outside, parts that are not of pages.
func vfioRefusals(_ words: [String]) throws(PeerMRError) {
    let device = try device(words)
    for bar in [-1, 1, 5, 6] {
        tellError("BAR \(bar)") { () throws(PeerMRError) in _ = try device.export(bar: bar) }
    }
    tellError("small BAR") { () throws(PeerMRError) in _ = try device.export(bar: 0) }
    let size = try device.region(bar: 2).byteCount
    let ranges: [(String, UInt64, UInt64)] = [
        ("length 0", 0, 0), ("length 2^63", 0, 1 << 63), ("offset 2^63", 1 << 63, 4096), ("overflow", .max, .max),
        ("past the end", size, 4096), ("over the end", size - 4096, 8192), ("offset 512", 512, 4096),
        ("length 512", 0, 512),
    ]
    for (name, offset, byteCount) in ranges {
        tellError(name) { () throws(PeerMRError) in
            _ = try device.export(bar: 2, ranges: [VFIODevice.Range(offset: offset, byteCount: byteCount)])
        }
    }
    let inner = try device.export(bar: 2, offset: 5000, byteCount: 100)
    tell("inside pages", "\(inner.offset) \(inner.byteCount) \(inner.buffer.byteCount)")
}

/// Two cannot open it at once; after the first has closed it the next can.
func vfioBusy(_ words: [String]) throws(PeerMRError) {
    do {
        let first = try device(words)
        tellError("second") { () throws(PeerMRError) in _ = try device(words) }
        tell("first", "\(first.group)")
    }
    _ = try device(words)
    tell("after it", "open")
}

/// Memory outlives the variable of its device; after a reset it can be reached again.
func vfioReset(_ words: [String]) throws(PeerMRError) {
    let memory: VFIOMemory
    do {
        let device = try device(words)
        memory = try device.export(bar: bar(words))
        try memory.put(pattern(300, 31), at: 10)
        try device.reset()
    }
    tell("after the reset", "\(try memory.bytes(at: 10, count: 300) == pattern(300, 31))")
    tellError("second") { () throws(PeerMRError) in _ = try device(words) }
}

/// Holds the device open until standard input ends or half a minute has passed.
func vfioHold(_ words: [String]) throws(PeerMRError) {
    let device = try device(words)
    tell("holding", "\(device.address)")
    tellError("reset") { () throws(PeerMRError) in try device.reset() }
    sleep(UInt32(words.count > 1 ? words[1] : "30") ?? 30)
}
