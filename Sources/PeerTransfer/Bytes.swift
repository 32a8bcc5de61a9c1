// SPDX-License-Identifier: Apache-2.0

/// Writes little-endian integers one after the other.
struct ByteWriter {
    private(set) var bytes: [UInt8] = []

    mutating func put(_ value: some FixedWidthInteger & UnsignedInteger) {
        for shift in stride(from: 0, to: value.bitWidth, by: 8) {
            bytes.append(UInt8(truncatingIfNeeded: value >> shift))
        }
    }
}

/// Reads little-endian integers one after the other.
struct ByteReader {
    private let bytes: [UInt8]
    private var position = 0

    init(_ bytes: [UInt8]) { self.bytes = bytes }

    /// The next integer; nil where there are too few bytes left.
    mutating func take<T: FixedWidthInteger & UnsignedInteger>(_ type: T.Type) -> T? {
        let count = T.bitWidth / 8
        guard position + count <= bytes.count else { return nil }
        var value: T = 0
        for index in 0..<count {
            value |= T(truncatingIfNeeded: bytes[position + index]) << T(index * 8)
        }
        position += count
        return value
    }
}
