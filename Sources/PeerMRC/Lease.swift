// SPDX-License-Identifier: Apache-2.0

// Names and documentation of the functions are those of the header.
// swift-format-ignore-file: AlwaysUseLowerCamelCase, AllPublicDeclarationsHaveDocumentation

internal import CLeases
public import CPeerMR
internal import PeerMR
internal import PeerMRCore
internal import Verbs

// Hits come through here: no lock, no allocation, no reference counted, nothing written that other threads write but
// the lease itself. Tests read the machine code. All that fails, and what is no hit, is done anew out of line.

@c @implementation
public func peermr_cache_lease(
    _ request: OpaquePointer?, _ offset: UInt64, _ length: UInt64, _ out: UnsafeMutablePointer<peermr_lease>?
) -> peermr_status {
    let isHit = unsafe hit(PEERMR_ROOT_REQUESTS, request, .request, out) { (box: BoundRequest) in
        box.leaseIfCached(at: Int(clamping: offset), count: Int(clamping: length))
    }
    return isHit ? PEERMR_OK : unsafe lease(request, offset, length, out)
}

/// Leases what a request of some kind has in the cache.
///
/// - Parameters:
///   - root, kind: where handles of such requests are found, and what they are called.
///   - look: asks the cache.
/// - Returns: false where there is none, and for all that is an error.
@inline(__always)
func hit<Request: AnyObject & Sendable>(
    _ root: peermr_root, _ request: OpaquePointer?, _ kind: HandleKind, _ out: UnsafeMutablePointer<peermr_lease>?,
    _ look: (Request) -> DetachedLease?
) -> Bool {
    guard let out = unsafe out, unsafe out.pointee.struct_size == MemoryLayout<peermr_lease>.size,
        peermr_handle_use(PEERMR_PLACE_REQUEST, UInt(bitPattern: request)) != 0
    else { return false }
    defer { peermr_handle_leave(PEERMR_PLACE_REQUEST) }
    guard let box = unsafe HandleTable<Request>.noted(root, request, kind) else { return false }
    return unsafe box._withUnsafeGuaranteedRef { box in
        guard let lease = look(box) else { return false }
        return unsafe take(lease, out)
    }
}

/// Fills in what C sees of a lease; without memory for a ticket the lease is given back.
@inline(__always)
func take(_ lease: DetachedLease, _ out: UnsafeMutablePointer<peermr_lease>) -> Bool {
    let ticket = unsafe peermr_ticket_take(lease.slot, lease.count, lease.store)
    guard ticket != 0 else {
        _ = unsafe DetachedLease.giveBack(lease.slot, lease.count, lease.store)
        return false
    }
    unsafe out.pointee.fill(lease.keys, ticket)
    return true
}

@inline(never)
private func lease(
    _ request: OpaquePointer?, _ offset: UInt64, _ length: UInt64, _ out: UnsafeMutablePointer<peermr_lease>?
) -> peermr_status {
    report { () throws(PeerMRError) in
        let out = unsafe try Structs.validate(out, "peermr_lease")
        unsafe try Live.requests.borrow(request, PEERMR_PLACE_REQUEST) { (box, _) throws(PeerMRError) in
            let lease = try box.cache.lease(box.request, at: Int(clamping: offset), count: Int(clamping: length))
            guard unsafe take(lease.detach(), out) else { throw .threadMemory() }
        }
    }
}

@c @implementation
public func peermr_lease_release(_ lease: UnsafeMutablePointer<peermr_lease>?) -> peermr_status {
    guard let lease = unsafe lease, unsafe peermr_lease.isWhole(lease) else { return unsafe refuse(lease, nil) }
    let ticket = unsafe lease.pointee.ticket
    var leased = unsafe peermr_leased()
    let state = unsafe peermr_ticket_claim(ticket, &leased)
    guard state == PEERMR_TICKET_VALID, let slot = unsafe leased.slot, let count = unsafe leased.count,
        let store = unsafe leased.store
    else {
        return unsafe refuse(lease, state)
    }
    peermr_ticket_end(ticket)
    unsafe lease.pointee.ticket = 0
    return unsafe DetachedLease.giveBack(slot, count, store) ? PEERMR_OK : refuseChild()
}

/// Says what is wrong with a lease, or its ticket.
@inline(never)
private func refuse(_ lease: UnsafePointer<peermr_lease>?, _ state: peermr_ticket_state?) -> peermr_status {
    report { () throws(PeerMRError) in
        _ = unsafe try ticket(of: lease)
        throw refusal(state ?? PEERMR_TICKET_NONE)
    }
}

@inline(never)
private func refuseChild() -> peermr_status {
    report { () throws(PeerMRError) in throw .cacheOfParent() }
}

@c @implementation
public func peermr_lease_invalidate(_ lease: UnsafePointer<peermr_lease>?) -> peermr_status {
    report { () throws(PeerMRError) in
        let ticket = unsafe try ticket(of: lease)
        var leased = unsafe peermr_leased()
        let state = unsafe peermr_ticket_claim(ticket, &leased)
        guard state == PEERMR_TICKET_VALID, let slot = unsafe leased.slot, let count = unsafe leased.count,
            let store = unsafe leased.store
        else { throw refusal(state) }
        defer { peermr_ticket_keep(ticket) }
        guard unsafe DetachedLease.invalidate(slot, count, store) else { throw .cacheOfParent() }
    }
}

extension peermr_lease {
    /// Whether the struct is as large as the first version's.
    @inline(__always)
    static func isWhole(_ lease: UnsafePointer<peermr_lease>) -> Bool {
        let size = unsafe lease.pointee.struct_size
        return size >= MemoryLayout<peermr_lease>.size && size <= Structs.limit
    }

    @inline(__always)
    mutating func fill(_ keys: RegionKeys, _ ticket: UInt64) {
        io_address = keys.address
        length = keys.byteCount
        lkey = keys.localKey
        rkey = keys.remoteKey
        alignment = keys.constraint.alignment
        path_mtu = UInt32(clamping: keys.constraint.pathMTUBytes)
        reserved = 0
        self.ticket = ticket
    }
}

private func ticket(of lease: UnsafePointer<peermr_lease>?) throws(PeerMRError) -> UInt64 {
    guard let lease = unsafe lease else { throw .null("struct peermr_lease") }
    guard unsafe peermr_lease.isWhole(lease) else {
        throw unsafe .structSize(
            "peermr_lease", lease.pointee.struct_size, MemoryLayout<peermr_lease>.size, Structs.limit)
    }
    return unsafe lease.pointee.ticket
}

private func refusal(_ state: peermr_ticket_state) -> PeerMRError {
    switch state {
    case PEERMR_TICKET_IN_USE: .inUse("struct peermr_lease")
    case PEERMR_TICKET_RETURNED: .returnedLease()
    default: .noLease()
    }
}
