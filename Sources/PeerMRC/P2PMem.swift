// SPDX-License-Identifier: Apache-2.0

// Names and documentation of the functions are those of the header.
// swift-format-ignore-file: AlwaysUseLowerCamelCase, AllPublicDeclarationsHaveDocumentation

public import CPeerMR
internal import PeerMemory
internal import PeerMRCore

/// Peer-to-peer memory that an application holds. Regions over it hold it as well.
final class P2PMemoryBox: @unchecked Sendable {
    private(set) var memory: P2PMemory

    init(_ memory: P2PMemory) { self.memory = memory }

    /// Whether regions are over it. Only for the one that ends the box.
    func isRegistered() -> Bool { !isKnownUniquelyReferenced(&memory) }
}

@c @implementation
public func peermr_p2pmem_allocate(
    _ provider_bdf: UnsafePointer<CChar>?, _ length: UInt64, _ out: UnsafeMutablePointer<OpaquePointer?>?
) -> peermr_status {
    report { () throws(PeerMRError) in
        let out = unsafe try validate(out)
        let provider = unsafe try address(provider_bdf, "provider_bdf")
        let memory = try P2PMemory(allocating: try byteCount(length), from: provider)
        unsafe out.pointee = try Live.memories.add(P2PMemoryBox(memory))
    }
}

@c @implementation
public func peermr_p2pmem_address(_ memory: OpaquePointer?) -> UnsafeMutableRawPointer? {
    unsafe value { () throws(PeerMRError) in
        unsafe try Live.memories.use(memory) { (box) throws(PeerMRError) in unsafe box.memory.baseAddress }
    }
}

@c @implementation
public func peermr_p2pmem_length(_ memory: OpaquePointer?) -> UInt64 {
    value { () throws(PeerMRError) in
        unsafe try Live.memories.use(memory) { (box) throws(PeerMRError) in UInt64(box.memory.byteCount) }
    } ?? 0
}

@c @implementation
public func peermr_p2pmem_free(_ memory: OpaquePointer?) -> peermr_status {
    report { () throws(PeerMRError) in
        unsafe try Live.memories.end(memory) { (box) throws(PeerMRError) in
            guard !box.isRegistered() else { throw .memoryIsRegistered() }
        }
    }
}

/// A length that memory can have.
func byteCount(_ length: UInt64) throws(PeerMRError) -> Int {
    guard length > 0, length <= UInt64(Int.max) else { throw .lengthOutOfRange(length) }
    return Int(length)
}
