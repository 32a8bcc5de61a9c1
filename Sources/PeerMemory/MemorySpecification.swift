// SPDX-License-Identifier: Apache-2.0

internal import SystemPackage
public import PeerMRCore
public import Verbs

/// Memory as people name it on a command line: what kind, from where, how much.
///
///     host:SIZE                          memory of the host
///     p2pmem:BDF:SIZE                    the peer-to-peer memory of a PCI function
///     vfio:BDF:BAR[:OFFSET:SIZE]         a BAR of a function bound to vfio-pci
///     udmabuf:SIZE                       host memory, as a dma-buf of /dev/udmabuf
///     heap:NAME:SIZE                     host memory, as a dma-buf of /dev/dma_heap/NAME
///     cuda:ORDINAL:SIZE                  memory of an NVIDIA GPU
///     fd:N[:OFFSET:SIZE]                 the dma-buf of an open descriptor
///     nic:SIZE                           memory of the RDMA device itself
///
/// Sizes and offsets are bytes, or have a suffix K, M, G or T (powers of 1024). BDF is a PCI address, with or without
/// its domain: 0000:03:00.0 or 03:00.0.
public enum MemorySpecification: Hashable, Sendable {
    case host(byteCount: UInt64)
    case p2pmem(PCIAddress, byteCount: UInt64)
    case vfio(PCIAddress, bar: Int, part: Part?)
    case udmabuf(byteCount: UInt64)
    case heap(DMAHeap, byteCount: UInt64)
    case cuda(ordinal: Int32, byteCount: UInt64)
    case descriptor(Int32, part: Part?)
    case nic(byteCount: UInt64)

    /// A part of what there is, in bytes; where there is none, all of it is meant.
    public struct Part: Hashable, Sendable {
        /// Where it begins.
        public let offset: UInt64
        /// How long it is; above 0.
        public let byteCount: UInt64

        /// A part, looked at when the memory is opened.
        public init(offset: UInt64, byteCount: UInt64) {
            self.offset = offset
            self.byteCount = byteCount
        }
    }

    /// What kind of memory it is.
    public var kind: MemoryKind {
        switch self {
        case .host: .host
        case .p2pmem: .p2pmem
        case .vfio, .udmabuf, .heap, .cuda, .descriptor: .dmabuf
        case .nic: .nic
        }
    }

    /// The forms that there are, for help texts.
    public static let forms = [
        "host:SIZE", "p2pmem:BDF:SIZE", "vfio:BDF:BAR[:OFFSET:SIZE]", "udmabuf:SIZE", "heap:NAME:SIZE",
        "cuda:ORDINAL:SIZE", "fd:N[:OFFSET:SIZE]", "nic:SIZE",
    ]

    /// Reads a specification.
    ///
    /// - Throws: `invalidArgument` with what is wrong with it, and how it is to be written.
    public init(_ text: String) throws(PeerMRError) {
        var reader = SpecificationReader(text)
        let kind = try reader.kind()
        switch kind {
        case "host": self = .host(byteCount: try reader.size())
        case "p2pmem": self = .p2pmem(try reader.address(), byteCount: try reader.size())
        case "vfio":
            self = .vfio(
                try reader.address(), bar: Int(try reader.number("BAR", from: 0, through: 5)),
                part: try reader.part())
        case "udmabuf": self = .udmabuf(byteCount: try reader.size())
        case "heap": self = .heap(try reader.heap(), byteCount: try reader.size())
        case "cuda":
            self = .cuda(
                ordinal: try reader.number("ORDINAL", from: 0, through: Int32.max), byteCount: try reader.size())
        case "fd":
            self = .descriptor(try reader.number("N", from: 0, through: Int32.max), part: try reader.part())
        case "nic": self = .nic(byteCount: try reader.size())
        default: throw reader.unknownKind()
        }
        try reader.end()
    }
}

