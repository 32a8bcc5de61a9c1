// SPDX-License-Identifier: Apache-2.0
//
// memory-probe: opens memory by its specification, moves bytes through its owner's side, registers it, and uses regions
// while their memory is revoked. For the tests in the lab.
//
//   memory-probe COMMAND ARGUMENT...
//
// Each line of standard output is one thing that was found: `NAME: VALUE`, or `NAME: CODE: SENTENCE` for an error that
// was thrown. At the end it says how many descriptors are open that were not at the start.

import Glibc
import PeerMR

@main
struct MemoryProbe {
    static func main() {
        var words = Array(CommandLine.arguments.dropFirst())
        guard let name = words.first, let command = commands[name] else {
            stop("usage: memory-probe \(commands.keys.sorted().joined(separator: "|")) ARGUMENT...")
        }
        words.removeFirst()
        // The library keeps one to ask what is mapped.
        let somewhere = UnsafeMutableRawPointer.allocate(byteCount: 1, alignment: 1)
        _ = try? unsafe UserMemory(at: UInt64(UInt(bitPattern: somewhere)), byteCount: 1)
        unsafe somewhere.deallocate()
        let before = descriptors()
        do throws(PeerMRError) {
            try command(words)
        } catch {
            tell("error", error)
        }
        tell("leaked", "\(descriptors().subtracting(before).sorted())")
    }

    static func stop(_ reason: String) -> Never {
        put("memory-probe: \(reason)\n", 2)
        exit(1)
    }
}

/// What can be tried, by its name on the command line.
private let commands: [String: @Sendable ([String]) throws(PeerMRError) -> Void] = [
    "open": openMemory, "zero": descriptorZero, "refusals": dmaBufRefusals, "identity": identity, "again": openAgain,
    "vfio-owner": vfioOwner, "vfio-ranges": vfioRanges, "vfio-refusals": vfioRefusals, "vfio-busy": vfioBusy,
    "vfio-reset": vfioReset, "vfio-hold": vfioHold,
    "drive": drive, "imports": imports, "region-prove": regionProve, "region-hold": regionHold, "region-reset": regionReset,
    "region-refusals": regionRefusals, "region-again": regionAgain, "region-chunks": regionChunks,
    "region-stale": regionStale, "region-stale-reset": regionStaleReset, "region-by-address": regionByAddress,
    "region-provider-gone": regionProviderGone, "region-populate": regionPopulate,
]

/// Prints one thing that was found, at once.
func tell(_ name: String, _ value: String) { put("\(name): \(value)\n", 1) }

/// Prints an error.
func tell(_ name: String, _ error: PeerMRError) { tell(name, "\(error.code.jsonName): \(error)") }

/// Prints the error that something throws, or that it throws none.
func tellError(_ name: String, _ body: () throws(PeerMRError) -> Void) {
    do throws(PeerMRError) {
        try body()
        tell(name, "no error")
    } catch {
        tell(name, error)
    }
}

private func put(_ text: String, _ descriptor: Int32) {
    let bytes = Array(text.utf8)
    _ = unsafe bytes.withUnsafeBytes { unsafe Glibc.write(descriptor, $0.baseAddress, $0.count) }
}

/// The descriptors below 256 that are open.
private func descriptors() -> Set<Int32> {
    Set((0..<256).filter { fcntl($0, F_GETFD) >= 0 })
}

/// Bytes that differ at every place, other ones for each seed.
func pattern(_ count: Int, _ seed: UInt64) -> [UInt8] {
    var state = seed
    return (0..<count).map { _ in
        state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
        return UInt8(truncatingIfNeeded: state >> 56)
    }
}

extension Memory {
    /// Reads as an array.
    func bytes(at offset: Int, count: Int) throws(PeerMRError) -> [UInt8] {
        var bytes = [UInt8](repeating: 0xee, count: count)
        var span = bytes.mutableSpan
        var raw = unsafe span.mutableBytes
        try read(into: &raw, at: offset)
        return bytes
    }

    /// Writes an array.
    func put(_ bytes: [UInt8], at offset: Int) throws(PeerMRError) {
        try unsafe write(bytes.span.bytes, at: offset)
    }
}
