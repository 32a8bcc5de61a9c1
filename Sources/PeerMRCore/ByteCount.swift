// SPDX-License-Identifier: Apache-2.0

/// Bytes as people write them: `4096`, `64K`, `16M`, `2G`, powers of 1024.
public enum ByteCount {
    /// Reads a count; nil where it is malformed, negative or too large for 63 bits.
    public static func parse(_ text: String) -> UInt64? {
        let digits = text.prefix { $0.isASCII && $0.isNumber }
        guard text.allSatisfy(\.isASCII), let number = UInt64(digits), number <= UInt64(Int64.max) else { return nil }
        let shift: UInt64? =
            switch text.dropFirst(digits.count).lowercased() {
            case "", "b": 0
            case "k", "kib": 10
            case "m", "mib": 20
            case "g", "gib": 30
            case "t", "tib": 40
            default: nil
            }
        guard let shift, number <= UInt64(Int64.max) >> shift else { return nil }
        return number << shift
    }

    /// Writes a count for people: `512 B`, `64 KiB`, `1.5 MiB`.
    public static func describe(_ bytes: some BinaryInteger) -> String {
        let value = UInt64(clamping: bytes)
        let units: [(String, UInt64)] = [
            ("TiB", 1 << 40), ("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10),
        ]
        guard let (unit, size) = units.first(where: { value >= $0.1 }) else { return "\(value) B" }
        let tenths = (value % size) * 10 / size
        return tenths == 0
            ? "\(value / size) \(unit)" : "\(value / size).\(tenths) \(unit)"
    }
}
