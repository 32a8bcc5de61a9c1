// SPDX-License-Identifier: Apache-2.0

// Names and documentation of the functions are those of the header.
// swift-format-ignore-file: AlwaysUseLowerCamelCase, AllPublicDeclarationsHaveDocumentation

internal import CLeases
public import CPeerMR
public import CVerbs
internal import PeerMR
internal import PeerMemory
internal import PeerMRCore
internal import Verbs

@c @implementation
public func peermr_request_addresses(
    _ cache: OpaquePointer?, _ pd: UnsafeMutablePointer<ibv_pd>?, _ arenas: UnsafePointer<OpaquePointer?>?,
    _ arena_count: Int, _ options: UnsafePointer<peermr_options>?, _ out: UnsafeMutablePointer<OpaquePointer?>?
) -> peermr_status {
    report { () throws(PeerMRError) in
        let out = unsafe try validate(out)
        let domain = unsafe try validateDomain(pd)
        let options = unsafe try Options(options, forCache: true)
        var held: [HostArena] = []
        if arena_count > 0 {
            guard let arenas = unsafe arenas else { throw .null("arenas") }
            for index in 0..<arena_count {
                held.append(unsafe try Live.arenas.use(arenas[index]) { (box) throws(PeerMRError) in box.arena })
            }
        }
        let made = unsafe try Live.caches.use(cache) { (box) throws(PeerMRError) in
            BoundAddresses(
                try box.cache.addressRequest(
                    on: domain, access: options.access, options: options.registration, widening: options.widening,
                    arenas: held),
                of: box.cache)
        }
        unsafe out.pointee = try Live.addressRequests.add(made)
    }
}

@c @implementation
public func peermr_address_request_free(_ request: OpaquePointer?) -> peermr_status {
    report { () throws(PeerMRError) in
        unsafe try Live.addressRequests.end(request) { (_) throws(PeerMRError) in }
    }
}

// As in Lease.swift: what is found is found here, and the rest is done anew out of line.
@c @implementation
public func peermr_cache_lease_address(
    _ request: OpaquePointer?, _ address: UnsafeRawPointer?, _ length: UInt64,
    _ out: UnsafeMutablePointer<peermr_lease>?
) -> peermr_status {
    let address = UInt64(UInt(bitPattern: address))
    let isHit = unsafe hit(PEERMR_ROOT_ADDRESSES, request, .addressRequest, out) { (box: BoundAddresses) in
        box.leaseIfCached(at: address, count: length)
    }
    return isHit ? PEERMR_OK : unsafe lease(request, address, length, out)
}

@inline(never)
private func lease(
    _ request: OpaquePointer?, _ address: UInt64, _ length: UInt64, _ out: UnsafeMutablePointer<peermr_lease>?
) -> peermr_status {
    report { () throws(PeerMRError) in
        let out = unsafe try Structs.validate(out, "peermr_lease")
        unsafe try Live.addressRequests.borrow(request, PEERMR_PLACE_REQUEST) { (box, _) throws(PeerMRError) in
            let lease = try box.cache.lease(box.request, at: address, count: Int(clamping: length))
            guard unsafe take(lease.detach(), out) else { throw .threadMemory() }
        }
    }
}

@c @implementation
public func peermr_cache_invalidate_addresses(
    _ cache: OpaquePointer?, _ address: UnsafeRawPointer?, _ length: UInt64, _ ended: UnsafeMutablePointer<UInt64>?
) -> peermr_status {
    unsafe invalidate(cache, ended) { (cache) throws(PeerMRError) in
        let start = UInt64(UInt(bitPattern: address))
        guard length > 0, start <= .max - length else { throw .lengthOutOfRange(length) }
        return try cache.invalidate(addresses: start..<start + length)
    }
}
