// SPDX-License-Identifier: Apache-2.0

// Names and documentation of the functions are those of the header.
// swift-format-ignore-file: AlwaysUseLowerCamelCase, AllPublicDeclarationsHaveDocumentation

public import CPeerMR
public import CVerbs
internal import PeerMR
internal import PeerMemory
internal import PeerMRCore
internal import Verbs

/// Host memory that an application answers for. Requests and cached regions over it hold it as well.
final class ArenaBox: @unchecked Sendable {
    private(set) var arena: HostArena

    init(_ arena: HostArena) { self.arena = arena }

    /// Whether requests or regions are over it. Only for the one that ends the box.
    func isUsed() -> Bool { !isKnownUniquelyReferenced(&arena) }
}

@c @implementation
public func peermr_arena_create(
    _ address: UnsafeMutableRawPointer?, _ length: UInt64, _ out: UnsafeMutablePointer<OpaquePointer?>?
) -> peermr_status {
    report { () throws(PeerMRError) in
        let out = unsafe try validate(out)
        guard let address = unsafe address else { throw .null("address") }
        let arena = unsafe try HostArena(at: address, byteCount: byteCount(length))
        unsafe out.pointee = try Live.arenas.add(ArenaBox(arena))
    }
}

@c @implementation
public func peermr_arena_free(_ arena: OpaquePointer?) -> peermr_status {
    report { () throws(PeerMRError) in
        unsafe try Live.arenas.end(arena) { (box) throws(PeerMRError) in
            guard !box.isUsed() else { throw .arenaIsUsed() }
        }
    }
}

@c @implementation
public func peermr_request_p2pmem(
    _ cache: OpaquePointer?, _ pd: UnsafeMutablePointer<ibv_pd>?, _ memory: OpaquePointer?,
    _ options: UnsafePointer<peermr_options>?, _ out: UnsafeMutablePointer<OpaquePointer?>?
) -> peermr_status {
    unsafe request(cache, pd, options, out) { (_, make) throws(PeerMRError) in
        unsafe try Live.memories.use(memory) { (box) throws(PeerMRError) in try make(box.memory) }
    }
}

@c @implementation
public func peermr_request_dmabuf(
    _ cache: OpaquePointer?, _ pd: UnsafeMutablePointer<ibv_pd>?, _ fd: Int32, _ offset: UInt64, _ length: UInt64,
    _ options: UnsafePointer<peermr_options>?, _ out: UnsafeMutablePointer<OpaquePointer?>?
) -> peermr_status {
    unsafe request(cache, pd, options, out) { (options, make) throws(PeerMRError) in
        try make(DMABufMemory(duplicating: fd, offset: offset, byteCount: length, provider: options.provider))
    }
}

@c @implementation
public func peermr_request_arena(
    _ cache: OpaquePointer?, _ pd: UnsafeMutablePointer<ibv_pd>?, _ arena: OpaquePointer?,
    _ options: UnsafePointer<peermr_options>?, _ out: UnsafeMutablePointer<OpaquePointer?>?
) -> peermr_status {
    unsafe request(cache, pd, options, out) { (_, make) throws(PeerMRError) in
        unsafe try Live.arenas.use(arena) { (box) throws(PeerMRError) in try make(box.arena) }
    }
}

@c @implementation
public func peermr_request_free(_ request: OpaquePointer?) -> peermr_status {
    report { () throws(PeerMRError) in
        unsafe try Live.requests.end(request) { (_) throws(PeerMRError) in }
    }
}

/// Makes a request of memory that the body finds, which nobody can free before it is made.
private func request(
    _ cache: OpaquePointer?, _ pd: UnsafeMutablePointer<ibv_pd>?, _ options: UnsafePointer<peermr_options>?,
    _ out: UnsafeMutablePointer<OpaquePointer?>?,
    _ body: (Options, (any Memory) throws(PeerMRError) -> BoundRequest) throws(PeerMRError) -> BoundRequest
) -> peermr_status {
    report { () throws(PeerMRError) in
        let out = unsafe try validate(out)
        let domain = unsafe try validateDomain(pd)
        let options = unsafe try Options(options, forCache: true)
        let made = unsafe try Live.caches.use(cache) { (box) throws(PeerMRError) in
            try body(options) { (memory) throws(PeerMRError) in
                BoundRequest(
                    try box.cache.request(
                        for: memory, on: domain, access: options.access, options: options.registration,
                        widening: options.widening),
                    of: box.cache)
            }
        }
        unsafe out.pointee = try Live.requests.add(made)
    }
}
