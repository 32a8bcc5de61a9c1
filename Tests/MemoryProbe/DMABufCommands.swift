// SPDX-License-Identifier: Apache-2.0

import Glibc
import PeerMR

/// The dma-buf of a specification.
func memory(_ text: String) throws(PeerMRError) -> any DMABufBacked {
    guard let memory = try MemorySpecification(text).open() as? any DMABufBacked else {
        MemoryProbe.stop("\(text) is no dma-buf")
    }
    return memory
}

/// Opens memory, says what it is, and moves bytes in and out at its beginning, across a page, and at its end.
func openMemory(_ words: [String]) throws(PeerMRError) {
    let specification = try MemorySpecification(words[0])
    tell("specification", "\(specification)")
    let opened = try specification.open()
    tell("kind", opened.kind.rawValue)
    tell("bytes", "\(opened.byteCount)")
    tell("provider", opened.provider.map { "\($0)" } ?? "none")
    guard let memory = opened as? any DMABufBacked else { return }
    tell("exporter", memory.buffer.exporter)
    tell("whole", "\(memory.buffer.byteCount)")
    tell("offset", "\(memory.offset)")
    tell("round trip", try roundTrip(memory))
}

/// Everything that was written at odd places is there, and nothing beside it changed.
private func roundTrip(_ memory: any Memory) throws(PeerMRError) -> String {
    let count = memory.byteCount
    let all = pattern(count, 1)
    try memory.put(all, at: 0)
    guard try memory.bytes(at: 0, count: count) == all else { return "unequal at once" }
    var wanted = all
    for (place, length) in [(0, 1), (1, 7), (4090, 13), (count - 3, 3), (count / 2 - 5, 4097), (8191, 2)]
    where place >= 0 && place + length <= count {
        let piece = pattern(length, UInt64(place))
        try memory.put(piece, at: place)
        wanted.replaceSubrange(place..<place + length, with: piece)
        guard try memory.bytes(at: place, count: length) == piece else { return "unequal at \(place)" }
    }
    return try memory.bytes(at: 0, count: count) == wanted ? "equal" : "unequal after all"
}

/// A dma-buf at descriptor 0, adopted and duplicated.
func descriptorZero(_ words: [String]) throws(PeerMRError) {
    let first = try memory(words[0])
    try first.put(pattern(64, 7), at: 100)
    let input = dup(0)
    guard dup2(first.buffer.descriptor, 0) == 0 else { MemoryProbe.stop("dup2 failed") }
    do {
        let second = try DMABufMemory(duplicating: 0, offset: 4096, byteCount: 4096)
        tell("duplicated", "\(second.buffer.descriptor != 0) \(second.offset) \(second.byteCount)")
    }
    tell("open after the duplicate", "\(fcntl(0, F_GETFD) >= 0)")
    do {
        let third = try DMABufMemory(adopting: 0)
        tell("adopted", "\(third.buffer.descriptor) \(third.buffer.exporter) \(third.byteCount)")
        tell("same bytes", "\(try third.bytes(at: 100, count: 64) == pattern(64, 7))")
        tell("same identity", "\(third.buffer.identity == first.buffer.identity)")
        try third.put(pattern(64, 8), at: 100)
    }
    tell("open after the adopted", "\(fcntl(0, F_GETFD) >= 0)")
    tell("written back", "\(try first.bytes(at: 100, count: 64) == pattern(64, 8))")
    if input >= 0 {
        dup2(input, 0)
        close(input)
    }
}

/// What is no dma-buf, and ranges that lie outside. A descriptor that is refused stays open.
func dmaBufRefusals(_ words: [String]) throws(PeerMRError) {
    let good = try memory(words[0])
    let whole = good.buffer.byteCount
    var ends: [Int32] = [-1, -1]
    guard unsafe pipe(&ends) == 0 else { MemoryProbe.stop("pipe failed") }
    let file = unsafe open("/proc/self/exe", O_RDONLY)
    let closed = dup(file)
    close(closed)
    for (name, descriptor) in [("pipe", ends[0]), ("file", file), ("closed", closed), ("negative", -1)] {
        tellError(name) { () throws(PeerMRError) in _ = try DMABufMemory(adopting: descriptor) }
        tellError("\(name) duplicated") { () throws(PeerMRError) in _ = try DMABuf(duplicating: descriptor) }
    }
    tell("still open", "\(fcntl(ends[0], F_GETFD) >= 0 && fcntl(file, F_GETFD) >= 0)")
    for descriptor in ends + [file] { close(descriptor) }
    let descriptor = good.buffer.descriptor
    let parts: [(String, UInt64, UInt64)] = [
        ("length 0", 0, 0), ("length 2^63", 0, 1 << 63), ("offset 2^63", 1 << 63, 4096), ("overflow", .max, .max),
        ("one byte over", 0, whole + 1), ("at the end", whole, 1), ("one byte late", 1, whole),
    ]
    for (name, offset, byteCount) in parts {
        tellError(name) { () throws(PeerMRError) in
            _ = try DMABufMemory(adopting: descriptor, offset: offset, byteCount: byteCount)
        }
    }
    tell("usable", "\(try roundTrip(good))")
    tellError("owner past the end") { () throws(PeerMRError) in _ = try good.bytes(at: Int(whole), count: 1) }
    tellError("owner at 2^63 - 1") { () throws(PeerMRError) in try good.put([1], at: .max) }
    tellError("owner before it") { () throws(PeerMRError) in try good.put([1], at: -1) }
}

/// One buffer has one identity, and the owner's bytes are those that a mapping shows.
func identity(_ words: [String]) throws(PeerMRError) {
    let first = try memory(words[0])
    let second = try memory(words[0])
    let copy = try DMABuf(duplicating: first.buffer.descriptor)
    tell("duplicate", "\(copy.identity == first.buffer.identity)")
    tell("another", "\(second.buffer.identity == first.buffer.identity)")
    tell("writable", "\(copy.isWritable)")
    let view = try DMABufMemory(copy)
    let bytes = pattern(first.byteCount, 11)
    try first.put(bytes, at: 0)
    tell("owner to mapping", "\(try view.bytes(at: 0, count: bytes.count) == bytes)")
    try view.put(pattern(5000, 12), at: 4000)
    tell("mapping to owner", "\(try first.bytes(at: 4000, count: 5000) == pattern(5000, 12))")
}

/// Opens and closes memory many times.
func openAgain(_ words: [String]) throws(PeerMRError) {
    let times = Int(words[1]) ?? 0
    for _ in 0..<times {
        let memory = try memory(words[0])
        try memory.put([1, 2, 3], at: 0)
    }
    tell("opened", "\(times)")
}
