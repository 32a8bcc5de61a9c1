// SPDX-License-Identifier: Apache-2.0

internal import PeerMRCore

/// By how much the addresses of a function's memory on its PCI bus differ from the CPU's: host bridges may translate
/// (`bus_offset` in drivers/pci/p2pdma.c, from pci_bus_address()).
enum BusOffset {
    private static let barCount = 6
    private static let firstRegister = 0x10

    /// The offset, from the base address registers and what the kernel has assigned; nil where they cannot be compared:
    /// a virtual function's registers are zero, as are those of a function with Enhanced Allocation.
    ///
    /// Of a function whose windows differ, the first that is not 0.
    static func of(_ function: PCIAddress, root: SystemRoot) -> Int64? {
        let folder = "sys/bus/pci/devices/\(function)"
        guard let space = root.contents("\(folder)/config", limit: 64), space.count == 64,
            let resources = root.attribute("\(folder)/resource")
        else { return nil }
        return offset(registers: space, resources: resources)
    }

    static func offset(registers space: [UInt8], resources text: String) -> Int64? {
        let starts = text.split(separator: "\n").prefix(barCount).map { line in
            line.split(separator: " ").map { UInt64($0.dropFirst(2), radix: 16) }
        }
        guard starts.count == barCount else { return nil }
        var found: Int64?
        var index = 0
        while index < barCount {
            let low = word(space, index)
            let isWide = low & 0b111 == 0b100
            defer { index += isWide ? 2 : 1 }
            guard starts[index].count == 3, let start = starts[index][0], let flags = starts[index][2] else {
                return nil
            }
            // Only memory that has been assigned: IORESOURCE_MEM is 0x200.
            guard flags & 0x200 != 0, start != 0, low & 1 == 0 else { continue }
            let high = isWide && index + 1 < barCount ? UInt64(word(space, index + 1)) << 32 : 0
            let register = UInt64(low & ~0xf) | high
            guard register != 0, low != .max else { return nil }
            let offset = Int64(bitPattern: register &- start)
            if found ?? 0 == 0 { found = offset }
        }
        return found
    }

    private static func word(_ space: [UInt8], _ index: Int) -> UInt32 {
        let place = firstRegister + 4 * index
        return space[place..<place + 4].reversed().reduce(0) { $0 << 8 | UInt32($1) }
    }
}