extension MemorySpecification: CustomStringConvertible {
    /// The specification as it can be read again, sizes in bytes.
    public var description: String {
        switch self {
        case .host(let byteCount): "host:\(byteCount)"
        case .p2pmem(let address, let byteCount): "p2pmem:\(address):\(byteCount)"
        case .vfio(let address, let bar, let part): "vfio:\(address):\(bar)\(Self.suffix(part))"
        case .udmabuf(let byteCount): "udmabuf:\(byteCount)"
        case .heap(let heap, let byteCount): "heap:\(heap.name):\(byteCount)"
        case .cuda(let ordinal, let byteCount): "cuda:\(ordinal):\(byteCount)"
        case .descriptor(let number, let part): "fd:\(number)\(Self.suffix(part))"
        case .nic(let byteCount): "nic:\(byteCount)"
        }
    }

    private static func suffix(_ part: Part?) -> String {
        part.map { ":\($0.offset):\($0.byteCount)" } ?? ""
    }
}

extension MemorySpecification {
    /// Opens what is named, or allocates it.
    ///
    /// A descriptor is duplicated: the one that was named stays open. A function is opened by way of vfio and never
    /// bound to it here.
    ///
    /// - Parameter root: where `/dev`, `/sys` and `/proc` are; tests put another there.
    /// - Throws: as the source does; `notSupported` for ``nic(byteCount:)``, which is allocated from an RDMA device
    ///   that is open.
    public func open(root: SystemRoot = .live) throws(PeerMRError) -> any Memory {
        switch self {
        case .host(let byteCount): return try HostMemory(allocating: try Self.count(byteCount))
        case .p2pmem(let provider, let byteCount):
            return try P2PMemory(allocating: try Self.count(byteCount), from: provider, root: root)
        case .vfio(let address, let bar, let part):
            return try VFIODevice(address, root: root).export(bar: bar, part: part)
        case .udmabuf(let byteCount): return try UDMABufMemory(allocating: byteCount, root: root)
        case .heap(let heap, let byteCount): return try DMABufMemory.heap(heap, allocating: byteCount, root: root)
        case .cuda(let ordinal, let byteCount):
            return try CUDAMemory(allocating: byteCount, ordinal: ordinal, library: try CUDALibrary.load())
        case .descriptor(let number, let part):
            return try DMABufMemory(duplicating: number, offset: part?.offset ?? 0, byteCount: part?.byteCount)
        case .nic:
            throw .memoryOfNoDevice()
        }
    }

    private static func count(_ byteCount: UInt64) throws(PeerMRError) -> Int {
        guard let count = Int(exactly: byteCount) else { throw .impossibleBuffer(byteCount) }
        return count
    }
}

/// Takes a specification apart at its colons.
private struct SpecificationReader {
    private let text: String
    private var fields: [Substring]
    private var form = ""

    init(_ text: String) {
        self.text = text
        fields = text.split(separator: ":", omittingEmptySubsequences: false).reversed()
    }

    private func malformed(_ what: String) -> PeerMRError {
        let forms = MemorySpecification.forms.joined(separator: ", ")
        return .malformedMemory(text.quoted, what, form.isEmpty ? "one of \(forms)" : form)
    }

    mutating func kind() throws(PeerMRError) -> String {
        guard let kind = fields.popLast(), !kind.isEmpty else { throw malformed("names no kind") }
        form = MemorySpecification.forms.first { $0.prefix { $0 != ":" } == kind } ?? ""
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

    mutating func part() throws(PeerMRError) -> MemorySpecification.Part? {
        guard !fields.isEmpty else { return nil }
        return MemorySpecification.Part(offset: try bytes("OFFSET"), byteCount: try size())
    }

    mutating func number(_ name: String, from low: Int32, through high: Int32) throws(PeerMRError) -> Int32 {
        let field = try field(name)
        guard field.utf8.allSatisfy({ (0x30...0x39).contains($0) }), let value = Int32(field),
            (low...high).contains(value)
        else { throw malformed("has no number from \(low) to \(high) as \(name)") }
        return value
    }

    mutating func heap() throws(PeerMRError) -> DMAHeap {
        let field = try field("NAME")
        guard let heap = try? DMAHeap(String(field)) else { throw malformed("has no name of a heap as NAME") }
        return heap
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
