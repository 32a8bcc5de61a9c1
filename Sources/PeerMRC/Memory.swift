// SPDX-License-Identifier: Apache-2.0

// Names and documentation of the functions are those of the header.
// swift-format-ignore-file: AlwaysUseLowerCamelCase, AllPublicDeclarationsHaveDocumentation

public import CPeerMR
public import CVerbs
internal import PeerMR
internal import PeerMemory
internal import PeerMRCore
internal import Verbs

/// Memory that an application has opened by its specification, with its texts for C. Regions over it hold it as well.
@safe
final class MemoryBox: @unchecked Sendable {
    /// All of the memory; an object of this class tells whether regions hold it.
    private(set) var memory: MemoryPart
    let info: peermr_memory_info
    private let texts = Texts()

    init(_ specification: MemorySpecification) throws(PeerMRError) {
        if specification.source == .nic { throw .nicByText() }
        let whole = try specification.open()
        memory = try MemoryPart(of: whole, at: 0, count: whole.byteCount)
        let mapped = whole as? any MappingBacked
        unsafe info = unsafe peermr_memory_info(
            struct_size: 0, kind: whole.kind.inC, owner: whole.owner.inC, length: UInt64(whole.byteCount),
            address: unsafe mapped?.baseAddress, has_dmabuf: whole is any DMABufBacked ? 1 : 0, reserved: 0,
            provider_bdf: texts.keep(whole.provider.map { "\($0)" } ?? ""), exporter: texts.keep(whole.exporter ?? ""),
            specification: texts.keep("\(specification)"))
    }

    /// A range that is to be registered; for a length of 0 all from the offset on.
    ///
    /// - Parameter provider: whose memory a dma-buf is, where it does not tell itself.
    func part(_ offset: UInt64, _ length: UInt64, _ provider: PCIAddress?) throws(PeerMRError) -> MemoryPart {
        let whole = UInt64(memory.byteCount)
        let count = length == 0 && offset < whole ? whole - offset : length
        guard offset < whole, count > 0, count <= whole - offset else { throw .outsidePart(count, offset, whole) }
        if let provider, memory.provider == nil, let buffer = memory.whole as? any DMABufBacked {
            // The range holds this object's memory, too: what is told of it is all that differs.
            let told = try DMABufMemory(
                buffer.buffer, offset: buffer.offset + offset, byteCount: count, provider: provider)
            return try MemoryPart(of: ToldMemory(told, holding: memory), at: 0, count: Int(count))
        }
        return try MemoryPart(of: memory, at: Int(offset), count: Int(count))
    }

    /// Whether regions are over it. Only for the one that ends the box.
    func isRegistered() -> Bool { !isKnownUniquelyReferenced(&memory) }
}

/// A dma-buf whose provider the application has told, and the memory that it was opened as.
private final class ToldMemory: Memory {
    private let told: DMABufMemory
    private let held: MemoryPart

    init(_ told: DMABufMemory, holding held: MemoryPart) {
        self.told = told
        self.held = held
    }

    var kind: MemoryKind { told.kind }
    var provider: PCIAddress? { told.provider }
    var exporter: String? { told.exporter }
    var owner: MemoryOwner { held.owner }
    var byteCount: Int { told.byteCount }
    var identity: MemoryIdentity { told.identity }
    var identityOffset: UInt64 { told.identityOffset }

    func backing(for access: Access) throws(PeerMRError) -> MemoryBacking { try told.backing(for: access) }
    func read(into bytes: inout MutableRawSpan, at offset: Int) throws(PeerMRError) {
        try told.read(into: &bytes, at: offset)
    }
    func write(_ bytes: RawSpan, at offset: Int) throws(PeerMRError) { try told.write(bytes, at: offset) }
}

@c @implementation
public func peermr_memory_open(
    _ specification: UnsafePointer<CChar>?, _ out: UnsafeMutablePointer<OpaquePointer?>?
) -> peermr_status {
    report { () throws(PeerMRError) in
        let out = unsafe try validate(out)
        guard let text = unsafe specification else { throw .null("specification") }
        unsafe out.pointee = try Live.opened.add(MemoryBox(MemorySpecification(unsafe String(cString: text))))
    }
}

