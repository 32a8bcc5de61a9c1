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

extension ByteWriter {
    mutating func put(_ more: [UInt8]) { bytes += more }

    /// Zeros up to a length: fields that later versions may use.
    mutating func pad(to count: Int) { bytes += [UInt8](repeating: 0, count: max(0, count - bytes.count)) }
}

/// Reads little-endian integers one after the other.
struct ByteReader {
    private let bytes: [UInt8]
    private var position = 0

    init(_ bytes: [UInt8]) { self.bytes = bytes }

    /// The next so many bytes; nil where there are too few left.
    mutating func take(count: Int) -> [UInt8]? {
        guard position + count <= bytes.count else { return nil }
        defer { position += count }
        return Array(bytes[position..<position + count])
    }

    /// Whether there are bytes up to a length, and all that has not been taken of them is 0.
    func isZero(to count: Int) -> Bool {
        bytes.count >= count && bytes[min(position, count)..<count].allSatisfy { $0 == 0 }
    }

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
