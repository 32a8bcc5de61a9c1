// SPDX-License-Identifier: Apache-2.0

internal import PeerMemory
public import PeerMRCore
public import Verbs

/// A range of memory that is registered by itself.
public final class MemoryPart: Memory {
    /// The memory that it is a range of, kept as long as the range.
    public let whole: any Memory
    /// Where the range begins in it, in bytes.
    public let offset: Int
    /// The length in bytes.
    public let byteCount: Int

    /// A range of a memory.
    ///
    /// - Throws: `invalidArgument` where it is empty or not inside.
    public init(of memory: any Memory, at offset: Int, count: Int) throws(PeerMRError) {
        guard offset >= 0, count > 0, offset <= memory.byteCount, count <= memory.byteCount - offset else {
            throw .outsideCached(count, offset, memory.byteCount)
        }
        whole = memory
        self.offset = offset
        byteCount = count
    }

    /// What kind of memory it is.
    public var kind: MemoryKind { whole.kind }
    /// The PCI function whose memory it is, where that is known.
    public var provider: PCIAddress? { whole.provider }
    /// The provider's driver when the memory was opened.
    public var providerDriver: String? { whole.providerDriver }
    /// The driver that exports the dma-buf; nil for other memory.
    public var exporter: String? { whole.exporter }
    /// Whose memory it is, as far as the memory itself tells.
    public var owner: MemoryOwner { whole.owner }
    /// The identity of the whole.
    public var identity: MemoryIdentity { whole.identity }
    /// Where the range begins in what the identity names, in bytes.
    public var identityOffset: UInt64 { whole.identityOffset + UInt64(offset) }

    /// How a device gets at the range. See ``Verbs/Memory/backing(for:)``.
    public func backing(for access: Access) throws(PeerMRError) -> MemoryBacking {
        switch try whole.backing(for: access) {
        case .mapped(let range):
            return .mapped(IOVector(address: range.address + UInt(offset), byteCount: byteCount))
        case .dmaBuf(var range):
            range.offset += UInt64(offset)
            range.byteCount = UInt64(byteCount)
            if let address = range.ioAddress { range.ioAddress = address &+ UInt64(offset) }
            return .dmaBuf(range)
        case .deviceMemory: throw .partOfDeviceMemory()
        }
    }

    /// Copies bytes out of the range. See ``Verbs/Memory/read(into:at:)``.
    public func read(into bytes: inout MutableRawSpan, at offset: Int) throws(PeerMRError) {
        try validate(offset, bytes.byteCount)
        try whole.read(into: &bytes, at: self.offset + offset)
    }

    /// Copies bytes into the range. See ``Verbs/Memory/write(_:at:)``.
    public func write(_ bytes: RawSpan, at offset: Int) throws(PeerMRError) {
        try validate(offset, bytes.byteCount)
        try whole.write(bytes, at: self.offset + offset)
    }

    /// Explains a refused registration.
    public func explain(_ refusal: PeerMRError) -> PeerMRError { whole.explain(refusal) }
}

extension Memory {
    /// The memory itself, or what it is a range of, also of a range of a range.
    var root: any Memory { (self as? MemoryPart)?.whole.root ?? self }
}
