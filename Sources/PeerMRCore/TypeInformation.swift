// SPDX-License-Identifier: Apache-2.0

internal import CLinux

/// The kernel's type information (BTF, Documentation/bpf/btf.rst): the names of its functions, and the layout of its
/// structures and arrays.
///
/// It is megabytes with some 100,000 types. Nothing is made of a type before it is asked for: this keeps the bytes, and
/// where each type begins. A file that contradicts itself, or has a kind of type that is not known, is refused as a
/// whole.
package final class TypeInformation: Sendable {
    /// The most bytes that are read; a distribution's kernel has 6 million.
    package static let limit = 64 << 20

    let bytes: [UInt8]
    /// Where names are in ``bytes``.
    let names: Range<Int>
    /// Where each type begins in ``bytes``; the first one has the number ``firstNumber``.
    let starts: [UInt32]
    /// Whether numbers are in the other order of bytes than this machine's.
    let isSwapped: Bool
    /// What a module's types and names continue.
    let base: TypeInformation?

    /// Numbers of types begin with 1 (0 is void), or behind those of the base.
    let firstNumber: Int
    /// Offsets of names begin behind those of the base.
    let firstName: Int

    /// Reads the bytes of a file.
    ///
    /// - Parameter base: that of the kernel itself, where these are a module's: its types and names go on where those
    ///   of the kernel end (`btf_parse_module` in kernel/bpf/btf.c).
    /// - Returns: nil where they cannot be understood.
    package init?(_ bytes: [UInt8], base: TypeInformation? = nil) {
        guard let header = Header(bytes), base == nil || base?.isSwapped == header.isSwapped,
            let starts = Self.starts(in: bytes, header)
        else { return nil }
        self.bytes = bytes
        self.base = base
        self.starts = starts
        names = header.names
        isSwapped = header.isSwapped
        firstNumber = base.map { $0.firstNumber + $0.starts.count } ?? 1
        firstName = base.map { $0.firstName + $0.names.count } ?? 0
    }

    /// Reads the kernel's, `/sys/kernel/btf/vmlinux`; nil where it is missing or cannot be understood.
    package convenience init?(root: SystemRoot) {
        guard let bytes = Self.whole("sys/kernel/btf/vmlinux", root) else { return nil }
        self.init(bytes)
    }

    /// Reads that of a module that is loaded, `/sys/kernel/btf/NAME`; nil where it is missing or cannot be understood.
    package convenience init?(module: String, base: TypeInformation, root: SystemRoot) {
        guard let bytes = Self.whole("sys/kernel/btf/\(module)", root) else { return nil }
        self.init(bytes, base: base)
    }

    /// A file of which something was cut off is another one.
    private static func whole(_ file: String, _ root: SystemRoot) -> [UInt8]? {
        guard let bytes = root.contents(file, limit: limit + 1), bytes.count <= limit else { return nil }
        return bytes
    }
}

// MARK: - The file

extension TypeInformation {
    /// `struct btf_header`: magic, version, flags, its own length, then offset and length of types, of names and, in
    /// newer files, of the layout of kinds.
    private struct Header {
        let types: Range<Int>
        let names: Range<Int>
        let layout: Range<Int>
        let isSwapped: Bool

        init?(_ bytes: [UInt8]) {
            guard bytes.count >= 24, bytes[2] == 1 else { return nil }
            switch (bytes[0], bytes[1]) {
            case (0x9f, 0xeb): isSwapped = UInt16(1).littleEndian != 1
            case (0xeb, 0x9f): isSwapped = UInt16(1).bigEndian != 1
            default: return nil
            }
            let swaps = isSwapped
            let numbers = stride(from: 4, to: min(32, bytes.count & ~3), by: 4)
                .map { Int(TypeInformation.number(bytes, $0, swaps)) }
            let (end, count) = (numbers[0], bytes.count)
            func part(_ offset: Int, _ length: Int) -> Range<Int>? {
                let begin = end + offset
                return begin + length <= count ? begin..<begin + length : nil
            }
            guard end >= 24, let types = part(numbers[1], numbers[2]), let names = part(numbers[3], numbers[4]),
                // Names begin with an empty one, or with the module's first; each ends with a zero.
                names.isEmpty || bytes[names.upperBound - 1] == 0
            else { return nil }
            self.types = types
            self.names = names
            guard end >= 32 else {
                layout = end..<end
                return
            }
            guard numbers.count == 7, let layout = part(numbers[5], numbers[6]) else { return nil }
            self.layout = layout
        }

