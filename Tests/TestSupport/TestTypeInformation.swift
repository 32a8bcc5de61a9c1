// SPDX-License-Identifier: Apache-2.0

/// Type information (BTF) made up for a test: types and names, as a compiler would write them.
public struct TestTypeInformation {
    private var names: [UInt8] = [0]
    private var types: [UInt8] = []
    private var count = 0
    private let firstNumber: UInt32
    private let firstName: UInt32
    /// Whether numbers are written with their highest byte first.
    public var isBigEndian = false
    /// What follows the header's own 24 bytes: offset and length of a layout of kinds, and the layout.
    public var layout: [UInt8]?

    /// That of a kernel.
    public init() { (firstNumber, firstName) = (1, 0) }

    /// That of a module, which goes on where the kernel's ends.
    public init(above base: TestTypeInformation) {
        firstNumber = base.firstNumber + UInt32(base.count)
        firstName = base.firstName + UInt32(base.names.count)
        isBigEndian = base.isBigEndian
        names = []
    }

    /// Adds a name, and returns its offset.
    public mutating func name(_ text: String) -> UInt32 {
        defer { names += Array(text.utf8) + [0] }
        return firstName + UInt32(names.count)
    }

    /// Adds a type of any kind, and returns its number.
    @discardableResult
    public mutating func type(
        _ kind: UInt32, name: UInt32 = 0, members: UInt32 = 0, size: UInt32 = 0, _ rest: [UInt32] = []
    ) -> UInt32 {
        types += ([name, kind << 24 | members, size] + rest).flatMap(bytes)
        count += 1
        return firstNumber + UInt32(count) - 1
    }

    /// Adds a structure, and returns its number.
    @discardableResult
    public mutating func structure(_ text: String, size: UInt32, _ members: [String]) -> UInt32 {
        structure(name: name(text), size: size, members.map { name($0) })
    }

    /// Adds a structure whose name, and those of its members, are there already.
    @discardableResult
    public mutating func structure(name: UInt32, size: UInt32, _ members: [UInt32]) -> UInt32 {
        type(4, name: name, members: UInt32(members.count), size: size, members.flatMap { [$0, 0, 0] })
    }

    /// Adds a function.
    public mutating func function(_ text: String) {
        let prototype = type(13)
        type(12, name: name(text), size: prototype)
    }

    /// Adds an array of constant elements, as a table is.
    public mutating func table(of element: UInt32, count: UInt32) {
        let constant = type(10, size: element)
        type(3, [constant, 1, count])
    }

    private func bytes(_ value: UInt32) -> [UInt8] {
        let little = (0..<4).map { UInt8(truncatingIfNeeded: value >> (8 * UInt32($0))) }
        return isBigEndian ? little.reversed() : little
    }

    /// The file.
    public var file: [UInt8] {
        var numbers: [UInt32] = [0, UInt32(types.count), UInt32(types.count), UInt32(names.count)]
        if let layout { numbers += [UInt32(types.count + names.count), UInt32(layout.count)] }
        let magic: [UInt8] = isBigEndian ? [0xeb, 0x9f] : [0x9f, 0xeb]
        return magic + [1, 0] + ([UInt32(8 + 4 * numbers.count)] + numbers).flatMap(bytes) + types + names
            + (layout ?? [])
    }
}
