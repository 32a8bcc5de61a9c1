// SPDX-License-Identifier: Apache-2.0

/// The address of a PCI function: `domain:bus:device.function`, as in `0000:01:00.0`.
public struct PCIAddress: Hashable, Comparable, Sendable, CustomStringConvertible {
    /// The PCI domain (segment); above 0xffff where the kernel made it up, as for Intel VMD.
    public let domain: UInt32
    /// The bus number.
    public let bus: UInt8
    /// The device number, 0 to 31.
    public let device: UInt8
    /// The function number, 0 to 7.
    public let function: UInt8

    /// Reads `DDDD:BB:DD.F`, or `BB:DD.F` in domain 0; nil where it is malformed.
    public init?(_ text: some StringProtocol) {
        // Bytes, not characters: the names of all functions of a machine are read this way.
        let bytes = Array(text.utf8)
        guard bytes.count <= 16 else { return nil }
        let colons = bytes.split(separator: 0x3a, omittingEmptySubsequences: false)
        guard colons.count == 2 || colons.count == 3, let last = colons.last else { return nil }
        let dots = last.split(separator: 0x2e, omittingEmptySubsequences: false)
        guard dots.count == 2,
            let bus = Self.hexadecimal(colons[colons.count - 2], digits: 2...2),
            let device = Self.hexadecimal(dots[0], digits: 2...2), device < 32,
            let function = Self.hexadecimal(dots[1], digits: 1...1), function < 8
        else { return nil }
        var domain: UInt32 = 0
        if colons.count == 3 {
            guard let number = Self.hexadecimal(colons[0], digits: 4...8) else { return nil }
            domain = number
        }
        self.domain = domain
        self.bus = UInt8(bus)
        self.device = UInt8(device)
        self.function = UInt8(function)
    }

    /// An address by the number that the kernel gives it within its domain: bus, device and function.
    package init(domain: UInt32, number: UInt16) {
        self.domain = domain
        bus = UInt8(number >> 8)
        device = UInt8(number >> 3 & 0x1f)
        function = UInt8(number & 7)
    }

    /// The number that the kernel gives it within its domain: bus, device and function.
    package var number: UInt16 { UInt16(bus) << 8 | UInt16(device) << 3 | UInt16(function) }

    private static func hexadecimal(_ text: ArraySlice<UInt8>, digits: ClosedRange<Int>) -> UInt32? {
        guard digits.contains(text.count) else { return nil }
        var value: UInt32 = 0
        for byte in text {
            switch byte {
            case 0x30...0x39: value = value << 4 | UInt32(byte - 0x30)
            case 0x41...0x46: value = value << 4 | UInt32(byte - 0x41 + 10)
            case 0x61...0x66: value = value << 4 | UInt32(byte - 0x61 + 10)
            default: return nil
            }
        }
        return value
    }

    /// By domain, bus, device and function.
    public static func < (a: PCIAddress, b: PCIAddress) -> Bool {
        (a.domain, a.bus, a.device, a.function) < (b.domain, b.bus, b.device, b.function)
    }

    /// The address as the kernel writes it.
    public var description: String {
        func padded(_ value: some BinaryInteger, _ width: Int) -> String {
            let text = String(value, radix: 16)
            return String(repeating: "0", count: max(0, width - text.count)) + text
        }
        return "\(padded(domain, 4)):\(padded(bus, 2)):\(padded(device, 2)).\(function)"
    }
}
