// SPDX-License-Identifier: Apache-2.0

// Names and documentation of the functions are those of the header.
// swift-format-ignore-file: AlwaysUseLowerCamelCase, AllPublicDeclarationsHaveDocumentation

public import CPeerMR
public import CVerbs
internal import PeerMR
internal import PeerMemory
internal import PeerMRCore
internal import Verbs

@c @implementation
public func peermr_cache_invalidate_p2pmem(
    _ cache: OpaquePointer?, _ memory: OpaquePointer?, _ offset: UInt64, _ length: UInt64,
    _ ended: UnsafeMutablePointer<UInt64>?
) -> peermr_status {
    unsafe invalidate(cache, ended) { (cache) throws(PeerMRError) in
        unsafe try Live.memories.use(memory) { (box) throws(PeerMRError) in
            try cache.invalidate(box.memory, offset, length)
        }
    }
}

@c @implementation
public func peermr_cache_invalidate_dmabuf(
    _ cache: OpaquePointer?, _ fd: Int32, _ offset: UInt64, _ length: UInt64, _ ended: UnsafeMutablePointer<UInt64>?
) -> peermr_status {
    unsafe invalidate(cache, ended) { (cache) throws(PeerMRError) in
        try cache.invalidate(DMABufMemory(duplicating: fd), offset, length)
    }
}

@c @implementation
public func peermr_cache_invalidate_arena(
    _ cache: OpaquePointer?, _ arena: OpaquePointer?, _ offset: UInt64, _ length: UInt64,
    _ ended: UnsafeMutablePointer<UInt64>?
) -> peermr_status {
    unsafe invalidate(cache, ended) { (cache) throws(PeerMRError) in
        unsafe try Live.arenas.use(arena) { (box) throws(PeerMRError) in
            try cache.invalidate(box.arena, offset, length)
        }
    }
}

@c @implementation
public func peermr_cache_invalidate_provider(
    _ cache: OpaquePointer?, _ provider_bdf: UnsafePointer<CChar>?, _ ended: UnsafeMutablePointer<UInt64>?
) -> peermr_status {
    unsafe invalidate(cache, ended) { (cache) throws(PeerMRError) in
        // The function may have been unplugged.
        try cache.invalidate(provider: unsafe spelledAddress(provider_bdf, "provider_bdf"))
    }
}

@c @implementation
public func peermr_cache_invalidate_all(
    _ cache: OpaquePointer?, _ ended: UnsafeMutablePointer<UInt64>?
) -> peermr_status {
    unsafe invalidate(cache, ended) { (cache) throws(PeerMRError) in try cache.invalidateAll() }
}

@c @implementation
public func peermr_cache_release_domain(
    _ cache: OpaquePointer?, _ pd: UnsafeMutablePointer<ibv_pd>?
) -> peermr_status {
    report { () throws(PeerMRError) in
        let domain = unsafe try validateDomain(pd)
        unsafe try Live.caches.use(cache) { (box) throws(PeerMRError) in try box.cache.release(domain) }
    }
}

func invalidate(
    _ cache: OpaquePointer?, _ ended: UnsafeMutablePointer<UInt64>?,
    _ body: (RegistrationCache) throws(PeerMRError) -> Int
) -> peermr_status {
    report { () throws(PeerMRError) in
        if let ended = unsafe ended { unsafe ended.pointee = 0 }
        let count = unsafe try Live.caches.use(cache) { (box) throws(PeerMRError) in try body(box.cache) }
        if let ended = unsafe ended { unsafe ended.pointee = UInt64(count) }
    }
}

extension RegistrationCache {
    fileprivate func invalidate(
        _ memory: any Memory, _ offset: UInt64, _ length: UInt64
    ) throws(PeerMRError) -> Int {
        guard length > 0 else { throw .lengthOutOfRange(length) }
        if offset == 0, length == .max { return try invalidate(memory) }
        let first = Int(clamping: offset)
        return try invalidate(memory, first..<(first + min(Int(clamping: length), Int.max - first)))
    }
}