@c @implementation
public func peermr_memory_info(
    _ memory: OpaquePointer?, _ out: UnsafeMutablePointer<peermr_memory_info>?
) -> peermr_status {
    report { () throws(PeerMRError) in
        let out = unsafe try Structs.validate(out, "peermr_memory_info")
        unsafe try Live.opened.use(memory) { (box) throws(PeerMRError) in unsafe Structs.fill(out, box.info) }
    }
}

@c @implementation
public func peermr_memory_dmabuf(
    _ memory: OpaquePointer?, _ fd: UnsafeMutablePointer<Int32>?, _ offset: UnsafeMutablePointer<UInt64>?
) -> peermr_status {
    report { () throws(PeerMRError) in
        guard let fd = unsafe fd else { throw .null("the out-parameter") }
        unsafe fd.pointee = -1
        if let offset = unsafe offset { unsafe offset.pointee = 0 }
        unsafe try Live.opened.use(memory) { (box) throws(PeerMRError) in
            guard let backed = box.memory.whole as? any DMABufBacked else { throw .noBuffer(box.memory.kind.rawValue) }
            unsafe fd.pointee = try backed.buffer.duplicatedDescriptor()
            if let offset = unsafe offset { unsafe offset.pointee = backed.offset }
        }
    }
}

@c @implementation
public func peermr_memory_read(
    _ memory: OpaquePointer?, _ offset: UInt64, _ bytes: UnsafeMutableRawPointer?, _ length: UInt64
) -> peermr_status {
    report { () throws(PeerMRError) in
        guard let bytes = unsafe bytes else { throw .null("bytes") }
        unsafe try Live.opened.use(memory) { (box) throws(PeerMRError) in
            let range = try inside(box.memory, offset, length)
            var span = unsafe MutableRawSpan(_unsafeStart: bytes, byteCount: range.count)
            try box.memory.read(into: &span, at: range.lowerBound)
        }
    }
}

@c @implementation
public func peermr_memory_write(
    _ memory: OpaquePointer?, _ offset: UInt64, _ bytes: UnsafeRawPointer?, _ length: UInt64
) -> peermr_status {
    report { () throws(PeerMRError) in
        guard let bytes = unsafe bytes else { throw .null("bytes") }
        unsafe try Live.opened.use(memory) { (box) throws(PeerMRError) in
            let range = try inside(box.memory, offset, length)
            try box.memory.write(unsafe RawSpan(_unsafeStart: bytes, byteCount: range.count), at: range.lowerBound)
        }
    }
}

@c @implementation
public func peermr_register_memory(
    _ pd: UnsafeMutablePointer<ibv_pd>?, _ memory: OpaquePointer?, _ offset: UInt64, _ length: UInt64,
    _ options: UnsafePointer<peermr_options>?, _ out: UnsafeMutablePointer<OpaquePointer?>?
) -> peermr_status {
    unsafe register(pd, options, out) { (domain, options) throws(PeerMRError) in
        // Registered while nobody can close it.
        unsafe try Live.opened.use(memory) { (box) throws(PeerMRError) in
            unsafe RegionBox(try register(try box.part(offset, length, options.provider), domain, options))
        }
    }
}

@c @implementation
public func peermr_memory_close(_ memory: OpaquePointer?) -> peermr_status {
    report { () throws(PeerMRError) in
        unsafe try Live.opened.end(memory) { (box) throws(PeerMRError) in
            guard !box.isRegistered() else { throw .openedIsRegistered() }
        }
    }
}

/// A range of memory, of a length that memory can have.
private func inside(_ memory: any Memory, _ offset: UInt64, _ length: UInt64) throws(PeerMRError) -> Range<Int> {
    let whole = UInt64(memory.byteCount)
    guard offset <= whole, length <= whole - offset else { throw .outsidePart(length, offset, whole) }
    return Int(offset)..<Int(offset + length)
}
