// SPDX-License-Identifier: Apache-2.0

internal import PeerMRCore

/// Takes a specification apart at its colons.
struct SpecificationReader {
    private let text: String
    private var fields: [Substring]
    private var form = ""

    init(_ text: String) {
        self.text = text
        fields = text.split(separator: ":", omittingEmptySubsequences: false).reversed()
    }

    private func malformed(_ what: String) -> PeerMRError {
        let forms = MemorySource.forms.joined(separator: ", ")
        return .malformedMemory(text.quoted, what, form.isEmpty ? "one of \(forms)" : form)
    }

    mutating func kind() throws(PeerMRError) -> String {
        guard let kind = fields.popLast(), !kind.isEmpty else { throw malformed("names no kind") }
        form = MemorySource.forms.first { $0.prefix { $0 != ":" } == kind } ?? ""
        return String(kind)
    }

    func unknownKind() -> PeerMRError { malformed("is of a kind that there is not") }

    private mutating func field(_ name: String) throws(PeerMRError) -> Substring {
        guard let field = fields.popLast() else { throw malformed("ends where \(name) is expected") }
        guard !field.isEmpty else { throw malformed("has nothing where \(name) is expected") }
        return field
    }

    mutating func size() throws(PeerMRError) -> UInt64 {
        let value = try bytes("SIZE")
        guard value > 0 else { throw malformed("has a SIZE of 0") }
        return value
    }

    private mutating func bytes(_ name: String) throws(PeerMRError) -> UInt64 {
        let field = try field(name)
        guard let value = ByteCount.parse(String(field)) else {
            throw malformed("has no bytes below 8 EiB, such as 4096, 64K or 16M, as \(name)")
        }
        return value
    }

    /// A part of what there is; nil where all of it is meant.
    mutating func part() throws(PeerMRError) -> (offset: UInt64, byteCount: UInt64)? {
        guard !fields.isEmpty else { return nil }
        return (try bytes("OFFSET"), try size())
    }

    mutating func number(_ name: String, from low: Int32, through high: Int32) throws(PeerMRError) -> Int32 {
        let field = try field(name)
        guard field.utf8.allSatisfy({ (0x30...0x39).contains($0) }), let value = Int32(field),
            (low...high).contains(value)
        else { throw malformed("has no number from \(low) to \(high) as \(name)") }
        return value
    }

    /// A name of a file, without a path.
    mutating func fileName(_ name: String) throws(PeerMRError) -> String {
        let field = try field(name)
        guard field != ".", field != "..", field.utf8.count <= 255,
            field.utf8.allSatisfy({ $0 > 0x20 && $0 < 0x7f && $0 != 0x2f })
        else { throw malformed("has no name of a file as \(name)") }
        return String(field)
    }

    /// The fields of an address, up to the one with the dot.
    mutating func address() throws(PeerMRError) -> PCIAddress {
        var parts = [try field("BDF")]
        while parts.count < 3, parts.last?.utf8.contains(0x2e) == false, let next = fields.popLast() {
            parts.append(next)
        }
        guard let address = PCIAddress(parts.joined(separator: ":")) else {
            throw malformed("has no PCI address, such as 0000:03:00.0, as BDF")
        }
        return address
    }

    func end() throws(PeerMRError) {
        guard fields.isEmpty else { throw malformed("goes on where it should end") }
    }
}
