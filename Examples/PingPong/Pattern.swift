// SPDX-License-Identifier: Apache-2.0

/// Bytes of messages, each computed by itself.
protocol MessagePattern {
    static func byte(at index: Int, of message: Int, count: Int) -> UInt8
}

extension MessagePattern {
    /// Writes a message; by the processor, also where the memory is a device's.
    @inline(never)
    static func write(message: Int, to address: UInt, count: Int) {
        guard let bytes = unsafe UnsafeMutablePointer<UInt8>(bitPattern: address) else { return }
        for index in 0..<count { unsafe bytes[index] = byte(at: index, of: message, count: count) }
    }

    /// Where the first byte is that differs from a message; -1 where none does.
    @inline(never)
    static func firstDifference(message: Int, at address: UInt, count: Int) -> Int {
        guard let bytes = unsafe UnsafePointer<UInt8>(bitPattern: address) else { return 0 }
        for index in 0..<count where unsafe bytes[index] != byte(at: index, of: message, count: count) { return index }
        return -1
    }
}

/// Bytes that tell where they belong, and to which message.
///
/// The first byte of each page is 0 in messages of more than one byte: `ibv_rc_pingpong --chk` wants it so.
enum Pattern: MessagePattern {
    /// The smallest page of any machine: the other end's pages may be larger, and begin at such places too.
    private static let smallestPageBytes = 4096

    @inline(__always)
    static func byte(at index: Int, of message: Int, count: Int) -> UInt8 {
        if index & (smallestPageBytes - 1) == 0, count > 1 { return 0 }
        let mixed =
            UInt32(truncatingIfNeeded: index) &* 0x9e37_79b1 &+ UInt32(truncatingIfNeeded: message) &* 0x85eb_ca6b
        return UInt8(truncatingIfNeeded: mixed >> 24)
    }
}

/// Which bytes are validated, and where they are in this process.
struct PatternCheck: BitwiseCopyable {
    /// Whether anything is written or compared at all.
    var isOn: Bool
    /// Whether the first message may hold anything, because the other end sends back what it gets.
    var mayEcho: Bool
    /// Whether the addresses are those of a ``StagingBuffer``, whose bytes go through their owner.
    var isStaged: Bool
    /// The address of what is sent.
    var outgoing: UInt
    /// The address of what is received.
    var incoming: UInt

    /// Overwrites what was received, so that the same bytes must come again.
    @inline(never)
    func scrub(count: Int) {
        guard let bytes = unsafe UnsafeMutablePointer<UInt8>(bitPattern: incoming) else { return }
        for index in 0..<count { unsafe bytes[index] = 0xee }
    }
}