        /// What follows the twelve bytes of a type, for each kind: once, and for each member. Kinds that came later
        /// tell their sizes (`struct btf_layout`); negative for one that is not known at all.
        func sizes(in bytes: [UInt8]) -> (once: [Int], each: [Int]) {
            var once = [Int](repeating: -1, count: 128)
            var each = once
            for number in 1..<128 {
                let place = layout.lowerBound + 4 * number
                if let kind = Kind(rawValue: UInt8(number)) {
                    (once[number], each[number]) = (kind.extraBytes, kind.memberBytes)
                } else if place + 4 <= layout.upperBound {
                    (once[number], each[number]) = (Int(bytes[place]), Int(bytes[place + 1]))
                }
            }
            return (once, each)
        }
    }

    /// A number at an offset that is inside.
    static func number(_ bytes: [UInt8], _ offset: Int, _ isSwapped: Bool) -> UInt32 {
        unsafe bytes.withUnsafeBytes { unsafe number($0, offset, isSwapped) }
    }

    static func number(_ bytes: UnsafeRawBufferPointer, _ offset: Int, _ isSwapped: Bool) -> UInt32 {
        let value = unsafe bytes.loadUnaligned(fromByteOffset: offset, as: UInt32.self)
        return isSwapped ? value.byteSwapped : value
    }

    /// Where each type begins; nil where one has a kind that is not known, or the last is not whole.
    private static func starts(in bytes: [UInt8], _ header: Header) -> [UInt32]? {
        var starts: [UInt32] = []
        starts.reserveCapacity(header.types.count / 24)
        let (once, each) = header.sizes(in: bytes)
        return unsafe bytes.withUnsafeBytes { all in
            let end = header.types.upperBound
            var place = header.types.lowerBound
            while place + 12 <= end {
                let info = unsafe number(all, place + 4, header.isSwapped)
                let kind = Int(info >> 24 & 0x7f)
                if once[kind] < 0 { return nil }
                starts.append(UInt32(truncatingIfNeeded: place))
                place += 12 + once[kind] + each[kind] * Int(info & memberMask)
            }
            return place == end ? starts : nil
        }
    }

    /// The count of members in a type's second word: 24 bits in 7.3, 16 before, with zeros above.
    static let memberMask: UInt32 = 0xff_ffff

    /// `BTF_KIND_…` of include/uapi/linux/btf.h.
    enum Kind: UInt8 {
        case int = 1, pointer, array, structure, union, enumeration, forward, typedef, volatile, const, restrict
        case function, prototype, variable, section, float, declarationTag, typeTag, enumeration64

        /// Bits 24 to 30 of a type's second word.
        init?(info: UInt32) { self.init(rawValue: UInt8(info >> 24 & 0x7f)) }

        /// Whether a type's second word has this kind.
        func isKind(of info: UInt32) -> Bool { info >> 24 & 0x7f == UInt32(rawValue) }

        /// What follows the twelve bytes that each type has.
        var extraBytes: Int {
            switch self {
            case .array: 12
            case .int, .variable, .declarationTag: 4
            default: 0
            }
        }

        /// What follows for each member.
        var memberBytes: Int {
            switch self {
            case .structure, .union, .section, .enumeration64: 12
            case .enumeration, .prototype: 8
            default: 0
            }
        }

        /// Whether it is another type with a qualifier or another name.
        var isQualifier: Bool {
            switch self {
            case .typedef, .volatile, .const, .restrict, .typeTag: true
            default: false
            }
        }
    }
}

// MARK: - Questions

