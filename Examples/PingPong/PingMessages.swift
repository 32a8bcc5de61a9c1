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
enum PingText: MessagePattern {
    /// The fewest bytes that `rping` takes.
    static let shortest = 24
    private static let first: UInt8 = 65
    private static let last: UInt8 = 122

    /// One byte of the text, computed for itself alone.
    static func byte(at index: Int, of ping: Int, count: Int) -> UInt8 {
        // A String would count references.
        let head: StaticString = "rdma-ping-"
        let start = head.utf8CodeUnitCount
        var end = start + 1
        var left = ping
        while left >= 10 {
            left /= 10
            end += 1
        }
        switch index {
        case count - 1: return 0
        case 0..<start: return unsafe head.utf8Start[index]
        case start..<end:
            left = ping
            for _ in index + 1..<end { left /= 10 }
            return 48 + UInt8(left % 10)
        case end: return UInt8(ascii: ":")
        case end + 1: return UInt8(ascii: " ")
        default: return first + UInt8((ping + index - end - 2) % Int(last - first + 1))
        }
    }
}
