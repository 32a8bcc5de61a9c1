// SPDX-License-Identifier: Apache-2.0

import PeerMR

/// What `rping` sends: where memory is, 16 bytes with the highest byte of each number first. A go-ahead has the same
/// length, and its content means nothing.
struct Advertisement: Hashable {
    var remote: RemoteAddress
    var byteCount: UInt32

    static let encodedBytes = 16

    var encoded: [UInt8] { bigEndian(remote.address) + bigEndian(remote.key) + bigEndian(byteCount) }

    init(_ remote: RemoteAddress, byteCount: UInt32) {
        self.remote = remote
        self.byteCount = byteCount
    }

    /// Reads an advertisement; nil unless there are 16 bytes.
    init?(_ bytes: UnsafeRawBufferPointer) {
        guard bytes.count == Self.encodedBytes, let start = bytes.baseAddress else { return nil }
        self.init(
            RemoteAddress(
                address: UInt64(bigEndian: unsafe start.loadUnaligned(as: UInt64.self)),
                key: UInt32(bigEndian: unsafe start.loadUnaligned(fromByteOffset: 8, as: UInt32.self))),
            byteCount: UInt32(bigEndian: unsafe start.loadUnaligned(fromByteOffset: 12, as: UInt32.self)))
    }
}

/// The text that `rping` sends as its ping: `rdma-ping-7: `, then letters of which each ping begins with the next, and
/// a zero as the last byte.
enum PingText {
    /// The fewest bytes that `rping` takes.
    static let shortest = 24
    private static let first: UInt8 = 65
    private static let last: UInt8 = 122

    /// Writes the text of a ping; by the processor, also where the memory is a device's.
    @inline(never)
    static func write(ping: Int, to address: UInt, count: Int) {
        guard let bytes = unsafe UnsafeMutablePointer<UInt8>(bitPattern: address) else { return }
        for index in 0..<count { unsafe bytes[index] = byte(at: index, of: ping, count: count) }
    }

    /// Where the first byte is that differs from the text of a ping; -1 where none does.
    @inline(never)
    static func firstDifference(ping: Int, at address: UInt, count: Int) -> Int {
        guard let bytes = unsafe UnsafePointer<UInt8>(bitPattern: address) else { return 0 }
        for index in 0..<count where unsafe bytes[index] != byte(at: index, of: ping, count: count) { return index }
        return -1
    }

    /// One byte of the text, computed for itself alone.
    static func byte(at index: Int, of ping: Int, count: Int) -> UInt8 {
        if index == count - 1 { return 0 }
        let digits = decimalDigits(ping)
        let head = 10 + digits + 2
        switch index {
        case 0..<10: return prefixByte(index)
        case 10..<10 + digits: return digit(ping, 10 + digits - 1 - index)
        case 10 + digits: return 58
        case 11 + digits: return 32
        default:
            let letters = Int(last - first) + 1
            return first + UInt8((ping + index - head) % letters)
        }
    }

    private static func prefixByte(_ index: Int) -> UInt8 {
        // "rdma-ping-" as two numbers: a string would count references.
        index < 8
            ? UInt8(truncatingIfNeeded: 0x7264_6d61_2d70_696e as UInt64 >> UInt64(56 - index * 8))
            : UInt8(truncatingIfNeeded: 0x672d as UInt64 >> UInt64((9 - index) * 8))
    }

    private static func decimalDigits(_ number: Int) -> Int {
        var count = 1
        var left = number / 10
        while left > 0 {
            count += 1
            left /= 10
        }
        return count
    }

    private static func digit(_ number: Int, _ place: Int) -> UInt8 {
        var left = number
        for _ in 0..<place { left /= 10 }
        return 48 + UInt8(left % 10)
    }
}