extension TypeInformation {
    /// A structure's layout.
    package struct Structure: Hashable, Sendable {
        /// Its size, in bytes.
        package let byteCount: Int
        /// The names of its members, in order; empty for one without a name, or that cannot be read.
        package let members: [String]
    }

    /// Whether there is a function of this name. One that is only ever inlined has none.
    package func hasFunction(_ name: String) -> Bool {
        !places(of: .function, named: name, isFirstEnough: true).isEmpty
    }

    /// All structures of this name; a module's own only, not those of its base.
    package func structures(named name: String) -> [Structure] {
        places(of: .structure, named: name).map { place in
            let count = Int(Self.number(bytes, place + 4, isSwapped) & Self.memberMask)
            return Structure(
                byteCount: Int(Self.number(bytes, place + 8, isSwapped)),
                members: (0..<count).map { self.name(at: Self.number(bytes, place + 12 + 12 * $0, isSwapped)) })
        }
    }

    /// The element counts of all arrays whose element is a structure of this name, qualifiers aside.
    package func arrayCounts(ofStructure name: String) -> [Int] {
        let wanted = Set(places(of: .structure, named: name))
        guard !wanted.isEmpty else { return [] }
        var counts: [Int] = []
        unsafe bytes.withUnsafeBytes { all in
            for start in starts {
                let place = Int(start)
                guard Kind.array.isKind(of: unsafe Self.number(all, place + 4, isSwapped)) else { continue }
                guard let element = unsafe unqualified(Self.number(all, place + 12, isSwapped), all),
                    wanted.contains(element)
                else { continue }
                counts.append(Int(unsafe Self.number(all, place + 20, isSwapped)))
            }
        }
        return counts
    }

    /// The place of a type behind its qualifiers; nil for one of the base, or none. A chain of qualifiers may be a
    /// circle.
    private func unqualified(_ number: UInt32, _ all: UnsafeRawBufferPointer) -> Int? {
        var number = number
        for _ in 0..<16 {
            let index = Int(number) - firstNumber
            guard starts.indices.contains(index) else { return nil }
            let place = Int(starts[index])
            guard let kind = Kind(info: unsafe Self.number(all, place + 4, isSwapped)) else { return nil }
            guard kind.isQualifier else { return place }
            number = unsafe Self.number(all, place + 8, isSwapped)
        }
        return nil
    }

    /// Where types of a kind and a name begin.
    private func places(of kind: Kind, named name: String, isFirstEnough: Bool = false) -> [Int] {
        let offsets = offsets(of: name)
        guard !offsets.isEmpty else { return [] }
        var found: [Int] = []
        unsafe bytes.withUnsafeBytes { all in
            // The kind decides most of them, before the name is looked at.
            for start in starts where kind.isKind(of: unsafe Self.number(all, Int(start) + 4, isSwapped)) {
                guard offsets.contains(unsafe Self.number(all, Int(start), isSwapped)) else { continue }
                found.append(Int(start))
                if isFirstEnough { return }
            }
        }
        return found
    }
}

// MARK: - Names

extension TypeInformation {
    /// Where a name is, in the base too. A name may be the end of another one.
    private func offsets(of name: String) -> [UInt32] {
        let wanted = Array(name.utf8) + [0]
        var found = base?.offsets(of: name) ?? []
        guard wanted.count > 1 else { return [] }
        unsafe bytes.withUnsafeBytes { all in
            guard let begin = all.baseAddress else { return }
            var place = names.lowerBound
            while place < names.upperBound {
                let rest = names.upperBound - place
                let offset = unsafe peermr_find(begin + place, rest, wanted, wanted.count)
                if offset == rest { return }
                found.append(UInt32(truncatingIfNeeded: firstName + place + offset - names.lowerBound))
                place += offset + 1
            }
        }
        return found
    }

    private func name(at offset: UInt32) -> String {
        let offset = Int(offset)
        if offset < firstName { return base?.name(at: UInt32(offset)) ?? "" }
        let place = names.lowerBound + offset - firstName
        guard names.contains(place) else { return "" }
        return String(decoding: bytes[place..<names.upperBound].prefix { $0 != 0 }, as: UTF8.self)
    }
}
