// SPDX-License-Identifier: Apache-2.0

public import PeerMRCore
public import Verbs

/// Where memory comes from, as it is named in a ``MemorySpecification``: a new exporter is a case here.
public enum MemorySource: Hashable, Sendable {
    /// Memory of the host.
    case host
    /// The peer-to-peer memory of a PCI function.
    case p2pmem(PCIAddress)
    /// A BAR of a function that is bound to vfio-pci.
    case vfio(PCIAddress, bar: Int)
    /// Host memory, as a dma-buf of `/dev/udmabuf`.
    case udmabuf
    /// Host memory, as a dma-buf of a heap.
    case heap(DMAHeap)
    /// Memory of the driver of a DRM device, by the name of its node in `/dev/dri`.
    case drm(card: String)
    /// Memory of an NVIDIA GPU.
    case cuda(ordinal: Int32)
    /// The dma-buf of an open descriptor.
    case descriptor(Int32)
    /// Memory of the RDMA device itself.
    case nic

    /// The forms that a specification has, for help texts.
    public static let forms = [
        "host:SIZE", "p2pmem:BDF:SIZE", "vfio:BDF:BAR[:OFFSET:SIZE]", "udmabuf:SIZE", "heap:NAME:SIZE",
        "drm:CARD:SIZE", "cuda:ORDINAL:SIZE", "fd:N[:OFFSET:SIZE]", "nic:SIZE",
    ]

    /// Reads a source, up to its size.
    init(_ reader: inout SpecificationReader) throws(PeerMRError) {
        switch try reader.kind() {
        case "host": self = .host
        case "p2pmem": self = .p2pmem(try reader.address())
        case "vfio":
            self = .vfio(try reader.address(), bar: Int(try reader.number("BAR", from: 0, through: 5)))
        case "udmabuf": self = .udmabuf
        case "heap": self = .heap(try DMAHeap(try reader.fileName("NAME")))
        case "drm": self = .drm(card: try reader.fileName("CARD"))
        case "cuda": self = .cuda(ordinal: try reader.number("ORDINAL", from: 0, through: Int32.max))
        case "fd": self = .descriptor(try reader.number("N", from: 0, through: Int32.max))
        case "nic": self = .nic
        default: throw reader.unknownKind()
        }
    }

    /// What kind of memory it is.
    public var kind: MemoryKind {
        switch self {
        case .host: .host
        case .p2pmem: .p2pmem
        case .vfio, .udmabuf, .heap, .drm, .cuda, .descriptor: .dmabuf
        case .nic: .nic
        }
    }

    /// Whether there is a certain amount of it, of which a part can be named.
    package var hasItsOwnSize: Bool {
        switch self {
        case .vfio, .descriptor: true
        default: false
        }
    }

    /// Whether its bytes are, or may be, pages of the host, which all of the machine needs.
    package var usesHostMemory: Bool {
        switch self {
        case .host, .udmabuf, .heap, .drm: true
        default: false
        }
    }

    func open(_ offset: UInt64, _ size: UInt64?, _ root: SystemRoot) throws(PeerMRError) -> any Memory {
        let byteCount = size ?? 0
        switch self {
        case .host: return try HostMemory(allocating: try Self.count(byteCount))
        case .p2pmem(let provider):
            return try P2PMemory(allocating: try Self.count(byteCount), from: provider, root: root)
        case .vfio(let address, let bar):
            return try VFIODevice(address, root: root).export(bar: bar, offset: offset, byteCount: size)
        case .udmabuf: return try UDMABufMemory(allocating: byteCount, root: root)
        case .heap(let heap): return try DMABufMemory.heap(heap, allocating: byteCount, root: root)
        case .drm(let card): return try DRMMemory(allocating: byteCount, card: card, root: root)
        case .cuda(let ordinal):
            return try CUDAMemory(allocating: byteCount, ordinal: ordinal, library: try CUDALibrary.load())
        case .descriptor(let number):
            return try DMABufMemory(duplicating: number, offset: offset, byteCount: size)
        case .nic: throw .memoryOfNoDevice()
        }
    }

    private static func count(_ byteCount: UInt64) throws(PeerMRError) -> Int {
        guard let count = Int(exactly: byteCount) else { throw .impossibleBuffer(byteCount) }
        return count
    }
}

extension MemorySource: CustomStringConvertible {
    /// The source as it can be read again, without a size.
    public var description: String {
        switch self {
        case .host: "host"
        case .p2pmem(let provider): "p2pmem:\(provider)"
        case .vfio(let address, let bar): "vfio:\(address):\(bar)"
        case .udmabuf: "udmabuf"
        case .heap(let heap): "heap:\(heap.name)"
        case .drm(let card): "drm:\(card)"
        case .cuda(let ordinal): "cuda:\(ordinal)"
        case .descriptor(let number): "fd:\(number)"
        case .nic: "nic"
        }
    }
}
